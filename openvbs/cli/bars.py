"""A progress bar for work that takes a while. Where nobody looks at a terminal, rich is not even imported."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from openvbs.cli.tables import printable
from openvbs.engine.progress import OnProgress, ignore_progress
from openvbs.engine.progress import Progress as Done


@contextmanager
def byte_bar(label: str) -> Iterator[OnProgress]:
    """A bar on standard error while the context lasts, gone afterwards; nothing at all where that is no terminal."""
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(printable(label), total=None)

        def show(done: Done) -> None:
            progress.update(task, completed=done.bytes_done, total=done.bytes_total)

        yield show


@contextmanager
def count_bar(label: str) -> Iterator[Callable[..., None]]:
    """Like byte_bar, for a number of things: told how many are done and, where that is known, of how many."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)
