"""The table that the demo prints, row by row as the steps happen."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, JustifyMethod
from rich.table import Table

_UNITS = ("B", "KiB", "MiB", "GiB")
_COLUMNS: tuple[tuple[int, JustifyMethod], ...] = (
    (2, "left"),
    (36, "left"),
    (7, "right"),
    (9, "right"),
    (9, "right"),
    (5, "right"),
)
"""Width and side of each; with two blanks between them a row fits into 80 columns."""


@dataclass
class Step:
    """What a step did, filled in while it runs."""

    title: str
    size_bytes: int | None = None
    """Bytes that it worked on."""
    stored_bytes: int | None = None
    """Bytes that the repository grew by."""
    result: str = ""
    seconds: float = 0

    def ratio(self) -> str:
        """How many bytes stand for one that was stored."""
        return f"{self.size_bytes / self.stored_bytes:.1f}" if self.size_bytes and self.stored_bytes else ""


@dataclass
class Report:
    console: Console = field(default_factory=lambda: Console(highlight=False))
    steps: list[Step] = field(default_factory=list)

    def head(self) -> None:
        self._row("", "step", "time", "bytes", "stored", "ratio", style="bold")

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One row, printed when the step ends; a step that raises gets a cross and the error goes on."""
        step = Step(title)
        self.steps.append(step)
        began = time.monotonic()
        done = False
        try:
            yield step
            done = True
        finally:
            step.seconds = time.monotonic() - began
            self._row(
                "[green]ok[/]" if done else "[red]NO[/]",
                step.title,
                f"{step.seconds:.1f} s",
                amount(step.size_bytes),
                amount(step.stored_bytes),
                step.ratio(),
            )
            if step.result:
                self.console.print(f"    {step.result}", style="dim", soft_wrap=True)

    def _row(self, *cells: str, style: str = "") -> None:
        """One line of the table; each line is a table of its own, so that it appears when it happens."""
        row = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        for width, justify in _COLUMNS:
            row.add_column(width=width, justify=justify, style=style)
        row.add_row(*cells)
        self.console.print(row)


def amount(size_bytes: int | None) -> str:
    """Bytes for people; nothing where there is nothing to say."""
    if size_bytes is None:
        return ""
    value = float(size_bytes)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
