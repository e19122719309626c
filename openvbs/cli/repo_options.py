"""What the commands of ``openvbs repo`` share: options, and how a repository is opened."""

import errno
import functools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from openvbs.engine.keys import load_root_key
from openvbs.engine.repository import Repository, open_repository
from openvbs.errors import OpenVbsError
from openvbs.stores.base import StoreError
from openvbs.stores.urls import open_store

_Function = TypeVar("_Function", bound=Callable[..., None])
PATH = click.Path(path_type=Path)
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_FOLDER = click.Path(path_type=Path, file_okay=False)


class StoreReadOnly(OpenVbsError):
    """The store does not let this user write; the operator must run this elsewhere or as somebody else."""

    def __init__(self, url: str, error: StoreError) -> None:
        super().__init__(
            f"{error}. {url} must be writable, also to restore, to check or to plan a collection: each puts a lease "
            "there"
        )


def repository_command(function: _Function) -> _Function:
    """URL, --key-file, --cache and --json, which every command takes."""
    wrapped: Any = function
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text."),
        click.option(
            "--cache", type=_FOLDER, help="Keep a copy of the index in this directory, to open faster next time."
        ),
        click.option("--key-file", required=True, type=PATH, help="The root key file."),
        click.argument("url"),
    ):
        wrapped = decorate(wrapped)
    return cast("_Function", functools.update_wrapper(wrapped, function))


@contextmanager
def opened(url: str, key_file: Path, cache: Path | None) -> Iterator[Repository]:
    """The repository at URL, while the context lasts. Raises what open_repository does, and StoreReadOnly."""
    key = load_root_key(key_file)
    with closing(open_store(url)) as store, open_repository(store, key, cache=cache) as repository:
        try:
            yield repository
        except StoreError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _READ_ONLY:
                raise StoreReadOnly(url, error) from error
            raise
