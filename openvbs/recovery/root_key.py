"""Put a new root key in the place of the old one, for every repository of a store, and write no data for it.

In two calls, because the new key must have been copied to a safe place, and to every machine, before the old one is
worth nothing. Files beside the root key file say how far it is; at every moment the key in the root key file opens
every repository, and so does a call that is repeated.

| files | then | |
|---|---|---|
| `root.key` | nothing under way | |
| and `root.key.next` | some headers have a copy for the new key | `rotate` goes on |
| and `root.key.previous` | all headers have both copies | `rotate` goes on |
| `root.key` is the new one, `root.key.previous` | all headers have both copies | `finish` |
| the same | some headers have the new copy alone | `finish` goes on |
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openvbs.engine.errors import KeyUnusable
from openvbs.engine.keys import RootKey, create_root_key, load_root_key
from openvbs.engine.rewrap import add_root_key, keep_only, key_ids
from openvbs.errors import OpenVbsError
from openvbs.files import sync_folder
from openvbs.recovery.repositories import OnListed, find_repositories, ignore_listed
from openvbs.stores.base import Store
from openvbs.stores.prefixed import prefixed


class RotationRefused(OpenVbsError):
    """The rotation is not where this step begins; nothing was changed."""


def next_file(key_file: Path) -> Path:
    """Where the new root key waits until every repository opens with it."""
    return key_file.with_name(f"{key_file.name}.next")


def previous_file(key_file: Path) -> Path:
    """Where the old root key stays until the rotation is finished."""
    return key_file.with_name(f"{key_file.name}.previous")


def rotate(store: Store, key_file: Path, *, on_listed: OnListed = ignore_listed) -> int:
    """Make a new root key and put it in place once it opens every repository, as the old one still does.

    Gives the number of repositories. Services may run: they read the file whenever they open a repository. Repeating it
    after a crash goes on where that was. Raises RotationRefused while an earlier rotation is not finished; KeyUnusable,
    WrongKey, Corrupt or StoreError leave the old key in place.
    """
    with alone(key_file):
        following, previous = next_file(key_file), previous_file(key_file)
        old = load_root_key(key_file)
        if previous.exists() and not following.exists():
            raise RotationRefused(
                f"an earlier rotation is not finished ({previous} is there): copy the new key to where it is needed, "
                "then run 'openvbs key rotate --finish'"
            )
        new = load_root_key(following) if following.exists() else create_root_key(following)
        _add_everywhere(store, old, new, on_listed)
        _switch(key_file)
        # Once more for what was made while the old key was in place.
        return _add_everywhere(store, old, new, on_listed)


def finish(store: Store, key_file: Path, *, on_listed: OnListed = ignore_listed) -> int:
    """Let the old root key open nothing any more, and remove its file. Gives the number of repositories.

    Repeating it after a crash goes on where that was. Raises RotationRefused if there is nothing to finish.
    """
    with alone(key_file):
        previous = previous_file(key_file)
        if next_file(key_file).exists():
            raise RotationRefused(
                "the new root key is not in place yet: run 'openvbs key rotate' again, without --finish"
            )
        if not previous.exists():
            raise RotationRefused(f"there is no rotation to finish ({previous} is not there)")
        old, new = load_root_key(previous), load_root_key(key_file)
        count = _add_everywhere(store, old, new, on_listed)
        for name in find_repositories(store, on_listed=on_listed):
            if key_ids(repository := prefixed(store, name)):
                keep_only(repository, new)
        previous.unlink()
        sync_folder(key_file.parent)
        return count


def _add_everywhere(store: Store, old: RootKey, new: RootKey, on_listed: OnListed) -> int:
    """See that the new key opens every repository; those whose key was destroyed do not count."""
    count = 0
    for name in find_repositories(store, on_listed=on_listed):
        repository = prefixed(store, name)
        present = key_ids(repository)
        if present:
            count += 1
            add_root_key(repository, old if old.key_id in present else new, new)
    return count


def _switch(key_file: Path) -> None:
    """The new key becomes the root key, the old one stays beside it. Durable on return."""
    previous = previous_file(key_file)
    try:
        if not previous.exists():  # else a crash came between the two
            os.link(key_file, previous)
            sync_folder(key_file.parent)
        next_file(key_file).replace(key_file)
        sync_folder(key_file.parent)
    except OSError as error:
        raise KeyUnusable(f"cannot put the new root key in place of {key_file}: {error.strerror}") from error


@contextmanager
def alone(key_file: Path) -> Iterator[None]:
    """Nobody else on this machine changes what this key opens meanwhile. Raises RotationRefused."""
    try:
        descriptor = os.open(key_file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyUnusable(f"there is no root key file {key_file}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RotationRefused(
                f"another command is changing what {key_file} opens; wait until it has ended"
            ) from error
        yield
    finally:
        os.close(descriptor)
