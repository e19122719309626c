"""What every store promises, as functions that find out whether one keeps it.

The contract tests ask them of our own stores, ``openvbs repo verify-store`` of an operator's bucket.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from openvbs.stores.base import Bytes, NameTaken, ObjectMissing, ObjectTooShort, Store, StoreError
from openvbs.stores.prefixed import prefixed
from openvbs.units import KIB, MIB

_THREADS = 8
_LARGE_BYTES = 33 * MIB
"""As large as packs are."""
_RACES = 5
_MANY = 1100
"""More than one answer of an S3 server lists."""
_DIGITS = b"0123456789"


class PromiseBroken(StoreError):
    """A store does not do what every store must; says what it did instead."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``broken`` says what went wrong; None when the promise was kept."""

    promise: str
    broken: str | None


def verify_store(store: Store) -> Iterator[Verdict]:
    """Try each promise, on objects below a new prefix, and remove these again. At the end nothing is left.

    StoreError at once if the store does not even take an object and give it back.
    """
    root = f"verify-{secrets.token_hex(8)}"
    store.put(f"{root}/first", _DIGITS)
    store.delete(f"{root}/first")
    for number, (promise, keep) in enumerate(PROMISES.items()):
        try:
            keep(prefixed(store, f"{root}/{number}"))
        except StoreError as error:
            yield Verdict(promise, str(error))
        else:
            yield Verdict(promise, None)
        finally:
            _remove_all(store, f"{root}/{number}/")


def _remove_all(store: Store, prefix: str) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(store.delete, [info.name for info in store.list(prefix)]))


def _what_was_put_comes_back(store: Store) -> None:
    for size in (0, 1, MIB, _LARGE_BYTES):
        data = secrets.token_bytes(size)
        store.put(f"a/{size}", data)
        _expect(store.get(f"a/{size}") == data, f"an object of {size} bytes came back different")
        _expect(store.stat(f"a/{size}").size_bytes == size, f"stat gives another size than {size}")


def _buffers_may_be_used_again(store: Store) -> None:
    verbs: dict[str, Callable[[str, Bytes], None]] = {"put": store.put, "create": store.create}
    for verb, write in verbs.items():
        buffer = bytearray(_DIGITS)
        write(verb, buffer)
        write(f"{verb}-view", memoryview(buffer)[2:4])
        buffer[:] = bytes(len(buffer))
        _expect(store.get(verb) == _DIGITS, f"{verb} kept a buffer after it returned")
        _expect(store.get(f"{verb}-view") == _DIGITS[2:4], f"{verb} kept a view after it returned")


def _put_replaces(store: Store) -> None:
    for data in (b"old and longer", b"new", b"and once more"):
        store.put("name", data)
        _expect(store.get("name") == data, "get right after put gives what was there before")
        _expect(store.stat("name").size_bytes == len(data), "stat right after put gives the size from before")
    _expect(_names(store) == ["name"], "an object that was put again is not listed once")


def _create_never_replaces(store: Store) -> None:
    store.create("name", b"first")
    for data in (b"second", b"first"):
        with suppress(NameTaken):
            store.create("name", data)
            raise PromiseBroken("create replaces what exists (If-None-Match is ignored?)")
    store.put("put", b"first")
    with suppress(NameTaken):
        store.create("put", b"second")
        raise PromiseBroken("create replaces what was put (If-None-Match is ignored?)")
    _expect((store.get("name"), store.get("put")) == (b"first", b"first"), "a refused create changed the object")


def _create_after_delete(store: Store) -> None:
    store.create("name", b"first")
    store.delete("name")
    store.create("name", b"second")
    _expect(store.get("name") == b"second", "what was created after a delete did not come back")


def _of_creates_at_once_one_succeeds(store: Store) -> None:
    start = threading.Barrier(_THREADS)

    def create(race: int, number: int) -> bool:
        start.wait()
        try:
            store.create(f"prize/{race}", str(number).encode())
        except NameTaken:
            return False
        return True

    with ThreadPoolExecutor(_THREADS) as pool:
        for race in range(_RACES):
            won = list(pool.map(create, [race] * _THREADS, range(_THREADS)))
            _expect(won.count(True) == 1, f"of {_THREADS} creates at once {won.count(True)} succeeded")
            winner = str(won.index(True)).encode()
            _expect(store.get(f"prize/{race}") == winner, "a create that was refused took effect")


def _ranges_are_exact(store: Store) -> None:
    store.put("name", _DIGITS)
    for offset, length in [(0, 4), (3, 4), (9, 1), (10, 0), (0, 10), (5, None), (10, None)]:
        end = len(_DIGITS) if length is None else offset + length
        _expect(store.get("name", offset, length) == _DIGITS[offset:end], f"range {offset}, {length} is wrong")


def _too_much_is_an_error(store: Store) -> None:
    store.put("name", _DIGITS)
    for offset, length in [(0, 11), (9, 2), (10, 1), (11, 0), (11, None), (100, 5)]:
        with suppress(ObjectTooShort):
            store.get("name", offset, length)
            raise PromiseBroken(f"range {offset}, {length} of {len(_DIGITS)} bytes gave something")


def _absent_objects_are_missing(store: Store) -> None:
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("no/such"),
        "get of a range": lambda: store.get("no/such", 2, 3),
        "stat": lambda: store.stat("no/such"),
    }
    for what, call in calls.items():
        with suppress(ObjectMissing):
            call()
            raise PromiseBroken(f"{what} of an object that does not exist gave something")


def _deleted_is_gone(store: Store) -> None:
    store.delete("no/such")
    store.put("name", b"x")
    store.delete("name")
    store.delete("name")
    _expect(_names(store) == [], "a deleted object is still listed")
    with suppress(ObjectMissing):
        store.get("name")
        raise PromiseBroken("a deleted object can still be read")


def _lists_are_sorted_and_by_prefix(store: Store) -> None:
    there = ["a-b", "a.b", "a/b-c", "a/b/c", "ab", "b/a", "b/b/b"]
    for name in reversed(there):
        store.put(name, name.encode())
    for prefix in ["", "a", "a/", "a/b", "a/b/", "b/", "b/b", "zz", "a-"]:
        wanted = [name for name in there if name.startswith(prefix)]
        found = _names(store, prefix)
        _expect(found == wanted, f"the list of {prefix!r} is {found} instead of {wanted}")


def _long_lists_are_whole(store: Store) -> None:
    wanted = [f"n/{number:05d}" for number in range(_MANY)]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda name: store.put(name, b""), wanted))
        _expect(_names(store) == wanted, f"a list of {_MANY} objects is not whole, or not in order")


def _lists_agree_with_stat(store: Store) -> None:
    store.put("a/one", b"1")
    store.put("a/three", b"333")
    listed = {info.name: info for info in store.list("a/")}
    for name, size in (("a/one", 1), ("a/three", 3)):
        found = store.stat(name)
        _expect(listed[name].size_bytes == found.size_bytes == size, "list and stat give different sizes")
        # HEAD answers in whole seconds, lists with milliseconds.
        _expect(abs(listed[name].modified_at - found.modified_at) < 1, "list and stat give different times")
    store.put("a/one", b"1")
    times = {info.name: info.modified_at for info in store.list("a/")}
    _expect(times["a/one"] >= times["a/three"], "what was put later counts as older")


def _threads_may_write_at_once(store: Store) -> None:
    wanted = {f"pack/{n % 7}/{n}": str(n).encode() * KIB for n in range(64)}
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(store.put, wanted, wanted.values()))
        _expect(sorted(_names(store)) == sorted(wanted), "objects that were put at the same time are not all listed")
        found = list(pool.map(store.get, wanted))
    _expect(found == list(wanted.values()), "objects that were put at the same time came back different")


PROMISES: dict[str, Callable[[Store], None]] = {
    "what was put comes back, small and large": _what_was_put_comes_back,
    "buffers may be used again after a write": _buffers_may_be_used_again,
    "put replaces, and everybody sees it at once": _put_replaces,
    "create never replaces": _create_never_replaces,
    "create works again after a delete": _create_after_delete,
    "of many creates at once exactly one succeeds": _of_creates_at_once_one_succeeds,
    "ranges are exact": _ranges_are_exact,
    "more than there is is an error": _too_much_is_an_error,
    "absent objects are missing": _absent_objects_are_missing,
    "what was deleted is gone": _deleted_is_gone,
    "lists are sorted and by prefix": _lists_are_sorted_and_by_prefix,
    "long lists are whole": _long_lists_are_whole,
    "lists agree with stat": _lists_agree_with_stat,
    "threads may write at once": _threads_may_write_at_once,
}
"""Each raises PromiseBroken, or another StoreError, on an empty store that does not keep it."""


def _names(store: Store, prefix: str = "") -> list[str]:
    return [info.name for info in store.list(prefix)]


def _expect(kept: object, otherwise: str) -> None:
    if not kept:
        raise PromiseBroken(otherwise)
