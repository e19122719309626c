"""python-openstackclient, unchanged: each of its commands about backups, with each flag, and those it needs beside."""

import base64
import json
from pathlib import Path
from typing import Any

from tests.support.images import digest
from tests.support.openstack_session import OpenStackSession
from tests.support.parties import Party
from tests.support.service import RunningService
from tests.support.steps import gone, new_backup, new_volume
from tests.support.waiting import until

COLUMNS = ["ID", "Name", "Description", "Status", "Size", "Incremental", "Created At"]
SHOWN = {
    "availability_zone", "container", "created_at", "data_timestamp", "description", "encryption_key_id", "fail_reason",
    "has_dependent_backups", "id", "is_incremental", "metadata", "name", "object_count", "project_id", "size",
    "snapshot_id", "status", "updated_at", "user_id", "volume_id",
}  # fmt: skip


def is_now(owner: Party, target: str, status: str) -> None:
    kind = target.partition("/")[0].removesuffix("s")
    until(lambda: owner.get(f"/v3/{{p}}/{target}")[kind]["status"] == status, what=f"{target} {status}")


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["Name"] for row in rows]


def test_a_member_works_with_backups(
    service: RunningService, alpha: Party, golden: str, image: Path, tmp_path: Path
) -> None:
    with OpenStackSession(service, "openvbs-alpha") as openstack:
        volume = openstack.shows("volume create --size 1 cli")["id"]
        snapshot = openstack.shows(f"volume snapshot create --volume {golden} cli-snap")["id"]
        is_now(alpha, f"snapshots/{snapshot}", "available")
        is_now(alpha, f"volumes/{golden}", "available")
        assert openstack.shows("volume snapshot show cli-snap")["volume_id"] == golden
        assert "cli-snap" in names(openstack.shows("volume snapshot list"))

        flags = "--description text --container tapes --availability-zone hall --property team=core --property x=y"
        backup = openstack.shows(f"volume backup create --name monday {flags} --force --no-incremental {golden}")["id"]
        is_now(alpha, f"backups/{backup}", "available")
        is_now(alpha, f"volumes/{golden}", "available")
        wanted = f"--name tuesday --snapshot cli-snap {golden}"
        second = openstack.shows(f"volume backup create {wanted}")["id"]
        is_now(alpha, f"backups/{second}", "available")
        third = openstack.shows(f"volume backup create --name wednesday --incremental {golden}")["id"]
        is_now(alpha, f"backups/{third}", "available")

        shown = openstack.shows("volume backup show monday")
        assert set(shown) == SHOWN
        assert (shown["id"], shown["description"], shown["container"]) == (backup, "text", "tapes")
        assert (shown["availability_zone"], shown["metadata"]) == ("hall", {"team": "core", "x": "y"})
        assert (shown["project_id"], shown["is_incremental"]) == (alpha.project_id, False)
        assert openstack.shows(f"volume backup show {third}")["is_incremental"] is True
        assert openstack.shows(f"volume backup show {second}")["snapshot_id"] == snapshot

        mine = f"volume backup list --volume {golden}"
        rows = openstack.shows(mine)
        assert names(rows) == ["wednesday", "tuesday", "monday"]
        assert list(rows[0]) == COLUMNS
        (long,) = openstack.shows(f"{mine} --long --name monday --status available")
        assert (long["ID"], long["Volume"], long["Container"], long["Availability Zone"]) == (
            backup, golden, "tapes", "hall"
        )  # fmt: skip
        assert openstack.shows(f"{mine} --status error") == []
        assert names(openstack.shows(f"{mine} --limit 1")) == ["wednesday", "tuesday", "monday"], "page by page"
        assert names(openstack.shows(f"{mine} --limit 2 --max-items 2")) == ["wednesday", "tuesday"]
        assert names(openstack.shows(f"{mine} --marker tuesday")) == ["monday"]
        assert names(openstack.shows(f"{mine} --all-projects")) == ["wednesday", "tuesday", "monday"]

        openstack.does("volume backup set --name mon --description better --property k=v monday")
        openstack.does("volume backup set --property team=edge mon")
        shown = openstack.shows("volume backup show mon")
        assert (shown["description"], shown["metadata"]) == ("better", {"k": "v", "team": "edge", "x": "y"})
        openstack.does("volume backup set --no-property --property only=one mon")
        assert openstack.shows("volume backup show mon")["metadata"] == {"only": "one"}
        openstack.does("volume backup set --property another=one mon")
        # The command asks for the removal of what was NOT named, at a path that no Cinder has: it must change nothing.
        assert "404" in openstack.says("volume backup unset --property only mon")
        assert openstack.shows("volume backup show mon")["metadata"] == {"another": "one", "only": "one"}

        assert openstack.shows("volume backup restore mon newvolume")["volume_name"] == "newvolume"
        restored = openstack.shows("volume show newvolume")["id"]
        is_now(alpha, f"volumes/{restored}", "available")
        service.operate("volume", "export", restored, tmp_path / "exported")
        assert digest(tmp_path / "exported") == digest(image)
        assert "--force" in openstack.says("volume backup restore tuesday cli")
        assert openstack.shows("volume backup restore tuesday cli --force")["volume_id"] == volume
        is_now(alpha, f"volumes/{volume}", "available")
        assert digest(service.data_dir / "volumes" / volume) == digest(image)

        for forbidden in ("delete --force mon", "set --state error mon", "record export mon"):
            assert "403" in openstack.says(f"volume backup {forbidden}")
        assert {row["Resource"]: row["Limit"] for row in openstack.shows("quota show --volume")}["backups"] == -1
        limits = {row["Name"]: row["Value"] for row in openstack.shows("limits show --absolute")}
        assert limits["total_backups_used"] >= 3

        openstack.does("volume backup delete mon tuesday wednesday")
        openstack.does("volume snapshot delete cli-snap")
        openstack.does("volume delete cli newvolume")
    left = [f"backups/{one}" for one in (backup, second, third)]
    for target in (*left, f"snapshots/{snapshot}", f"volumes/{volume}", f"volumes/{restored}"):
        gone(alpha, f"/v3/{{p}}/{target}")


def test_an_admin_works_with_every_projects_backups(service: RunningService, alpha: Party) -> None:
    volume = new_volume(alpha)
    backup = new_backup(alpha, volume, "of-alpha")
    with OpenStackSession(service, "openvbs-admin") as openstack:
        assert backup in [row["ID"] for row in openstack.shows("volume backup list --all-projects")]
        assert backup in [row["ID"] for row in openstack.shows("volume backup list --project alpha --name of-alpha")]
        assert backup not in [row["ID"] for row in openstack.shows("volume backup list --project beta")]
        assert backup not in [row["ID"] for row in openstack.shows("volume backup list")]
        shown = openstack.shows(f"volume backup show {backup}")
        assert (set(shown), shown["project_id"], bool(shown["user_id"])) == (SHOWN, alpha.project_id, True)
        record = openstack.shows(f"volume backup record export {backup}")
        assert set(record) == {"backup_service", "backup_url"}
        assert json.loads(base64.b64decode(record["backup_url"]))["id"] == backup
        openstack.does(f"volume backup set --state error {backup}")
        is_now(alpha, f"backups/{backup}", "error")
        openstack.does(f"volume backup set --state available {backup}")
        is_now(alpha, f"backups/{backup}", "available")
        assert "403" in openstack.says(f"volume backup set --name mine {backup}")

        openstack.does("quota set --backups 3 --backup-gigabytes 7 gamma")
        limits = {row["Resource"]: row["Limit"] for row in openstack.shows("quota show --volume gamma")}
        assert (limits["backups"], limits["backup-gigabytes"]) == (3, 7)
        openstack.does("quota delete --volume gamma")
        limits = {row["Resource"]: row["Limit"] for row in openstack.shows("quota show --volume gamma")}
        assert (limits["backups"], limits["backup-gigabytes"]) == (-1, -1)

        openstack.does(f"volume backup delete --force {backup}")
    gone(alpha, f"/v3/{{p}}/backups/{backup}")
