"""The ordinary tools, unchanged: each makes, lists, shows, restores and removes a volume, a snapshot and a backup."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cinderclient import client as cinder
from cinderclient import exceptions as cinder_errors
from openstack import exceptions as sdk_errors

from openvbs.units import MIB
from tests.support.images import digest, write_image
from tests.support.parties import Party
from tests.support.service import RunningService
from tests.support.steps import gone
from tests.support.waiting import until

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("clients") / "image", data_bytes=32 * MIB, seed=1)


@pytest.fixture(scope="module")
def golden(service: RunningService, image: Path) -> str:
    """The id of a volume of alpha's that holds the image."""
    done = run(service, "openvbs", "volume", "import", image, "--project", "alpha", "--name", "golden", "--json")
    return str(json.loads(done)["id"])


def run(service: RunningService, program: str, *arguments: Any) -> str:
    """What a program of ours printed; it must end well."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(service.data_dir),
        "OS_CLIENT_CONFIG_FILE": str(service.clouds_file),
    }
    where = ["--data-dir", service.data_dir] if program == "openvbs" else ["--os-cloud", "openvbs-alpha"]
    command = [BIN / program, *arguments, *where] if program == "openvbs" else [BIN / program, *where, *arguments]
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


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


def test_cinderclient(service: RunningService, connection: Any, golden: str, image: Path) -> None:
    client = cinder.Client("3.64", session=connection.session, region_name="RegionOne")

    def is_now(collection: Any, wanted_id: str, status: str) -> Any:
        return until(lambda: (collection.get(wanted_id).status == status) or None, what=f"{wanted_id} {status}")

    def is_gone(collection: Any, wanted_id: str) -> None:
        def missing() -> bool:
            try:
                collection.get(wanted_id)
            except cinder_errors.NotFound:
                return True
            return False

        until(missing, what=f"{wanted_id} gone")

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

    restore = client.restores.restore(incremental.id, volume_id=volume.id)
    assert (restore.backup_id, restore.volume_id, restore.volume_name) == (incremental.id, volume.id, "cinder")
    is_now(client.volumes, volume.id, "available")
    assert same_bytes(service, volume.id, image)
    made = client.restores.restore(backup.id)
    is_now(client.volumes, made.volume_id, "available")
    assert same_bytes(service, made.volume_id, image)

    for collection, wanted_id in (
        (client.backups, backup.id),
        (client.backups, incremental.id),
        (client.volume_snapshots, snapshot.id),
        (client.volumes, volume.id),
        (client.volumes, made.volume_id),
    ):
        collection.delete(wanted_id)
        is_gone(collection, wanted_id)


def test_openstackclient(service: RunningService, alpha: Party, golden: str, image: Path, tmp_path: Path) -> None:
    def call(*arguments: str) -> Any:
        return json.loads(run(service, "openstack", *arguments, "-f", "json"))

    def is_now(target: str, kind: str, status: str) -> None:
        until(lambda: alpha.get(target)[kind]["status"] == status, what=f"{target} {status}")

    volume = call("volume", "create", "--size", "1", "cli")["id"]
    snapshot = call("volume", "snapshot", "create", "--volume", golden, "cli-snap")["id"]
    is_now(f"/v3/{{p}}/snapshots/{snapshot}", "snapshot", "available")
    is_now(f"/v3/{{p}}/volumes/{golden}", "volume", "available")
    backup = call("volume", "backup", "create", "--name", "monday", golden)["id"]
    is_now(f"/v3/{{p}}/backups/{backup}", "backup", "available")

    assert "cli" in {row["Name"] for row in call("volume", "list")}
    assert call("volume", "show", "cli")["status"] == "available"
    assert "cli-snap" in {row["Name"] for row in call("volume", "snapshot", "list")}
    assert call("volume", "snapshot", "show", "cli-snap")["volume_id"] == golden
    assert "monday" in {row["Name"] for row in call("volume", "backup", "list")}
    assert call("volume", "backup", "show", "monday")["id"] == backup

    assert call("volume", "backup", "restore", "monday", "newvolume")["volume_name"] == "newvolume"
    (restored,) = (found["id"] for found in alpha.get("/v3/{p}/volumes?name=newvolume")["volumes"])
    is_now(f"/v3/{{p}}/volumes/{restored}", "volume", "available")
    run(service, "openvbs", "volume", "export", restored, tmp_path / "exported")
    assert digest(tmp_path / "exported") == digest(image)

    run(service, "openstack", "volume", "backup", "delete", "monday")
    run(service, "openstack", "volume", "snapshot", "delete", "cli-snap")
    run(service, "openstack", "volume", "delete", "cli", "newvolume")
    for target in (f"backups/{backup}", f"snapshots/{snapshot}", f"volumes/{volume}", f"volumes/{restored}"):
        gone(alpha, f"/v3/{{p}}/{target}")
