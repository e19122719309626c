"""A project's key is forgotten: nothing of its backups can be read, by anyone, and nobody else's are touched."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from openvbs.actions.backup_records import import_record
from openvbs.actions.backups import create_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from openvbs.auth.caller import Caller
from openvbs.clock import utc_now
from openvbs.db import audit, backups, shares, workers
from openvbs.domain.audit import AuditQuery
from openvbs.domain.backup import NewBackup, NewRecord, NewRestore
from openvbs.domain.errors import BackupNotFound
from openvbs.engine.codec import Codec
from openvbs.engine.errors import Corrupt, RepositoryMissing, WrongKey
from openvbs.engine.format import BACKUPS, HEADER_NAME, ObjectKind
from openvbs.engine.header import parse_header, unwrap_header
from openvbs.engine.keys import derive_project_keys, load_root_key
from openvbs.engine.repository import open_repository
from openvbs.recovery.forget import Doomed, ForgetRefused, Place, forget, look
from openvbs.stores.base import Store, StoreUnavailable
from openvbs.stores.memory import MemoryStore
from openvbs.stores.prefixed import prefixed
from openvbs.volumes.files import VolumeFiles
from tests.support.actions import add_backup, caller, end_job, made_service, new_id
from tests.support.repositories import ROOT_KEY, back_up_bytes, new_repository, random_bytes
from tests.support.site import Content, Site
from tests.support.stores import NthCallFails

ALPHA, BETA, GAMMA = caller("alpha"), caller("beta"), caller("gamma")
FOR_BETA = caller("beta", role="admin")
LATER = timedelta(minutes=5)


def place_of(site: Site) -> Place:
    return place_in(site.service, site.store, site.directory)


def place_in(service: Service, store: Store, folder: Path) -> Place:
    return Place(
        database=service.database,
        store=store,
        index_cache=folder / "cache",
        drop_bases_of=VolumeFiles(folder).drop_bases_of,
        notifies=False,
        make_id=service.make_id,
        clock=service.clock,
    )


def nobody_waits(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def made(site: Site, who: Caller, name: str) -> str:
    volume = site.new_volume(who)
    backup, job = create_backup(site.service, who, NewBackup(volume_id=volume.id, name=name))
    site.succeeded(job)
    return backup.id


def restored(site: Site, who: Caller, backup_id: str) -> Content:
    _, target, job = restore_backup(site.service, who, backup_id, NewRestore())
    site.succeeded(job)
    return site.content(target.id)


def secrets_of(site: Site, project: str) -> list[bytes]:
    """The project's key, all that is derived from it, and its wrapped copies, in every way they might be written."""
    header, key = unwrap_header(site.store.get(f"{project}/{HEADER_NAME}"), load_root_key(site.directory / "root.key"))
    keys = derive_project_keys(key, header.repository_id)
    raw = [key, keys.block_id_key, keys.page_id_key, keys.seal_key, keys.manifest_key, keys.header_key]
    raw += [bytes.fromhex(copy.wrapped) for copy in header.keys]
    return [form for secret in raw for form in (secret, secret.hex().encode(), base64.b64encode(secret))]


def found_in(folder: Path, secrets: list[bytes]) -> Iterator[Path]:
    for path in folder.rglob("*"):
        # Volumes are the tenants' and large.
        if path.is_file() and "volumes" not in path.parts and any(secret in path.read_bytes() for secret in secrets):
            yield path


@pytest.fixture
def full(site: Site) -> dict[str, str]:
    """Backups of alpha, which beta has a share of and an imported record, and of gamma, on a site at rest."""
    with site.worker():
        alphas, gammas = made(site, ALPHA, "alphas"), made(site, GAMMA, "gammas")
        share_backup(site.service, ALPHA, alphas, ["beta"])
        new = NewRecord(id=new_id(), repository_id="alpha", data_id=alphas, size_gib=1)
        record, job = import_record(site.service, FOR_BETA, new)
        site.succeeded(job)
        with pytest.raises(ForgetRefused, match="a worker runs"):
            look(place_of(site), "alpha")
    return {"alpha": alphas, "beta": record.id, "gamma": gammas}


@pytest.mark.heavy
def test_nothing_can_be_read_any_more_and_others_keep_theirs(site: Site, full: dict[str, str]) -> None:
    secrets = secrets_of(site, "alpha")
    header = site.directory / "store" / "alpha" / HEADER_NAME
    assert [*found_in(site.directory, secrets)] == [header]
    kept = {info.name: site.store.get(info.name) for info in site.store.list("alpha/")}
    doomed = look(place_of(site), "alpha")
    assert doomed == Doomed(backups={"alpha": 1, "beta": 1}, shares=1, objects=len(kept), has_key=True)
    forget(place_of(site), load_root_key(site.directory / "root.key"), "alpha", on_removed=nobody_waits)
    assert [*site.store.list("alpha/")] == []
    assert [*found_in(site.directory, secrets)] == []
    assert not (site.directory / "cache" / "alpha").exists()
    with site.database.read() as connection:
        assert shares.live_of_backup(connection, full["alpha"], now=utc_now()) == []
        events = audit.list_page(connection, AuditQuery(backup_id=full["alpha"], limit=2), project_id="alpha").items
    assert {(event.action, event.actor_user_id) for event in events} == {
        ("share.cancel", "operator"),
        ("backup.delete", "operator"),
    }
    for who, backup_id in ((ALPHA, full["alpha"]), (BETA, full["alpha"]), (BETA, full["beta"])):
        with pytest.raises(BackupNotFound):
            restore_backup(site.service, who, backup_id, NewRestore())
    _nothing_opens(site, kept, full["alpha"])
    with pytest.raises(ForgetRefused, match="nothing of a project alpha"):
        look(place_of(site), "alpha")
    with site.worker():
        assert restored(site, GAMMA, full["gamma"]).pieces
        anew = made(site, ALPHA, "anew")
        assert restored(site, ALPHA, anew).pieces
    assert secrets_of(site, "alpha") != secrets


def _nothing_opens(site: Site, kept: dict[str, bytes], backup_id: str) -> None:
    """Who kept every object but the header, and has the root key, opens none of them."""
    header = parse_header(kept.pop(f"alpha/{HEADER_NAME}"))
    root = load_root_key(site.directory / "root.key")
    name = BACKUPS + backup_id
    others = [site.store.get(f"gamma/{HEADER_NAME}")]
    candidates = [root.secret, *(unwrap_header(other, root)[1] for other in others)]
    assert len(kept) > 3
    for candidate in candidates:
        codec = Codec(derive_project_keys(candidate, header.repository_id), header.block_size_bytes)
        with pytest.raises(Corrupt):
            codec.open_object(name, ObjectKind.BACKUP, kept[f"alpha/{name}"])


@pytest.fixture
def service(new_database_url: Callable[[], str]) -> Iterator[Service]:
    with made_service(new_database_url()) as service:
        yield service


def test_the_plain_bytes_that_backups_were_made_of_go_before_the_key(service: Service, tmp_path: Path) -> None:
    """Clones that backups left for the next one, put here by hand: not every filesystem can make them."""
    store = MemoryStore()
    with new_repository(prefixed(store, "alpha")):
        """One that has its header, and so its key."""
    alive, deleted, others = add_backup(service, "alpha"), add_backup(service, "alpha"), add_backup(service, "gamma")
    with service.database.write() as connection:
        backups.mark_deleted(connection, deleted, now=service.clock())
        backups.mark_purged(connection, deleted, now=service.clock())
    files = VolumeFiles(tmp_path)
    files.prepare()
    bases = {backup_id: tmp_path / "bases" / f"{new_id()}.{backup_id}" for backup_id in (alive, deleted, others)}
    for base in bases.values():
        base.write_bytes(b"plain")
    failing = NthCallFails(store, 1, after=False)
    place = place_in(service, failing, tmp_path)
    with pytest.raises(StoreUnavailable):
        forget(place, ROOT_KEY, "alpha", on_removed=nobody_waits)
    open_repository(prefixed(store, "alpha"), ROOT_KEY).close()
    assert [path.name for path in (tmp_path / "bases").iterdir()] == [bases[others].name]
    bases[alive].write_bytes(b"as if a crash had come before")
    forget(place, ROOT_KEY, "alpha", on_removed=nobody_waits)
    assert [path.name for path in (tmp_path / "bases").iterdir()] == [bases[others].name]
    assert [*store.list("alpha/")] == []


def test_whichever_call_of_the_store_fails_repeating_it_goes_on(service: Service, tmp_path: Path) -> None:
    first = MemoryStore()
    made = {}
    for project in ("alpha", "gamma"):
        with new_repository(prefixed(first, project)) as repository:
            made[project] = back_up_bytes(repository, random_bytes(3)).facts.backup_id
    before = {info.name: first.get(info.name) for info in first.list("")}
    unreadable = 0
    for after in (False, True):
        for n in count():
            store = MemoryStore()
            for name, data in before.items():
                store.put(name, data)
            failing = NthCallFails(store, n, after=after)
            try:
                forget(place_in(service, failing, tmp_path), ROOT_KEY, "alpha", on_removed=nobody_waits)
            except StoreUnavailable:
                unreadable += _is_unreadable(prefixed(store, "alpha"))
                forget(place_in(service, store, tmp_path), ROOT_KEY, "alpha", on_removed=nobody_waits)
            assert [*store.list("alpha/")] == []
            with open_repository(prefixed(store, "gamma"), ROOT_KEY) as repository:
                assert repository.load_backup(made["gamma"])
            if not failing.failed:
                break
        assert n > 5
    assert unreadable > 5


def _is_unreadable(repository: Store) -> bool:
    """As long as something opens it, all of it is there."""
    try:
        open_repository(repository, ROOT_KEY).close()
    except WrongKey:
        return True
    except RepositoryMissing:
        # The header goes last: a new repository must not begin among what is left of this one.
        assert [*repository.list("")] == []
        return True
    assert {info.name.partition("/")[0] for info in repository.list("")} >= {"backups", "packs", "index"}
    return False


def test_work_under_way_and_workers_are_waited_for(service: Service, tmp_path: Path) -> None:
    backup_id = add_backup(service, "alpha")
    place = place_in(service, MemoryStore(), tmp_path)
    assert look(place, "alpha").backups == {"alpha": 1}
    share_backup(service, ALPHA, backup_id, ["beta"])
    *_, job = restore_backup(service, BETA, backup_id, NewRestore())
    for call in (look, partial(forget, root_key=ROOT_KEY, on_removed=nobody_waits)):
        with pytest.raises(ForgetRefused, match="under way"):
            call(place, project_id="alpha")
    end_job(service, job)
    now = service.clock()
    with service.database.write() as connection:
        workers.beat(connection, "killed", host="h", pid=1, started_at=now, now=now)
    for call in (look, partial(forget, root_key=ROOT_KEY, on_removed=nobody_waits)):
        with pytest.raises(ForgetRefused, match="killed"):
            call(place, project_id="alpha")
    with service.database.read() as connection:
        assert len(shares.live_of_backup(connection, backup_id, now=now)) == 1
    later = replace(place, clock=lambda: now + LATER)
    assert look(later, "alpha") == Doomed(backups={"alpha": 1}, shares=1, objects=0, has_key=False)
