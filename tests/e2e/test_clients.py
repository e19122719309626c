"""openstacksdk and python-cinderclient, unchanged: all that they can do with backups, and what that needs beside."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cinderclient import client as cinder
from cinderclient import exceptions as cinder_errors
from openstack import exceptions as sdk_errors

from tests.support.images import digest
from tests.support.parties import Party
from tests.support.service import RunningService
from tests.support.waiting import until


def same_bytes(service: RunningService, volume_id: str, image: Path) -> bool:
    """True when the volume's file holds what the image holds."""
    return digest(service.data_dir / "volumes" / volume_id) == digest(image)


@pytest.fixture
def connection(service: RunningService) -> Iterator[Any]:
    with service.connection("openvbs-alpha") as connection:
        yield connection


def test_openstacksdk(service: RunningService, connection: Any, golden: str, image: Path) -> None:
    storage = connection.block_storage
    volume = storage.wait_for_status(storage.create_volume(name="sdk", size=1), interval=0.1)
    assert volume.id in {found.id for found in storage.volumes()}
    assert storage.find_volume("sdk").id == volume.id
    assert storage.update_volume(volume, description="made by the SDK").description == "made by the SDK"

    snapshot = storage.wait_for_status(storage.create_snapshot(volume_id=golden, name="sdk-snap"), interval=0.1)
    assert snapshot.id in {found.id for found in storage.snapshots()}
    assert storage.get_snapshot(snapshot.id).volume_id == golden
    copy = storage.wait_for_status(storage.create_volume(name="of snapshot", snapshot_id=snapshot.id), interval=0.1)
    assert same_bytes(service, copy.id, image)
    storage.delete_volume(copy, ignore_missing=False)
    storage.wait_for_delete(copy, interval=0.1)

    backup = storage.create_backup(volume_id=golden, snapshot_id=snapshot.id, name="sdk backup", metadata={"a": "b"})
    backup = storage.wait_for_status(backup, interval=0.1)
    assert (backup.name, backup.size, backup.volume_id, backup.is_incremental) == ("sdk backup", 1, golden, False)
    assert backup.id in {found.id for found in storage.backups(details=True)}
    assert storage.find_backup("sdk backup").id == backup.id
    assert [found.id for found in storage.backups(name="sdk backup", status="available", volume_id=golden)] == [
        backup.id
    ]
    assert list(storage.backups(name="sdk backup", status="error")) == []
    incremental = storage.create_backup(volume_id=golden, name="sdk incremental", is_incremental=True)
    incremental = storage.wait_for_status(incremental, interval=0.1)
    assert incremental.is_incremental is True
    pages = storage.backups(volume_id=golden, limit=1, sort="created_at:asc", all_projects=True)
    mine = [found.id for found in pages if found.id in {backup.id, incremental.id}]
    assert mine == [backup.id, incremental.id]
    changed = storage.update_backup(backup, name="renamed", description="better", metadata={"c": "d"})
    assert changed.name == "renamed"
    shown = storage.get_backup(backup.id)
    assert (shown.description, shown.metadata, shown.project_id) == ("better", {"c": "d"}, backup.project_id)
    for forbidden in (storage.export_backup, lambda one: storage.reset_backup_status(one, status="error")):
        with pytest.raises(sdk_errors.ForbiddenException):
            forbidden(shown)
    assert storage.get_limits().absolute.total_backups_used >= 2
    quotas = storage.get_quota_set(connection.current_project_id, usage=True)
    assert (quotas.backups, quotas.usage["backups"] >= 2) == (-1, True)
    storage.delete_backup(incremental, ignore_missing=False)
    storage.wait_for_delete(incremental, interval=0.1)

    storage.restore_backup(backup, volume=volume)
    storage.wait_for_status(storage.get_volume(volume.id), interval=0.1, failures=["error_restoring"])
    assert same_bytes(service, volume.id, image)

    storage.delete_backup(backup, ignore_missing=False)
    storage.wait_for_delete(backup, interval=0.1)
    storage.delete_snapshot(snapshot, ignore_missing=False)
    storage.wait_for_delete(snapshot, interval=0.1)
    storage.delete_volume(volume, ignore_missing=False)
    storage.wait_for_delete(volume, interval=0.1)
    for ask, removed in (
        (storage.get_backup, backup),
        (storage.get_snapshot, snapshot),
        (storage.get_volume, volume),
    ):
        with pytest.raises(sdk_errors.NotFoundException):
            ask(removed.id)


def is_now(collection: Any, wanted_id: str, status: str) -> None:
    until(lambda: collection.get(wanted_id).status == status, what=f"{wanted_id} {status}")


def is_gone(collection: Any, wanted_id: str) -> None:
    def missing() -> bool:
        try:
            collection.get(wanted_id)
        except cinder_errors.NotFound:
            return True
        return False

    until(missing, what=f"{wanted_id} gone")


def cinder_client(connection: Any) -> Any:
    return cinder.Client("3.64", session=connection.session, region_name="RegionOne")


def check_lists(backups: Any, volume_id: str, ids: list[str]) -> None:
    """``ids`` are all backups of the volume, the oldest first."""

    def found(**wanted: Any) -> list[str]:
        return [
            row.id for row in backups.list(search_opts={"volume_id": volume_id, **wanted.pop("also", {})}, **wanted)
        ]

    assert found() == ids[::-1]
    assert found(detailed=False, sort="created_at:asc") == ids
    assert found(sort="name:asc") == found(sort="name:desc")[::-1]
    assert found(limit=1, marker=ids[-1]) == [ids[-2]]
    assert found(also={"status": "available", "all_tenants": 1}) == ids[::-1]
    assert found(also={"status": "error"}) == []
    assert found(also={"name~": "INCREMENTAL"}) == [ids[-1]]
    rows, count = backups.list(search_opts={"volume_id": volume_id, "with_count": True}, limit=1)
    assert ([row.id for row in rows], count) == ([ids[-1]], len(ids))
    with pytest.raises(cinder_errors.BadRequest, match="Invalid filters host"):
        found(also={"host": "x"})


def test_cinderclient(service: RunningService, connection: Any, golden: str, image: Path) -> None:
    client = cinder_client(connection)
    volume = client.volumes.create(1, name="cinder")
    is_now(client.volumes, volume.id, "available")
    assert volume.id in {found.id for found in client.volumes.list()}
    snapshot = client.volume_snapshots.create(golden, name="cinder-snap")
    is_now(client.volume_snapshots, snapshot.id, "available")
    assert snapshot.id in {found.id for found in client.volume_snapshots.list()}

    backup = client.backups.create(golden, name="cinder backup", description="by cinderclient")
    is_now(client.backups, backup.id, "available")
    is_now(client.volumes, golden, "available")
    found = client.backups.get(backup.id)
    assert (found.name, found.description, found.volume_id) == ("cinder backup", "by cinderclient", golden)
    assert backup.id in {row.id for row in client.backups.list(detailed=True, search_opts={"name": "cinder backup"})}
    incremental = client.backups.create(golden, incremental=True, name="cinder incremental")
    is_now(client.backups, incremental.id, "available")
    assert client.backups.get(incremental.id).is_incremental is True
    check_lists(client.backups, golden, [backup.id, incremental.id])
    client.backups.update(backup, name="renamed", description=None, metadata={"k": "v"})
    changed = client.backups.get(backup.id)
    assert (changed.name, changed.description, changed.metadata) == ("renamed", None, {"k": "v"})
    assert client.backups.find(name="renamed").id == backup.id
    limits = {limit.name: limit.value for limit in client.limits.get().absolute}
    assert limits["totalBackupsUsed"] >= 2
    for forbidden in (client.backups.export_record, lambda one: client.backups.delete(one, force=True)):
        with pytest.raises(cinder_errors.Forbidden):
            forbidden(backup.id)

    restore = client.restores.restore(incremental.id, volume_id=volume.id)
    assert (restore.backup_id, restore.volume_id, restore.volume_name) == (incremental.id, volume.id, "cinder")
    is_now(client.volumes, volume.id, "available")
    assert same_bytes(service, volume.id, image)
    made = client.restores.restore(backup.id)
    is_now(client.volumes, made.volume_id, "available")
    assert same_bytes(service, made.volume_id, image)
    sized = client.volumes.create(2, name="larger", backup_id=backup.id)
    is_now(client.volumes, sized.id, "available")
    assert client.volumes.get(sized.id).size == 2

    for collection, wanted_id in (
        (client.backups, backup.id),
        (client.backups, incremental.id),
        (client.volume_snapshots, snapshot.id),
        (client.volumes, volume.id),
        (client.volumes, made.volume_id),
        (client.volumes, sized.id),
    ):
        collection.delete(wanted_id)
        is_gone(collection, wanted_id)


def test_cinderclient_hands_a_record_on(
    service: RunningService, connection: Any, alpha: Party, golden: str, image: Path
) -> None:
    """Administrators: the record goes to another project, and outlives the one that it was made from."""
    mine = cinder_client(connection).backups.create(golden, name="to be handed on")
    is_now(cinder_client(connection).backups, mine.id, "available")
    with service.connection("openvbs-admin") as admin_connection:
        client = cinder_client(admin_connection)
        assert mine.id in {row.id for row in client.backups.list(search_opts={"all_tenants": 1})}
        assert [row.id for row in client.backups.list(search_opts={"all_tenants": 1, "id": mine.id})] == [mine.id]
        assert client.backups.get(mine.id).user_id
        client.backups.reset_state(mine.id, "error")
        with pytest.raises(cinder_errors.BadRequest, match="Invalid backup"):
            client.backups.export_record(mine.id)
        client.backups.reset_state(mine.id, "available")
        is_now(client.backups, mine.id, "available")

        record = client.backups.export_record(mine.id)
        with pytest.raises(cinder_errors.BadRequest, match="already exists"):
            client.backups.import_record(record["backup_service"], record["backup_url"])
        fields = json.loads(base64.b64decode(record["backup_url"]))
        fields["id"] = str(uuid4())
        url = base64.b64encode(json.dumps(fields).encode()).decode()
        imported = client.backups.import_record(record["backup_service"], url)
        assert (imported["id"], imported["name"]) == (fields["id"], "to be handed on")
        is_now(client.backups, imported["id"], "available")

        client.backups.delete(mine.id, force=True)
        is_gone(client.backups, mine.id)
        made = client.restores.restore(imported["id"], name="from the record")
        is_now(client.volumes, made.volume_id, "available")
        assert same_bytes(service, made.volume_id, image)

        quotas = client.quotas.update(alpha.project_id, backups=2, backup_gigabytes=9)
        assert (quotas.backups, quotas.backup_gigabytes) == (2, 9)
        assert client.quotas.get(alpha.project_id, usage=True).backups["limit"] == 2
        client.quotas.delete(alpha.project_id)
        assert client.quotas.get(alpha.project_id).backups == client.quotas.defaults(alpha.project_id).backups == -1
        client.backups.delete(imported["id"])
        is_gone(client.backups, imported["id"])
        client.volumes.delete(made.volume_id)
        is_gone(client.volumes, made.volume_id)
