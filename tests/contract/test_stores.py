"""What every store promises, asked of every store and of every wrapper around one."""

import resource
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from openvbs.stores.base import BadName, NameTaken, ObjectMissing, ObjectTooShort, Store, StoreFull, StoreUnavailable
from openvbs.stores.local import LocalStore
from openvbs.stores.memory import MemoryStore
from openvbs.stores.prefixed import prefixed
from openvbs.stores.retry import RetryStore
from openvbs.units import MIB

MAKERS = {
    "memory": lambda folder: MemoryStore(),
    "local": lambda folder: LocalStore(folder / "store"),
    "retry around local": lambda folder: RetryStore(LocalStore(folder / "store")),
    "prefix of local": lambda folder: prefixed(LocalStore(folder / "store"), "some/prefix"),
    "prefix of memory": lambda folder: prefixed(MemoryStore(), "p"),
}


@pytest.fixture(params=MAKERS)
def store(request, tmp_path):
    store = MAKERS[request.param](tmp_path)
    yield store
    store.close()


def names(store: Store, prefix: str) -> list[str]:
    return [info.name for info in store.list(prefix)]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 4096], ids=["empty", "one byte", "1 MiB"])
def test_what_was_put_comes_back(store, data):
    store.put("a/b", data)
    assert store.get("a/b") == data
    assert store.stat("a/b").size_bytes == len(data)


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(bytearray(data))])
def test_buffers_may_be_used_again_after_a_write(store, kind):
    first, second = kind(b"first"), kind(b"other")
    store.put("put", first)
    store.create("created", second)
    for buffer in (first, second):
        if not isinstance(buffer, bytes):
            buffer[:] = b"later"
    assert (store.get("put"), store.get("created")) == (b"first", b"other")


def test_put_replaces(store):
    store.put("name", b"old and longer")
    store.put("name", b"new")
    assert store.get("name") == b"new"
    assert names(store, "") == ["name"]


def test_create_never_replaces(store):
    store.create("name", b"first")
    with pytest.raises(NameTaken):
        store.create("name", b"second")
    assert store.get("name") == b"first"


def test_create_after_delete(store):
    store.create("name", b"first")
    store.delete("name")
    store.create("name", b"second")
    assert store.get("name") == b"second"


def test_of_many_creates_at_once_exactly_one_succeeds(store):
    start = threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait()
        try:
            store.create("prize", str(number).encode())
        except NameTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert store.get("prize") == str(won.index(True)).encode()


@pytest.mark.parametrize(("offset", "length"), [(0, 4), (3, 4), (9, 1), (10, 0), (0, 10), (5, None), (10, None)])
def test_ranges_are_exact(store, offset, length):
    data = b"0123456789"
    store.put("name", data)
    end = len(data) if length is None else offset + length
    assert store.get("name", offset, length) == data[offset:end]


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (9, 2), (10, 1), (11, 0), (11, None), (100, 5)])
def test_more_than_there_is_is_an_error(store, offset, length):
    store.put("name", b"0123456789")
    with pytest.raises(ObjectTooShort):
        store.get("name", offset, length)


@pytest.mark.parametrize("verb", ["get", "stat"])
def test_absent_objects_are_missing(store, verb):
    with pytest.raises(ObjectMissing):
        getattr(store, verb)("no/such")


def test_deleting_what_is_absent_is_no_error(store):
    store.delete("no/such")
    store.put("name", b"x")
    store.delete("name")
    store.delete("name")
    assert names(store, "") == []


def test_list_is_sorted_and_by_prefix(store):
    every = ["a", "a-b", "a.b", "a/b", "a/b-c", "a/b/c", "ab", "b/a", "b/b/b"]
    for name in reversed(every):
        if not any(other.startswith(name + "/") for other in every):
            store.put(name, name.encode())
    there = sorted(name for name in every if not any(other.startswith(name + "/") for other in every))
    assert names(store, "") == there
    for prefix in ["a", "a/", "a/b", "a/b/", "b/", "b/b", "zz", "a-"]:
        assert names(store, prefix) == [name for name in there if name.startswith(prefix)]


def test_list_gives_sizes_and_ages_like_stat(store):
    store.put("a/one", b"1")
    store.put("a/three", b"333")
    assert list(store.list("a/")) == [store.stat("a/one"), store.stat("a/three")]
    store.put("a/one", b"1")
    assert store.stat("a/one").modified_at >= store.stat("a/three").modified_at


@pytest.mark.parametrize("name", ["", "/a", "a/", "A", "a//b", "../a", "a/../b", ".a", "a/.b", "a b", "ä", "a" * 201])
@pytest.mark.parametrize("verb", ["put", "create", "get", "stat", "delete"])
def test_bad_names_are_refused(store, verb, name):
    with pytest.raises(BadName):
        getattr(store, verb)(name, *([b"x"] if verb in ("put", "create") else []))
    assert names(store, "") == []


def test_threads_may_write_at_once(store):
    def write(number: int) -> None:
        store.put(f"pack/{number % 7}/{number}", str(number).encode() * 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(64)))
    assert len(names(store, "pack/")) == 64
    assert all(store.get(f"pack/{n % 7}/{n}") == str(n).encode() * 1000 for n in range(64))


def test_local_objects_are_seen_by_another_process_and_drafts_are_not(tmp_path):
    one, other = LocalStore(tmp_path / "s"), LocalStore(tmp_path / "s")
    one.put("a/b", b"x")
    assert other.get("a/b") == b"x"
    assert names(other, "") == ["a/b"]
    assert list((tmp_path / "s" / ".drafts").iterdir()) == []


def test_a_local_store_makes_nothing_by_looking(tmp_path):
    store = LocalStore(tmp_path / "s")
    assert names(store, "") == []
    with pytest.raises(ObjectMissing):
        store.get("a")
    assert not (tmp_path / "s").exists()


def test_drafts_of_dead_writers_are_removed_and_living_ones_are_not(tmp_path):
    store = LocalStore(tmp_path / "s")
    store.put("a", b"x")
    drafts = tmp_path / "s" / ".drafts"
    (drafts / "dead").write_bytes(b"left by a kill")
    with store._draft(b"being written") as living:
        LocalStore(tmp_path / "s").close()
        assert [path.name for path in drafts.iterdir()] == [living.name]


@pytest.mark.parametrize("size", [2 * MIB, 5 * MIB + 3], ids=["aligned", "odd"])
def test_a_full_local_store_keeps_what_it_has_and_gives_the_draft_back(tmp_path, size):
    store = LocalStore(tmp_path / "s")
    store.put("earlier", b"x" * MIB)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + MIB // 2, hard))
    try:
        for verb in (store.put, store.create):
            with pytest.raises(StoreFull):
                verb("earlier" if verb == store.put else "new", b"y" * size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.get("earlier") == b"x" * MIB
    assert names(store, "") == ["earlier"]
    assert list((tmp_path / "s" / ".drafts").iterdir()) == []
    store.put("new", b"y" * size)
    assert store.get("new") == b"y" * size


class Flaky:
    """A store whose next calls fail, before or after they did their work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures: list[str] = []

    def __getattr__(self, verb):
        def call(*args):
            how = self.failures.pop(0) if self.failures else "not"
            if how == "before":
                raise StoreUnavailable("down")
            result = getattr(self._store, verb)(*args)
            if verb == "list":
                result = list(result)
            if how == "after":
                raise StoreUnavailable("the answer was lost")
            return result

        return call


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("times", [1, 6])
def test_retry_hides_what_passes(how, times):
    flaky = Flaky(MemoryStore())
    waits: list[float] = []
    store = RetryStore(flaky, sleep=waits.append)
    for call in (
        lambda: store.put("a", b"x"),
        lambda: store.create("b", b"y"),
        lambda: store.get("a"),
        lambda: store.stat("a"),
        lambda: names(store, ""),
        lambda: store.delete("a"),
    ):
        flaky.failures = [how] * times
        call()
    assert names(store, "") == ["b"]
    assert how == "after" or len(waits) == 6 * times
    assert waits[times - 1] > waits[0] or times == 1


def test_retry_gives_up_in_the_end():
    flaky = Flaky(MemoryStore())
    flaky.failures = ["before"] * 7
    with pytest.raises(StoreUnavailable):
        RetryStore(flaky, sleep=lambda _seconds: None).put("a", b"x")


def test_retry_does_not_take_another_ones_object_for_its_own():
    flaky = Flaky(MemoryStore())
    store = RetryStore(flaky, sleep=lambda _seconds: None)
    store.create("a", b"theirs")
    flaky.failures = ["before"]
    with pytest.raises(NameTaken):
        store.create("a", b"ours")


def test_retry_lists_each_object_once_though_the_listing_breaks():
    class Breaking(MemoryStore):
        breaks = 2

        def list(self, prefix):
            for number, info in enumerate(super().list(prefix)):
                if number == 3 and self.breaks:
                    self.breaks -= 1
                    raise StoreUnavailable("the listing broke")
                yield info

    store = RetryStore(Breaking(), sleep=lambda _seconds: None)
    for number in range(6):
        store.put(f"n{number}", b"")
    assert names(store, "") == [f"n{number}" for number in range(6)]
