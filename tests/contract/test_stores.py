"""What every store promises, asked of every store and of every wrapper around one."""

import itertools
import os
import resource
import secrets
import time
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from openvbs.stores.base import BadName, NameTaken, ObjectMissing, Store, StoreError, StoreFull, StoreUnavailable
from openvbs.stores.local import LocalStore
from openvbs.stores.memory import MemoryStore, _Object
from openvbs.stores.prefixed import prefixed
from openvbs.stores.retry import TRIES_MAX, RetryStore
from openvbs.stores.s3 import S3Store
from openvbs.stores.verify import PROMISES, verify_store
from openvbs.units import MIB

MAKERS = {
    "memory": lambda folder, _request: MemoryStore(),
    "local": lambda folder, _request: LocalStore(folder / "store"),
    "retry around local": lambda folder, _request: RetryStore(LocalStore(folder / "store")),
    "prefix of local": lambda folder, _request: prefixed(LocalStore(folder / "store"), "some/prefix"),
    "prefix of memory": lambda folder, _request: prefixed(MemoryStore(), "p"),
    "s3": lambda folder, request: S3Store(bucket(request), f"some/{secrets.token_hex(4)}"),
}


def bucket(request) -> str:
    """The bucket of the S3 server, which the store's library is pointed to."""
    gateway = request.getfixturevalue("s3_server")
    for name, value in gateway.environment.items():
        request.getfixturevalue("monkeypatch").setenv(name, value)
    return request.getfixturevalue("s3_bucket")


@pytest.fixture(scope="module")
def s3_bucket(s3_server):
    return s3_server.create_bucket()


S3 = pytest.param("s3", marks=pytest.mark.heavy)


@pytest.fixture(params=[*(name for name in MAKERS if name != "s3"), S3])
def store(request, tmp_path):
    store = MAKERS[request.param](tmp_path, request)
    yield store
    store.close()


def names(store: Store, prefix: str) -> list[str]:
    return [info.name for info in store.list(prefix)]


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_is_kept(store, promise):
    PROMISES[promise](store)


@pytest.mark.parametrize("store", ["memory", "local", S3], indirect=True)
def test_verifying_leaves_nothing_and_touches_nothing_else(store, monkeypatch):
    monkeypatch.setattr("openvbs.stores.verify._MANY", 20)  # tried above, and S3 deletes slowly
    store.put("precious", b"x")
    assert [verdict for verdict in verify_store(store) if verdict.broken] == []
    assert names(store, "") == ["precious"]
    assert store.get("precious") == b"x"


class Rounding(MemoryStore):
    def get(self, name, offset=0, length=None):
        size = self.stat(name).size_bytes
        return super().get(name, min(offset, size), None if length is None else min(length, max(0, size - offset)))


class CutsLarge(MemoryStore):
    def put(self, name, data):
        super().put(name, bytes(data)[: 32 * MIB])


class IgnoresLength(MemoryStore):
    def get(self, name, offset=0, length=None):
        return super().get(name, offset)


class KeepsBuffers(MemoryStore):
    def put(self, name, data):
        super().put(name, data)
        self._objects[name] = _Object(data, self._objects[name].modified_at)


class Overwrites(MemoryStore):
    def create(self, name, data):
        self.put(name, data)


class Racy(MemoryStore):
    def create(self, name, data):
        taken = name in self._objects
        time.sleep(0.01)
        if taken:
            raise NameTaken(name)
        self.put(name, data)


class Stale(MemoryStore):
    """Gives for ever what was first read."""

    def __init__(self):
        super().__init__()
        self.read = {}

    def get(self, name, offset=0, length=None):
        return self.read.setdefault((name, offset, length), super().get(name, offset, length))


class Tombstones(MemoryStore):
    def create(self, name, data):
        self.ever = getattr(self, "ever", set())
        if name in self.ever:
            raise NameTaken(name)
        super().create(name, data)
        self.ever.add(name)


class EmptyForAbsent(MemoryStore):
    def get(self, name, offset=0, length=None):
        try:
            return super().get(name, offset, length)
        except ObjectMissing:
            return b""


class Lingers(MemoryStore):
    def delete(self, name):
        if not name.endswith("name"):
            super().delete(name)


class Unsorted(MemoryStore):
    def list(self, prefix):
        return iter(sorted(super().list(prefix), key=lambda info: (len(info.name), info.name)))


class OnePage(MemoryStore):
    def list(self, prefix):
        return itertools.islice(super().list(prefix), 1000)


class OldTimes(MemoryStore):
    def list(self, prefix):
        return (replace(info, modified_at=info.modified_at - 5) for info in super().list(prefix))


class LosesBesideOthers(MemoryStore):
    """A put that runs beside another one is lost."""

    def put(self, name, data):
        self.running = getattr(self, "running", 0) + 1
        time.sleep(0.001)
        if self.running == 1 or "pack" not in name:
            super().put(name, data)
        self.running -= 1


LIES = {
    "what was put comes back, small and large": CutsLarge,
    "buffers may be used again after a write": KeepsBuffers,
    "put replaces, and everybody sees it at once": Stale,
    "create never replaces": Overwrites,
    "create works again after a delete": Tombstones,
    "of many creates at once exactly one succeeds": Racy,
    "ranges are exact": IgnoresLength,
    "more than there is is an error": Rounding,
    "absent objects are missing": EmptyForAbsent,
    "what was deleted is gone": Lingers,
    "lists are sorted and by prefix": Unsorted,
    "long lists are whole": OnePage,
    "lists agree with stat": OldTimes,
    "threads may write at once": LosesBesideOthers,
}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_store_that_breaks_a_promise_is_found_out(promise):
    with pytest.raises(StoreError):
        PROMISES[promise](LIES[promise]())


def test_verifying_names_each_broken_promise():
    verdicts = {verdict.promise: verdict.broken for verdict in verify_store(Overwrites())}
    assert list(verdicts) == list(PROMISES)
    broken = {promise for promise, why in verdicts.items() if why}
    assert broken == {"create never replaces", "of many creates at once exactly one succeeds"}
    assert "If-None-Match" in verdicts["create never replaces"]


@pytest.mark.parametrize("verb", ["put", "create", "get", "stat", "delete"])
def test_bad_names_are_refused(store, verb):
    for name in ["", "/a", "a/", "A", "a//b", "../a", "a/../b", ".a", "a/.b", "a b", "ä", "a" * 201]:
        with pytest.raises(BadName):
            getattr(store, verb)(name, *([b"x"] if verb in ("put", "create") else []))
    assert names(store, "") == []


@pytest.mark.heavy
def test_a_store_is_a_whole_bucket_or_a_prefix_and_lists_only_names_of_the_rules(request, s3_server):
    whole = S3Store(bucket(request), None)
    part = S3Store(bucket(request), "part")
    for name in ["part/a", "partly", "whole"]:
        whole.create(name, b"x")
    for stranger in ["Part/A", "part/.hidden", "part/with space"]:
        obstore.put(whole._bucket, stranger, b"x")
    assert names(part, "") == ["a"]
    assert names(whole, "part") == ["part/a", "partly"]
    assert whole.get("part/a") == part.get("a") == b"x"


@pytest.mark.heavy
def test_a_bucket_that_does_not_exist_is_named_and_not_made(request, s3_server):
    bucket(request)
    store = S3Store("no-such-bucket", None)
    for call in (
        lambda: store.put("a", b"x"),
        lambda: store.create("a", b"x"),
        lambda: store.get("a"),
        lambda: names(store, ""),
    ):
        with pytest.raises(StoreError, match="no such bucket"):
            call()


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


def test_folders_that_can_hold_no_object_are_not_looked_into(tmp_path):
    """lost+found of a filesystem of its own is closed to all but root."""
    store = LocalStore(tmp_path)
    store.put("a/b", b"1")
    for folder in ("lost+found", "a/.hidden", "Upper"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "c").write_bytes(b"2")
    scanned = []
    scandir = os.scandir

    def noting(path):
        scanned.append(Path(path).relative_to(tmp_path).as_posix())
        return scandir(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", noting)
        assert names(store, "") == ["a/b"]
    assert scanned == [".", "a"]


@pytest.mark.heavy
def test_what_root_makes_in_the_stores_folder_belongs_to_its_owner(tmp_path):
    """Else the service could not read the notes of a check that root ran."""
    folder = tmp_path / "store"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    LocalStore(folder).put("a/b/c", b"1")
    assert {path.stat().st_uid for path in folder.rglob("*")} == {65534}
    LocalStore(tmp_path / "roots").put("a", b"1")
    assert {path.stat().st_uid for path in (tmp_path / "roots").rglob("*")} == {0}


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
@pytest.mark.parametrize("times", [1, TRIES_MAX - 1])
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


def test_retry_waits_about_half_a_minute_in_all():
    flaky = Flaky(MemoryStore())
    flaky.failures = ["before"] * TRIES_MAX
    waits: list[float] = []
    with pytest.raises(StoreUnavailable):
        RetryStore(flaky, sleep=waits.append).put("a", b"x")
    assert 20 < sum(waits) < 45


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
