"""What tests of the native dialect have in common: microversions, refusals and the fields of things."""

import re

from tests.support.wsgi import Answer

UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"
T6 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
SUMMARY = {"id", "name", "links"}
DETAIL = SUMMARY | {
    "status", "size", "object_count", "availability_zone", "container", "created_at", "updated_at", "description",
    "fail_reason", "volume_id", "is_incremental", "has_dependent_backups", "snapshot_id", "data_timestamp",
}  # fmt: skip
MADE_VOLUME = {
    "attachments", "links", "encrypted", "updated_at", "replication_status", "id", "size", "user_id",
    "availability_zone", "metadata", "status", "description", "multiattach", "consistencygroup_id", "name", "bootable",
    "created_at", "volume_type", "snapshot_id", "source_volid",
}  # fmt: skip
VOLUME = MADE_VOLUME | {"os-vol-tenant-attr:tenant_id"}
SNAPSHOT = {"status", "description", "created_at", "name", "volume_id", "metadata", "id", "size", "updated_at"}
EXTENDED = {"os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id"}


def at(version: str) -> dict[str, str]:
    return {"OpenStack_API_Version": f"volume {version}"}


def bad_request(answer: Answer) -> bool:
    return answer.status == 400 and answer.json()["badRequest"]["code"] == 400
