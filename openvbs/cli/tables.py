"""How commands print: tables for people, JSON for programs, which do not wait for rich to be imported."""

import json
import sys
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from openvbs.units import MIB

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_A_PIPE = 1000
"""Columns when nobody looks: wide enough that nothing is ever broken or cut."""


def printable(text: str) -> str:
    """The text without what would move a terminal's cursor or turn its words around: names may hold anything."""
    return "".join(one if _is_harmless(one) else one.encode("unicode_escape").decode() for one in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # spaces of other scripts


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str | None]]) -> None:
    """Rows under headings; long values are folded on a narrow terminal, never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(printable(value or "-") for value in row))
    _console().print(table)


def print_record(pairs: Iterable[tuple[str, str | None]]) -> None:
    """One thing, a line per field."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, printable(value or "-"))
    _console().print(table)


def size_text(size_bytes: int) -> str:
    """A size for people."""
    return f"{size_bytes / MIB:,.1f} MiB" if size_bytes >= MIB else f"{size_bytes:,} bytes"


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)
