"""Creating, deleting and restoring backups: what is refused and why, and that a refusal changes nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from openvbs.actions import backups, restores, shares, snapshots, volumes
from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import backups as backup_rows
from openvbs.db import tables
from openvbs.domain import errors
from openvbs.domain.backup import BackupQuery, NewBackup, NewRestore
from openvbs.domain.errors import RuleError
from openvbs.domain.share import ShareQuery
from openvbs.domain.volume import NewVolume, VolumeStatus
from tests.support.actions import add_backup, add_volume, caller, end_job, made_service

ALPHA, BETA, GAMMA = caller("alpha"), caller("beta"), caller("gamma")
ADMIN = caller("admin", role="admin", sees_all=True)


@pytest.fixture
def service(new_database_url: Callable[[], str]) -> Iterator[Service]:
    with made_service(new_database_url()) as made:
        yield made


def everything(service: Service) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, to see that a refused request changed none."""
    with service.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables
        }


def volume_status(service: Service, volume_id: str) -> str:
    return volumes.get_volume(service, caller("alpha", sees_all=True), volume_id).status


def backup_status(service: Service, who: Any, backup_id: str) -> str:
    return backups.get_backup(service, who, backup_id)[0].status


@pytest.mark.parametrize("status", [s for s in VolumeStatus if s != VolumeStatus.AVAILABLE])
def test_only_an_available_volume_is_backed_up(service: Service, status: str) -> None:
    volume_id = add_volume(service, "alpha", status=status)
    before = everything(service)
    with pytest.raises(errors.VolumeBusy):
        backups.create_backup(service, ALPHA, NewBackup(volume_id=volume_id))
    assert everything(service) == before


def test_a_second_backup_of_a_volume_waits_for_the_first(service: Service) -> None:
    volume_id = add_volume(service, "alpha")
    backups.create_backup(service, ALPHA, NewBackup(volume_id=volume_id))
    with pytest.raises(errors.BackupUnfinished):
        backups.create_backup(service, ALPHA, NewBackup(volume_id=volume_id))


def test_of_many_backups_at_once_one_is_accepted(service: Service) -> None:
    volume_id = add_volume(service, "alpha")

    def attempt(_number: int) -> bool:
        try:
            backups.create_backup(service, ALPHA, NewBackup(volume_id=volume_id))
        except errors.BackupUnfinished:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def test_another_projects_volume_is_not_there(service: Service) -> None:
    volume_id = add_volume(service, "alpha")
    with pytest.raises(errors.VolumeNotFound):
        backups.create_backup(service, BETA, NewBackup(volume_id=volume_id))


def test_an_incremental_backup_needs_an_available_one_before_it(service: Service) -> None:
    volume_id = add_volume(service, "alpha")
    with pytest.raises(errors.NoParentBackup):
        backups.create_backup(service, ALPHA, NewBackup(volume_id=volume_id, incremental=True))


def test_ceilings_name_themselves(new_database_url: Callable[[], str]) -> None:
    with made_service(new_database_url(), backups_max=1) as service:
        add_backup(service, "alpha")
        with pytest.raises(errors.BackupCountExceeded, match="exceed"):
            add_backup(service, "alpha")
    with made_service(new_database_url(), backup_gigabytes_max=1) as service:
        add_backup(service, "alpha")
        with pytest.raises(errors.BackupGigabytesExceeded, match="exceed"):
            add_backup(service, "alpha")
    with made_service(new_database_url(), backups_per_volume_max=0) as service, pytest.raises(errors.QuotaExceeded):
        add_backup(service, "alpha")


def test_a_backup_that_is_being_made_is_not_deleted_shared_or_restored(service: Service) -> None:
    backup_id = add_backup(service, "alpha", status="creating")
    before = everything(service)
    with pytest.raises(errors.BackupNotDeletable):
        backups.delete_backup(service, ALPHA, backup_id)
    with pytest.raises(errors.BackupNotUsable):
        shares.share_backup(service, ALPHA, backup_id, ["beta"])
    with pytest.raises(errors.BackupNotUsable):
        restores.restore_backup(service, ALPHA, backup_id, NewRestore())
    assert everything(service) == before


def test_restoring_is_seen_by_the_project_that_restores_and_by_no_other(service: Service) -> None:
    backup_id = add_backup(service, "alpha")
    shares.share_backup(service, ALPHA, backup_id, ["beta", "gamma"])
    _, _, job = restores.restore_backup(service, BETA, backup_id, NewRestore())
    assert backup_status(service, BETA, backup_id) == "restoring"
    assert backup_status(service, ALPHA, backup_id) == "available"
    assert backup_status(service, GAMMA, backup_id) == "available"
    assert backups.list_backups(service, ALPHA, BackupQuery(status="restoring")).items == []
    end_job(service, job)
    assert backup_status(service, BETA, backup_id) == "available"
    restores.restore_backup(service, ALPHA, backup_id, NewRestore())
    assert [b.id for b in backups.list_backups(service, ALPHA, BackupQuery(status="restoring")).items] == [backup_id]


def test_lists_are_filtered_by_the_status_that_the_viewer_sees(service: Service) -> None:
    resting, read_by_alpha, read_by_beta = (add_backup(service, "alpha") for _ in range(3))
    broken = add_backup(service, "alpha", status="error")
    for backup_id in (resting, read_by_alpha, read_by_beta):
        shares.share_backup(service, ALPHA, backup_id, ["beta"])
    restores.restore_backup(service, ALPHA, read_by_alpha, NewRestore())
    restores.restore_backup(service, BETA, read_by_beta, NewRestore())

    def own(status: str) -> set[str]:
        return {backup.id for backup in backups.list_backups(service, ALPHA, BackupQuery(status=status)).items}

    def shared(who: Caller, status: str) -> set[str]:
        query = ShareQuery(share_to_me=who is BETA, status=status)
        found = shares.list_shares(service, who, query).items
        assert shares.count_shares(service, who, query) == len(found)
        assert {item.backup.status for item in found} <= {status}
        return {item.backup.id for item in found}

    seen = {"available": {resting, read_by_beta}, "restoring": {read_by_alpha}}
    assert {status: own(status) for status in ("available", "restoring", "error")} == seen | {"error": {broken}}
    assert {status: shared(ALPHA, status) for status in seen} == seen
    assert shared(BETA, "available") == {resting, read_by_alpha}
    assert shared(BETA, "restoring") == {read_by_beta}
    assert shared(BETA, "error") == set()


def test_only_the_owners_own_restore_hinders_a_deletion(service: Service) -> None:
    backup_id = add_backup(service, "alpha")
    shares.share_backup(service, ALPHA, backup_id, ["beta"])
    _, _, own = restores.restore_backup(service, ALPHA, backup_id, NewRestore())
    with pytest.raises(errors.BackupNotDeletable):
        backups.delete_backup(service, ALPHA, backup_id)
    end_job(service, own)
    _, _, foreign = restores.restore_backup(service, BETA, backup_id, NewRestore())
    backups.delete_backup(service, ALPHA, backup_id)
    with service.database.write() as connection:
        backup_rows.mark_deleted(connection, backup_id, now=service.clock())
        assert backup_rows.purgeable(connection, "alpha") == []
    end_job(service, foreign)
    with service.database.read() as connection:
        assert [gone_id for gone_id, _ in backup_rows.purgeable(connection, "alpha")] == [backup_id]


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        ("error", errors.TargetInError),
        ("error_extending", errors.TargetInError),
        ("backing-up", errors.TargetBackingUp),
        ("creating", errors.TargetBusy),
        ("restoring-backup", errors.TargetBusy),
        ("error_restoring", None),
        ("available", None),
    ],
)
def test_which_volumes_take_a_restore(service: Service, status: str, refusal: type[RuleError] | None) -> None:
    backup_id = add_backup(service, "alpha")
    target = add_volume(service, "alpha", status=status)
    if refusal is None:
        restores.restore_backup(service, ALPHA, backup_id, NewRestore(volume_id=target))
        assert volume_status(service, target) == "restoring-backup"
    else:
        with pytest.raises(refusal):
            restores.restore_backup(service, ALPHA, backup_id, NewRestore(volume_id=target))


def test_a_restore_into_a_smaller_or_foreign_volume_is_refused(service: Service) -> None:
    volume_id = add_volume(service, "alpha", size_gib=2)
    backup, job = backups.create_backup(service, ALPHA, NewBackup(volume_id=volume_id))
    end_job(service, job)
    with service.database.write() as connection:
        backup_rows.update(connection, backup.id, now=service.clock(), status="available")
    with pytest.raises(errors.TargetTooSmall):
        restores.restore_backup(service, ALPHA, backup.id, NewRestore(volume_id=add_volume(service, "alpha")))
    with pytest.raises(errors.TargetVolumeNotFound):
        restores.restore_backup(service, ALPHA, backup.id, NewRestore(volume_id=add_volume(service, "beta")))


def test_a_recipient_learns_nothing_of_the_owners_volume(service: Service) -> None:
    backup_id = add_backup(service, "alpha")
    shares.share_backup(service, ALPHA, backup_id, ["beta"])
    _, _, own = restores.restore_backup(service, ALPHA, backup_id, NewRestore())
    _, foreign_volume, foreign = restores.restore_backup(service, BETA, backup_id, NewRestore())
    own_values, foreign_values = own.arguments["volume_values"], foreign.arguments["volume_values"]
    assert isinstance(own_values, dict)
    assert own_values["name"] == "disk"
    assert own_values["metadata"] == {"owner": "keeps this", "src_backup_id": backup_id}
    assert own_values["description"] == "secret words"
    assert foreign_values == {"bootable": True, "image_metadata": {"os": "debian"}}
    assert foreign_volume.name == f"restore_backup_{backup_id}"


def test_an_admin_who_sees_all_reads_and_deletes_but_does_not_restore(service: Service) -> None:
    backup_id = add_backup(service, "alpha")
    admin = caller("operators", role="admin", sees_all=True)
    assert backups.get_backup(service, admin, backup_id)[0].id == backup_id
    with pytest.raises(errors.RestoreBackupNotFound):
        restores.restore_backup(service, admin, backup_id, NewRestore())
    backups.delete_backup(service, admin, backup_id)


def test_a_volume_from_a_shared_backup_belongs_to_the_recipient(service: Service) -> None:
    backup_id = add_backup(service, "alpha")
    shares.share_backup(service, ALPHA, backup_id, ["beta"])
    volume, job = volumes.create_volume(service, BETA, NewVolume(size_gib=3, name="mine", backup_id=backup_id))
    assert (volume.project_id, volume.size_gib, job.kind) == ("beta", 3, "bksRestoreBackup")
    with pytest.raises(errors.BadRequest):
        volumes.create_volume(service, BETA, NewVolume(size_gib=0, backup_id=backup_id))
    with pytest.raises(errors.RestoreBackupNotFound):
        volumes.create_volume(service, GAMMA, NewVolume(size_gib=3, backup_id=backup_id))


def test_a_volume_with_snapshots_is_deleted_only_with_them(service: Service) -> None:
    volume_id = add_volume(service, "alpha")
    snapshot, job = snapshots.create_snapshot(service, ALPHA, volume_id=volume_id)
    with pytest.raises(errors.VolumeBusy):
        volumes.delete_volume(service, ALPHA, volume_id)
    end_job(service, job)
    with service.database.write() as connection:
        connection.execute(tables.volumes.update().values(status="available"))
        connection.execute(tables.snapshots.update().values(status="available"))
    with pytest.raises(errors.VolumeHasSnapshots):
        volumes.delete_volume(service, ALPHA, volume_id)
    volumes.delete_volume(service, ALPHA, volume_id, cascade=True)
    assert snapshots.get_snapshot(service, ALPHA, snapshot.id).status == "deleting"


def test_pages_show_every_backup_once_in_every_order(service: Service) -> None:
    names = ["b", None, "a", "c", None, "a"]
    made = [add_backup(service, "alpha") for _ in names]
    for backup_id, name in zip(made, names, strict=True):
        backups.update_backup(service, ALPHA, backup_id, name=name)
    for key in ("name", "created_at", "updated_at", "status", "size", "id"):
        for way in ("asc", "desc"):
            whole = backups.list_backups(service, ALPHA, BackupQuery(sort=((key, way),), with_count=True))
            assert (sorted(b.id for b in whole.items), whole.total) == (sorted(made), len(made))
            walked: list[str] = []
            more = True
            while more:
                marker = walked[-1] if walked else None
                page = backups.list_backups(service, ALPHA, BackupQuery(sort=((key, way),), limit=2, marker=marker))
                walked += [b.id for b in page.items]
                more = page.has_more
            assert walked == [b.id for b in whole.items]


def test_backups_of_one_size_follow_their_names(service: Service) -> None:
    made = {name: add_backup(service, "alpha") for name in ("b", "c", "a")}
    for name, backup_id in made.items():
        backups.update_backup(service, ALPHA, backup_id, name=name)

    def listed(*sort: tuple[str, str]) -> list[str | None]:
        return [backup.name for backup in backups.list_backups(service, ALPHA, BackupQuery(sort=sort)).items]

    assert listed(("size", "asc")) == listed(("size", "desc"))[::-1] == ["a", "b", "c"]
    assert listed(("size", "asc"), ("name", "desc")) == ["c", "b", "a"]
    assert listed(("size", "asc"), ("created_at", "asc")) == ["b", "c", "a"]


def test_a_piece_of_a_name_finds_own_backups_that_are_there(service: Service) -> None:
    made = {name: add_backup(service, "alpha") for name in ("Nightly-1", "nightly-12", "weekly", "nightly-0")}
    foreign = add_backup(service, "beta")
    for name, backup_id in made.items():
        backups.update_backup(service, ALPHA, backup_id, name=name)
    backups.update_backup(service, BETA, foreign, name="nightly-2")
    with service.database.write() as connection:
        backup_rows.mark_deleted(connection, made["nightly-0"], now=datetime.now(UTC))

    def found(caller: Caller, **query: bool) -> set[str | None]:
        page = backups.list_backups(service, caller, BackupQuery(name_like="NIGHTLY", with_count=True, **query))
        assert page.total == len(page.items)
        return {backup.name for backup in page.items}

    assert found(ALPHA) == {"Nightly-1", "nightly-12"}
    assert found(BETA) == {"nightly-2"}
    assert found(ADMIN, all_projects=True) == {"Nightly-1", "nightly-12", "nightly-2"}


def test_shares_in_every_order_with_every_filter(service: Service) -> None:
    made = {}
    for name in ("b", "nightly-1", "a", "Nightly-2"):
        made[name] = add_backup(service, "alpha")
        backups.update_backup(service, ALPHA, made[name], name=name)
        shares.share_backup(service, ALPHA, made[name], ["beta"])
    add_backup(service, "alpha")  # not shared
    foreign = add_backup(service, "gamma")
    backups.update_backup(service, GAMMA, foreign, name="nightly-3")
    shares.share_backup(service, GAMMA, foreign, ["alpha", "beta"])
    for sort_key in ("name", "size", "status", "id", "created_at", "updated_at"):
        for sort_dir in ("asc", "desc"):
            for filters, own in (({}, set(made)), ({"name_like": "nightly"}, {"nightly-1", "Nightly-2"})):
                for status in ({}, {"status": "available"}):
                    query = {**filters, **status, "sort_key": sort_key, "sort_dir": sort_dir}
                    assert walked(service, ALPHA, query) == own, query
                    received = own | {"nightly-3"}
                    assert walked(service, BETA, {**query, "share_to_me": True}) == received, query
                    assert walked(service, ALPHA, {**query, "share_to_me": True}) == {"nightly-3"}, query
                    assert walked(service, ALPHA, {**query, "status": "error"}) == set(), query


def walked(service: Service, who: Caller, query: dict[str, Any]) -> set[str | None]:
    """The names in a list of shares, read two at a time; each comes once, and as many as the count says."""
    names: list[str | None] = []
    marker = None
    while True:
        page = shares.list_shares(service, who, ShareQuery(**query, limit=2, marker=marker))
        names += [shared.backup.name for shared in page.items]
        if not page.has_more:
            break
        marker = page.items[-1].share.id
    assert len(names) == len(set(names)) == shares.count_shares(service, who, ShareQuery(**query)), (query, names)
    return set(names)


def test_a_marker_of_another_project_is_unknown(service: Service) -> None:
    foreign = add_backup(service, "beta")
    with pytest.raises(errors.MarkerNotFound):
        backups.list_backups(service, ALPHA, BackupQuery(marker=foreign))
