"""Copies of shared backups by real workers: they outlive share and backup; cancelled and parked as backups are."""

import pytest

from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.copies import copy_backup
from openvbs.actions.jobs import cancel_job
from openvbs.actions.restores import restore_backup
from openvbs.actions.share_ends import ABORTED_BY
from openvbs.actions.shares import cancel_shares_of_backup, share_backup
from openvbs.db import audit
from openvbs.domain.audit import AuditQuery
from openvbs.domain.backup import NO_VOLUME, Backup, NewBackup, NewRestore
from openvbs.domain.volume import Volume
from openvbs.units import MIB
from tests.jobs.test_cancel import in_store
from tests.jobs.test_parking import park_in_the_middle
from tests.support.actions import caller
from tests.support.site import Site
from tests.support.stores import GatedReads, GatedStore
from tests.support.waiting import until

ALPHA, BETA = caller("alpha"), caller("beta")
OUTLIVED = 0.2
"""Seconds for which collections gather deletes, so that what is let go goes while the test looks."""


def shared(site: Site, *, data_bytes: int = 40 * MIB) -> tuple[Volume, Backup]:
    """A backup of alpha's that beta may use."""
    volume = site.new_volume(data_bytes=data_bytes)
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    site.succeeded(job)
    share_backup(site.service, ALPHA, backup.id, ["beta"])
    return volume, backup


def told(site: Site, project: str, backup_id: str) -> list[tuple[str, str, str]]:
    with site.database.read() as connection:
        events = audit.list_page(connection, AuditQuery(backup_id=backup_id), project_id=project).items
    return [(event.action, event.outcome, event.actor_project_id) for event in events if "copy" in event.action]


def test_a_copy_outlives_the_share_and_the_backup(site: Site) -> None:
    with site.worker(collect_delay_seconds=OUTLIVED):
        volume, backup = shared(site)
        then = site.content(volume.id)
    gated = GatedReads(site.store, "alpha/packs/")
    with site.worker(gated, collect_delay_seconds=OUTLIVED):
        copy, job = copy_backup(site.service, BETA, backup.id)
        made = site.backup(copy.id)
        assert made is not None
        assert (made.status, made.volume_id) == ("creating", NO_VOLUME)
        until(gated.reached.is_set, what="the store is asked")
        cancel_shares_of_backup(site.service, ALPHA, backup.id)
        site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        assert in_store(site) == {backup.id}, "the copy still needs it"
        gated.gate.set()
        site.succeeded(job)
        until(lambda: in_store(site) == set(), what="the data is purged after the copy")
        assert told(site, "alpha", backup.id)[0] == ("share.copy_end", "copied", "beta")
        assert told(site, "beta", copy.id)[0] == ("backup.copy_end", "copied", "beta")
        made = site.backup(copy.id)
        assert made is not None
        assert (made.status, made.volume_id, made.progress_percent) == ("available", volume.id, 100)
        assert made.bytes_total == backup.bytes_total
        assert made.bytes_stored >= 40 * MIB
        assert in_store(site, "beta") == {copy.id}
        _, target, job = restore_backup(site.service, BETA, copy.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == then
        site.succeeded(delete_backup(site.service, BETA, copy.id))
        until(lambda: in_store(site, "beta") == set(), what="the copy is gone")


@pytest.mark.parametrize("by", ["recipient", "owner"])
def test_a_copy_that_is_stopped_leaves_nothing_in_the_store(site: Site, by: str) -> None:
    with site.worker():
        _, backup = shared(site)
    gated = GatedStore(site.store, "beta/packs/")
    with site.worker(gated):
        copy, job = copy_backup(site.service, BETA, backup.id)
        until(gated.reached.is_set, what="the store is asked")
        if by == "recipient":
            cancel_job(site.service, BETA, job.id)
        else:
            cancel_shares_of_backup(site.service, ALPHA, backup.id, abort_running=True)
        gated.gate.set()
        ended = site.failed(job)
        who = ABORTED_BY if by == "owner" else "user user-of-beta"
        assert (ended.error_code, ended.fail_reason) == ("VolumeBackup.0027", f"cancelled by {who}")
        made = site.backup(copy.id)
        assert made is not None
        assert (made.status, made.fail_reason) == ("error", ended.fail_reason)
        until(lambda: in_store(site, "beta") == set(), what="what was copied is taken back")
        assert in_store(site) == {backup.id}
        assert told(site, "alpha", backup.id)[0][:2] == ("share.copy_end", "cancelled")
        site.succeeded(delete_backup(site.service, BETA, copy.id))


def test_a_copy_that_is_parked_goes_on(site: Site) -> None:
    with site.worker():
        volume, backup = shared(site, data_bytes=100 * MIB)
    copy, job = copy_backup(site.service, BETA, backup.id, name="kept")
    park_in_the_middle(site, GatedStore(site.store, "beta/packs/"), job)
    with site.worker():
        site.succeeded(job)
        _, target, job = restore_backup(site.service, BETA, copy.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == site.content(volume.id)
