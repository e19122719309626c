"""Which repositories lie in a store."""

from collections.abc import Callable

from openvbs.engine.format import HEADER_NAME
from openvbs.errors import OpenVbsError
from openvbs.stores.base import Store

OnListed = Callable[[int], None]
"""Told how many objects have been listed so far."""


class NoRepositories(OpenVbsError):
    """The place holds no repositories of projects; the text says what it holds."""


def ignore_listed(_count: int) -> None:
    """For who does not wait for it."""


def find_repositories(store: Store, *, on_listed: OnListed = ignore_listed) -> list[str]:
    """The names of all repositories one level below the store, sorted: in a store of the service, projects' ids.

    Lists every object: a bucket gives about a thousand per request. NoRepositories where the store is one itself.
    """
    found = []
    for count, info in enumerate(store.list("")):
        if count % 1000 == 0:
            on_listed(count)
        folder, _, name = info.name.rpartition("/")
        if name == HEADER_NAME and not folder:
            raise NoRepositories("this is one repository, not a store of the service: see 'openvbs repo --help'")
        if name == HEADER_NAME and "/" not in folder:
            found.append(folder)
    return found
