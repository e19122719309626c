"""Space comes back by itself."""

from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.jobs import cancel_job, list_jobs
from openvbs.actions.quotas import get_stored_usage
from openvbs.actions.restores import restore_backup
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.domain.job import Job, JobKind, JobQuery
from openvbs.units import GIB, MIB
from tests.support.actions import caller
from tests.support.site import Site
from tests.support.stores import GatedStore
from tests.support.waiting import until

ALPHA = caller("alpha")


def stored_bytes(site: Site) -> int:
    return sum(info.size_bytes for info in site.store.list("alpha/packs/"))


def collections(site: Site) -> list[Job]:
    return list_jobs(site.service, ALPHA, JobQuery(kind=JobKind.COLLECT)).items


def test_deletes_are_gathered_into_one_collection_that_gives_the_space_back(site: Site) -> None:
    with site.worker(collect_delay_seconds=2):
        asked_before = len(collections(site))
        kept_volume = site.new_volume()
        kept, job = create_backup(site.service, ALPHA, NewBackup(volume_id=kept_volume.id, name="kept"))
        site.succeeded(job)
        kept_bytes = stored_bytes(site)
        volume = site.new_volume(data_bytes=80 * MIB)
        doomed = []
        for name in ("one", "two"):
            site.write_random(volume.id, 40 * MIB, offset=200 * MIB)
            backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name=name))
            site.succeeded(job)
            doomed.append(backup)
        assert stored_bytes(site) > kept_bytes + 100 * MIB
        assert get_stored_usage(site.service, ALPHA).stored_bytes == stored_bytes(site)
        for backup in doomed:
            site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        until(lambda: stored_bytes(site) <= kept_bytes, what="the space comes back")
        _, target, job = restore_backup(site.service, ALPHA, kept.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == site.content(kept_volume.id)
        until(lambda: all(job.status == "SUCCESS" for job in collections(site)), what="the collection ends")
        assert len(collections(site)) == asked_before + 1
        usage = get_stored_usage(site.service, ALPHA)
        assert (usage.backups, usage.data_bytes, usage.stored_bytes) == (1, GIB, stored_bytes(site))


def test_what_a_failed_backup_had_stored_comes_back(site: Site) -> None:
    gated = GatedStore(site.store, "backups/")
    with site.worker(gated, collect_delay_seconds=0.2):
        volume = site.new_volume(data_bytes=50 * MIB)
        _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        until(gated.reached.is_set, what="the store is asked")
        assert stored_bytes(site) > 50 * MIB
        cancel_job(site.service, ALPHA, job.id)
        gated.gate.set()
        site.failed(job)
        until(lambda: stored_bytes(site) == 0, what="the space comes back")


def test_a_collection_asked_for_while_one_runs_follows_it(site: Site) -> None:
    gated = GatedStore(site.store, "candidates")
    with site.worker(gated, collect_delay_seconds=0.1):
        volume = site.new_volume()
        backups = []
        for name in ("one", "two"):
            site.write_random(volume.id, 5 * MIB)
            backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name=name))
            site.succeeded(job)
            backups.append(backup)
        site.succeeded(delete_backup(site.service, ALPHA, backups[0].id))
        until(gated.reached.is_set, what="a collection is under way")
        site.succeeded(delete_backup(site.service, ALPHA, backups[1].id))
        gated.gate.set()
        until(lambda: stored_bytes(site) == 0, what="all the space comes back")


def test_a_day_later_every_repository_is_collected_though_nobody_asks(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
        assert collections(site) == []
    with site.worker(collect_every_seconds=0, collect_delay_seconds=0):
        until(lambda: collections(site) and site.succeeded(collections(site)[0]), what="a collection")
