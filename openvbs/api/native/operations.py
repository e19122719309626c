"""The handlers of the native dialect, described. Metadata has its own, since volumes and snapshots have it alike."""

from openvbs.api.native import backups, body_schemas, lists, metadata, quotas, shown, snapshots, texts, volumes
from openvbs.api.operation import AnyOf, Body, ByVersion, Operation, Page, Query, Schema, Under
from openvbs.api.query import LIMIT, MARKER, OFFSET
from openvbs.api.wire import Handler
from openvbs.domain.quota import Resource

_TEXT: Schema = {"type": "string"}
_BACKUP = ByVersion(shown.NativeBackupV2, shown.NativeBackupV3)
NOTHING: Schema = {"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}]}
ONE_ITEM: Schema = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": {"pattern": texts.KEY_PATTERN},
    "additionalProperties": {"type": "string", "maxLength": 255},
    "description": "The key of the path and its value.",
}
_LIMIT_OF: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": -1, "maximum": quotas.LIMIT_MAX},
        {"type": "string", "pattern": "^(-1|0|[1-9][0-9]{0,8})$"},
    ],
    "description": "-1 is no limit. As a text up to 999999999.",
}
QUOTA_SET: Schema = {
    "type": "object",
    "properties": {**{str(name): _LIMIT_OF for name in Resource}, **{name: {} for name in sorted(quotas.NOT_LIMITS)}},
    "additionalProperties": False,
}
VOLUME_ACTIONS = AnyOf(
    (
        Under("os-extend", ByVersion(body_schemas.Extend, body_schemas.ExtendV3)),
        Under("os-set_bootable", ByVersion(body_schemas.SetBootable, body_schemas.SetBootableV3)),
    )
)
_FOR_ADMINS = "For administrators, at /v3."
_OTHER_PROJECT = Query("project_id", _TEXT, "For administrators.")


def _body(name: str, v2: object, *v3: object, may_be_null: bool = False) -> Body:
    """The fields at /v2, and those of each range of microversions at /v3 where they are not the same."""
    return Body(name, v2, v3 or (v2,), may_be_null=may_be_null)


def _listed(kind: lists.Kind) -> tuple[Query, ...]:
    return (
        *(Query(name, _TEXT) for name in sorted(kind.filters)),
        *(Query(f"{name}~", _TEXT, "A part of it; from 3.31 on.") for name in sorted(kind.like_filters)),
        Query("sort", _TEXT, f"key[:asc|desc],... of {', '.join(sorted(kind.sort_keys))}."),
        Query("sort_key", _TEXT, "Like sort, with sort_dir."),
        Query("sort_dir", _TEXT),
        LIMIT,
        OFFSET,
        MARKER,
        Query("all_tenants", _TEXT, _FOR_ADMINS),
        *(Query(name, _TEXT, _FOR_ADMINS) for name in sorted(kind.admin_filters - kind.filters)),
        Query("with_count", {"type": "boolean"}, "From 3.45 on."),
    )


_BACKUP_LISTED = (*_listed(lists.BACKUPS), Query("tags", _TEXT, "key[=value],... that must all be there; at /v2."))


def _metadata(of: metadata.Handlers, kind: str) -> dict[Handler, Operation]:
    whole = Under("metadata", dict[str, str])
    item = Under("meta", {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": _TEXT})
    given = _body("metadata", texts.Metadata)
    return {
        of.show: Operation(summary=f"Show the metadata of a {kind}.", answers={200: whole}),
        of.merge: Operation(
            summary=f"Add to or replace in the metadata of a {kind}.", body=given, answers={200: whole}, refusals=(412,)
        ),
        of.replace: Operation(
            summary=f"Set the whole metadata of a {kind}.", body=given, answers={200: whole}, refusals=(412,)
        ),
        of.show_item: Operation(summary=f"Show one key of the metadata of a {kind}.", answers={200: item}),
        of.set_item: Operation(
            summary=f"Set one key of the metadata of a {kind}.",
            body=_body("meta", ONE_ITEM),
            answers={200: item},
            refusals=(412,),
        ),
        of.delete_item: Operation(
            summary=f"Remove one key of the metadata of a {kind}.", answers={200: None}, refusals=(412,)
        ),
    }


_BACKUPS: dict[Handler, Operation] = {
    backups.list_summary: Operation(
        summary="List the project's own backups: ids, names and links.",
        answers={200: Page("backups", shown.Summary, with_count=True)},
        query=_BACKUP_LISTED,
    ),
    backups.list_detail: Operation(
        summary="List the project's own backups.",
        answers={200: Page("backups", _BACKUP, with_count=True)},
        query=_BACKUP_LISTED,
    ),
    backups.create: Operation(
        summary="Back up a volume, or a snapshot of it.",
        body=_body(
            "backup", body_schemas.BackupV2, body_schemas.BackupV30, body_schemas.BackupV343, body_schemas.BackupV351
        ),
        answers={202: Under("backup", shown.SummaryWithMetadata)},
        job=True,
    ),
    backups.show: Operation(summary="Show a backup, own or shared.", answers={200: Under("backup", _BACKUP)}),
    backups.update: Operation(
        summary="Rename or describe a backup; from 3.43 on also its metadata.",
        body=_body(
            "backup",
            body_schemas.BackupChange,
            body_schemas.BackupChange,
            body_schemas.BackupChangeV343,
            may_be_null=True,
        ),
        answers={200: Under("backup", shown.SummaryWithMetadata)},
    ),
    backups.delete: Operation(summary="Delete a backup. Its shares end with it.", answers={202: None}, job=True),
    backups.restore: Operation(
        summary="Restore a backup, own or shared, into a volume of the project or into a new one.",
        body=_body("restore", body_schemas.RestoreV2, body_schemas.Restore, may_be_null=True),
        answers={202: Under("restore", shown.Restoring)},
        job=True,
    ),
    backups.act: Operation(
        summary="Reset the status of a backup, or delete it whatever its status.",
        body=AnyOf((Under("os-reset_status", body_schemas.ResetStatus), Under("os-force_delete", NOTHING))),
        answers={202: None},
        job=True,
    ),
    backups.export_record: Operation(
        summary="Show the record of a backup as text.", answers={200: Under("backup-record", shown.BackupRecordShown)}
    ),
    backups.import_record: Operation(
        summary="Make a backup of a record.",
        body=_body("backup-record", body_schemas.BackupRecord, body_schemas.BackupRecordV3),
        answers={201: Under("backup", shown.Summary)},
        job=True,
    ),
}

_VOLUMES: dict[Handler, Operation] = {
    volumes.list_summary: Operation(
        summary="List the project's volumes: ids, names and links.",
        answers={200: Page("volumes", shown.Summary, with_count=True)},
        query=_listed(lists.VOLUMES),
    ),
    volumes.list_detail: Operation(
        summary="List the project's volumes.",
        answers={200: Page("volumes", shown.VolumeShown, with_count=True)},
        query=_listed(lists.VOLUMES),
    ),
    volumes.create: Operation(
        summary="Make a volume: empty, of a snapshot, of another volume, or from 3.47 on of a backup.",
        body=Body(
            "volume",
            body_schemas.VolumeV2,
            (body_schemas.VolumeV30, body_schemas.VolumeV347, body_schemas.VolumeV353),
            beside=body_schemas.BESIDE_VOLUME,
        ),
        answers={202: Under("volume", shown.VolumeMade)},
        job=True,
    ),
    volumes.show: Operation(summary="Show a volume.", answers={200: Under("volume", shown.VolumeShown)}),
    volumes.update: Operation(
        summary="Rename or describe a volume, or set its metadata.",
        body=_body("volume", body_schemas.Change, body_schemas.ChangeV3),
        answers={200: Under("volume", shown.VolumeMade)},
    ),
    volumes.delete: Operation(
        summary="Delete a volume. Its backups stay.",
        answers={202: None},
        query=(Query("cascade", {"type": "boolean"}, "Its snapshots too."),),
        job=True,
    ),
    volumes.act: Operation(
        summary="Extend a volume, or say whether it is bootable.",
        body=VOLUME_ACTIONS,
        answers={200: None, 202: None},
        job=True,
    ),
    volumes.show_tags: Operation(summary="Show the tags of a volume.", answers={200: Under("tags", texts.Tags)}),
    volumes.set_tags: Operation(
        summary="Set all tags of a volume.", body=_body("tags", texts.Tags), answers={200: Under("tags", texts.Tags)}
    ),
    **_metadata(metadata.VOLUMES, "volume"),
}

_SNAPSHOTS: dict[Handler, Operation] = {
    snapshots.list_summary: Operation(
        summary="List the project's snapshots.",
        answers={200: Page("snapshots", shown.SnapshotSummary, with_count=True)},
        query=_listed(lists.SNAPSHOTS),
    ),
    snapshots.list_detail: Operation(
        summary="List the project's snapshots with all that is known of each.",
        answers={200: Page("snapshots", shown.SnapshotShown, with_count=True)},
        query=_listed(lists.SNAPSHOTS),
    ),
    snapshots.create: Operation(
        summary="Take a snapshot of a volume.",
        body=_body("snapshot", body_schemas.Snapshot, body_schemas.SnapshotV3),
        answers={202: Under("snapshot", shown.SnapshotSummary)},
        job=True,
    ),
    snapshots.show: Operation(summary="Show a snapshot.", answers={200: Under("snapshot", shown.SnapshotShown)}),
    snapshots.update: Operation(
        summary="Rename or describe a snapshot, or at /v2 set its metadata.",
        body=_body("snapshot", body_schemas.Change, body_schemas.SNAPSHOT_CHANGE_V3),
        answers={200: Under("snapshot", shown.SnapshotSummary)},
    ),
    snapshots.delete: Operation(summary="Delete a snapshot.", answers={202: None}, job=True),
    **_metadata(metadata.SNAPSHOTS, "snapshot"),
}

_QUOTAS: dict[Handler, Operation] = {
    quotas.show: Operation(
        summary="Show the limits of a project.",
        answers={200: Under("quota_set", AnyOf((shown.QuotaSet, shown.QuotaSetWithUsage)))},
        query=(Query("usage", _TEXT, "true: also what is in use and reserved."),),
    ),
    quotas.show_defaults: Operation(
        summary="Show the limits of projects without their own.", answers={200: Under("quota_set", shown.QuotaSet)}
    ),
    quotas.update: Operation(
        summary="Set limits of a project; what is not given stays.",
        body=_body("quota_set", QUOTA_SET),
        answers={200: Under("quota_set", shown.QuotaLimits)},
        query=(Query("skip_validation", _TEXT, "False: refuse a limit below what the project has."),),
    ),
    quotas.remove: Operation(summary="Let a project have the default limits again.", answers={200: None}),
    quotas.show_limits: Operation(
        summary="Show the absolute limits and what is in use.",
        answers={200: Under("limits", shown.LimitsShown)},
        query=(_OTHER_PROJECT, Query("tenant_id", _TEXT, "The same; from 3.39 on.")),
    ),
}

OPERATIONS: dict[Handler, Operation] = {**_BACKUPS, **_VOLUMES, **_SNAPSHOTS, **_QUOTAS}
