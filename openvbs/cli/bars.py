"""A progress bar for work that takes a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from openvbs.engine.progress import OnProgress, ignore_progress
from openvbs.engine.progress import Progress as Done


@contextmanager
def byte_bar(label: str) -> Iterator[OnProgress]:
    """A bar on standard error while the context lasts, gone afterwards; nothing at all where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ignore_progress
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None)

        def show(done: Done) -> None:
            progress.update(task, completed=done.bytes_done, total=done.bytes_total)

        yield show


@contextmanager
def count_bar(label: str) -> Iterator[Callable[..., None]]:
    """Like byte_bar, for a number of things: told how many are done and, where that is known, of how many."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda *_: None
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)
