"""Where restores go."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from openvbs.sources.base import Target
from openvbs.sources.file import FileTarget


@contextmanager
def open_target(file: Path, size_bytes: int) -> Iterator[Target]:
    """The file to restore to, for this restore alone; one that is made here goes again if anything fails."""
    if file.exists():
        with closing(FileTarget(file)) as target:
            target.reserve()
            yield target
        return
    with closing(FileTarget.create(file, size_bytes)) as target:
        target.reserve()  # or it is another one's by now, and stays
        try:
            yield target
        except BaseException:
            file.unlink()
            raise
