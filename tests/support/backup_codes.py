"""A request for each code of the area VolumeBackup that can be met."""

from typing import Any

from openvbs.actions.backups import create_backup
from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from openvbs.actions.snapshots import create_snapshot
from openvbs.db import volumes
from openvbs.domain.backup import NewBackup
from tests.api.conftest import ALPHA, BETA
from tests.support.actions import add_backup, add_volume, caller
from tests.support.broken import Request, limited, with_a_bug, without_database, without_identity
from tests.support.wsgi import Answer, Client

CLOUD = "/v2/{p}/cloudbackups"
SHARING = "/v2/{p}/os-vendor-backup-sharing"
UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"


def wanting(**fields: Any) -> Request:
    """A backup of a good volume, but for these fields; "..." takes one out."""

    def ask(client: Client, service: Service) -> Answer:
        whole = {"volume_id": add_volume(service, ALPHA), "name": "n", **fields}
        return client.send("POST", CLOUD, body={"backup": {k: v for k, v in whole.items() if v is not ...}})

    return ask


def of_volume(client: Client, volume_id: str, **fields: Any) -> Answer:
    return client.send("POST", CLOUD, body={"backup": {"volume_id": volume_id, "name": "n", **fields}})


def of_a_busy_volume(client: Client, service: Service) -> Answer:
    return of_volume(client, add_volume(service, ALPHA, status="extending"))


def of_a_volume_that_is_backed_up(client: Client, service: Service) -> Answer:
    volume_id = add_volume(service, ALPHA)
    of_volume(client, volume_id)
    return of_volume(client, volume_id)


def of_a_broken_snapshot(client: Client, service: Service) -> Answer:
    volume_id = add_volume(service, ALPHA)
    snapshot, _ = create_snapshot(service, caller(ALPHA), volume_id=volume_id)
    with service.database.write() as connection:
        volumes.update_snapshot(connection, snapshot.id, now=service.clock(), status="error")
        volumes.update_volume(connection, volume_id, now=service.clock(), status="available")
    return of_volume(client, volume_id, snapshot_id=snapshot.id)


def within(**limits: int) -> Request:
    """A backup under other limits."""
    return lambda _, service: of_volume(limited(service, **limits), add_volume(service, ALPHA))


def new_volume_within(**limits: int) -> Request:
    """A volume of 1 GiB under other limits; only the native dialect makes some."""
    return lambda _, service: limited(service, **limits).send("POST", "/v3/{p}/volumes", body={"volume": {"size": 1}})


def new_snapshot_without_room(_client: Client, service: Service) -> Answer:
    wanted = {"snapshot": {"volume_id": add_volume(service, ALPHA)}}
    return limited(service, snapshots_max=0).send("POST", "/v3/{p}/snapshots", body=wanted)


def restore_into(status: str = "available", *, size_gib: int = 1) -> Request:
    """A restore into a volume in this state."""

    def ask(client: Client, service: Service) -> Answer:
        volume_id = add_volume(service, ALPHA, status=status, size_gib=size_gib)
        return restore(client, add_backup(service, ALPHA), volume_id)

    return ask


def restore(client: Client, backup_id: str, volume_id: str) -> Answer:
    return client.send("POST", f"{CLOUD}/{backup_id}/restore", body={"restore": {"volume_id": volume_id}})


def restore_into_a_smaller_one(client: Client, service: Service) -> Answer:
    large = add_volume(service, ALPHA, size_gib=2)
    backup, _ = create_backup(service, caller(ALPHA), NewBackup(volume_id=large, name="b"))
    with service.database.write() as connection:
        connection.exec_driver_sql("UPDATE backups SET status = 'available'")
    return restore(client, backup.id, add_volume(service, ALPHA))


def restore_of_a_broken_one(client: Client, service: Service) -> Answer:
    return restore(client, add_backup(service, ALPHA, status="error"), add_volume(service, ALPHA))


def cancel_an_ended_job(client: Client, service: Service) -> Answer:
    job_id = of_volume(client, add_volume(service, ALPHA)).json()["job_id"]
    client.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
    with service.database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET status = 'FAIL'")
    return client.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")


def share_on(client: Client, service: Service) -> Answer:
    """A recipient shares what is shared with it."""
    backup_id = add_backup(service, ALPHA)
    share_backup(service, caller(ALPHA), backup_id, [BETA])
    wanted = {"shared": {"backup_id": backup_id, "to_project_ids": ["another"]}}
    return Client(client.app, BETA).send("POST", SHARING, body=wanted)


def share_a_broken_one(client: Client, service: Service) -> Answer:
    wanted = {"backup_id": add_backup(service, ALPHA, status="error"), "to_project_ids": [BETA]}
    return client.send("POST", SHARING, body={"shared": wanted})


def delete_twice(client: Client, service: Service) -> Answer:
    backup_id = add_backup(service, ALPHA)
    client.send("POST", f"{CLOUD}/{backup_id}")
    return client.send("POST", f"{CLOUD}/{backup_id}")


TAG = {"key": "k", "value": "v"}

BACKUP_REQUESTS: dict[str, Request] = {
    "common.0011": lambda client, _: client.send("GET", f"/v1/{{p}}/jobs/{UNKNOWN}"),
    "VolumeBackup.0002": lambda client, _: client.send("POST", CLOUD, body=b"no json"),
    "VolumeBackup.0003": wanting(name="n" * 65),
    "VolumeBackup.0004": wanting(name="a b"),
    "VolumeBackup.0005": wanting(name="auto"),
    "VolumeBackup.0006": wanting(description="<"),
    "VolumeBackup.0007": wanting(name=...),
    "VolumeBackup.0010": wanting(volume_id=...),
    "VolumeBackup.0011": wanting(volume_id="x"),
    "VolumeBackup.0012": of_a_busy_volume,
    "VolumeBackup.0013": of_a_volume_that_is_backed_up,
    "VolumeBackup.0014": cancel_an_ended_job,
    "VolumeBackup.0020": wanting(snapshot_id=UNKNOWN),
    "VolumeBackup.0021": wanting(volume_id=UNKNOWN),
    "VolumeBackup.0040": within(backups_per_volume_max=0),
    "VolumeBackup.0041": lambda _, service: without_identity(service).send("GET", f"{CLOUD}/quota"),
    "VolumeBackup.0042": share_on,
    "VolumeBackup.0043": lambda _, service: with_a_bug(service).send("GET", f"{CLOUD}/quota"),
    "VolumeBackup.0044": lambda client, _: client.send("GET", f"{CLOUD}/quota", X_Identity_Status="Invalid"),
    "VolumeBackup.0049": wanting(tags=[TAG, TAG]),
    "VolumeBackup.0050": wanting(tags=[TAG] * 11),
    "VolumeBackup.0062": of_a_broken_snapshot,
    "VolumeBackup.0080": within(backups_max=0),
    "VolumeBackup.0081": within(backup_gigabytes_max=0),
    "VolumeBackup.0089": share_a_broken_one,
    "VolumeBackup.0105": lambda client, _: client.send("POST", f"{CLOUD}/no-id"),
    "VolumeBackup.0110": lambda client, _: client.send("DELETE", f"{SHARING}/{UNKNOWN}"),
    "VolumeBackup.0111": lambda client, service: restore(client, UNKNOWN, add_volume(service, ALPHA)),
    "VolumeBackup.0125": delete_twice,
    "VolumeBackup.0202": restore_into("error"),
    "VolumeBackup.0203": lambda client, _: client.send("DELETE", SHARING),
    "VolumeBackup.0204": lambda client, _: client.send("DELETE", f"{SHARING}/no-id"),
    "VolumeBackup.0205": restore_into("extending"),
    "VolumeBackup.0206": restore_into("backing-up"),
    "VolumeBackup.0207": lambda client, service: restore(client, add_backup(service, ALPHA), UNKNOWN),
    "VolumeBackup.0208": lambda client, _: client.send("POST", f"{CLOUD}/{UNKNOWN}/restore", body={"restore": {}}),
    "VolumeBackup.0209": restore_into_a_smaller_one,
    "VolumeBackup.0210": lambda client, _: client.send("POST", f"{CLOUD}/{UNKNOWN}/restore", body={}),
    "VolumeBackup.0900": lambda _, service: without_database(service).send("GET", f"{CLOUD}/quota"),
}
NATIVE_REQUESTS: dict[str, Request] = {
    "VolumeBackup.0082": new_volume_within(volumes_max=0),
    "VolumeBackup.0083": new_volume_within(gigabytes_max=0),
    "VolumeBackup.0084": new_snapshot_without_room,
}
"""Codes that only native requests meet, in the header; the status is Cinder's."""
