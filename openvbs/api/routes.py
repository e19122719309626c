"""The one table of all URLs. A path that is not here is 404, a method that is not here 405."""

from dataclasses import dataclass

from openvbs.api.microversion import VERSION_MIN, Version
from openvbs.api.native import backups as native_backups
from openvbs.api.native import metadata, quotas, snapshots, volumes
from openvbs.api.vbs import audit, backups, jobs, policies, policy_tags, shares
from openvbs.api.wire import Family, Handler

VBS = Family.VBS
POLICY = Family.POLICY
NATIVE = Family.NATIVE


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path, what it does, and which action of the policy the caller must be allowed."""

    method: str
    path: str
    handler: Handler
    permission: str
    family: Family
    since: Version = VERSION_MIN
    """First microversion that has it; 404 below."""
    id_may_be_empty: bool = False
    """The handler itself answers for an empty segment; elsewhere that is 404."""


_JOB = "/jobs/{job_id}"
_P1, _P2 = "/v1/{project_id}", "/v2/{project_id}"
_SHARING = f"{_P2}/os-vendor-backup-sharing"
_CLOUD = f"{_P2}/cloudbackups"
_POLICIES = f"{_P2}/backuppolicy"
_ONE_POLICY = f"{_POLICIES}/{{policy_id}}"
_VOLUME_TAGS = f"{_P2}/os-vendor-tags/volumes/{{volume_id}}"
_RESOURCES = f"{_P2}/backuppolicyresources"

_VBS_ROUTES = (
    Route("GET", _P1 + _JOB, jobs.show, "job:show", VBS),
    Route("GET", _P2 + _JOB, jobs.show, "job:show", VBS),
    Route("DELETE", _P2 + _JOB, jobs.cancel, "job:cancel", VBS),
    Route("GET", f"{_P2}/jobs", jobs.list_page, "job:list", VBS),
    Route("GET", f"{_P2}/audit-events", audit.list_page, "audit:list", VBS),
    Route("POST", _CLOUD, backups.create, "backup:create", VBS),
    Route("GET", f"{_CLOUD}/quota", backups.quota, "quota:show", VBS),
    Route("GET", f"{_P2}/usage", backups.usage, "quota:show", VBS),
    # The word quota is no id either.
    Route("POST", f"{_CLOUD}/quota", backups.delete, "backup:delete", VBS),
    Route("DELETE", f"{_CLOUD}/quota", backups.delete, "backup:delete", VBS),
    Route("POST", f"{_CLOUD}/{{backup_id}}", backups.delete, "backup:delete", VBS),
    Route("DELETE", f"{_CLOUD}/{{backup_id}}", backups.delete, "backup:delete", VBS),
    Route("GET", f"{_CLOUD}/{{backup_id}}/tags", backups.show_tags, "backup:show", VBS, id_may_be_empty=True),
    Route("POST", f"{_CLOUD}/{{backup_id}}/restore", backups.restore, "backup:restore", VBS, id_may_be_empty=True),
    Route("POST", f"{_CLOUD}/{{backup_id}}/copy", backups.copy, "backup:copy", VBS),
    Route("POST", _SHARING, shares.share, "share:create", VBS),
    Route("DELETE", _SHARING, shares.cancel_without_id, "share:cancel", VBS),
    Route("GET", f"{_SHARING}/detail", shares.list_detail, "share:list", VBS),
    Route("GET", f"{_SHARING}/count", shares.count, "share:list", VBS),
    Route("GET", f"{_SHARING}/{{share_id}}", shares.show, "share:show", VBS),
    Route("DELETE", f"{_SHARING}/{{share_id}}", shares.cancel, "share:cancel", VBS, id_may_be_empty=True),
)

_POLICY_ROUTES = (
    Route("POST", _POLICIES, policies.create, "policy:create", POLICY),
    Route("GET", _POLICIES, policies.list_all, "policy:list", POLICY),
    Route("GET", f"{_POLICIES}/tags", policy_tags.list_all, "policy:list", POLICY),
    Route("POST", f"{_POLICIES}/resource_instances/action", policy_tags.find, "policy:list", POLICY),
    Route("PUT", _ONE_POLICY, policies.update, "policy:update", POLICY),
    Route("DELETE", _ONE_POLICY, policies.delete, "policy:delete", POLICY),
    Route("POST", f"{_ONE_POLICY}/action", policies.run, "policy:run", POLICY),
    Route("GET", f"{_ONE_POLICY}/backuptasks", policies.list_tasks, "policy:show", POLICY),
    Route("GET", f"{_ONE_POLICY}/retention-preview", policies.preview_retention, "policy:show", POLICY),
    Route("GET", f"{_ONE_POLICY}/tags", policy_tags.list_of_policy, "policy:show", POLICY),
    Route("POST", f"{_ONE_POLICY}/tags", policy_tags.add, "policy:tag", POLICY),
    Route("POST", f"{_ONE_POLICY}/tags/action", policy_tags.change, "policy:tag", POLICY),
    Route("DELETE", f"{_ONE_POLICY}/tags/action", policy_tags.remove, "policy:tag", POLICY),
    Route("DELETE", f"{_ONE_POLICY}/tags/{{key:path}}", policy_tags.remove, "policy:tag", POLICY),
    Route("POST", _RESOURCES, policies.associate, "policy:associate", POLICY),
    Route(
        "POST", f"{_RESOURCES}/{{policy_id}}/deleted_resources", policies.disassociate, "policy:disassociate", POLICY
    ),
)


def _native_routes(base: str) -> tuple[Route, ...]:
    """What /v2 and /v3 have alike."""
    one_backup = f"{base}/backups/{{backup_id}}"
    one_volume = f"{base}/volumes/{{volume_id}}"
    one_snapshot = f"{base}/snapshots/{{snapshot_id}}"
    one_quota_set = f"{base}/os-quota-sets/{{target_id}}"
    return (
        Route("GET", f"{base}/backups", native_backups.list_summary, "backup:list", NATIVE),
        Route("POST", f"{base}/backups", native_backups.create, "backup:create", NATIVE),
        Route("GET", f"{base}/backups/detail", native_backups.list_detail, "backup:list", NATIVE),
        Route("GET", one_backup, native_backups.show, "backup:show", NATIVE),
        Route("DELETE", one_backup, native_backups.delete, "backup:delete", NATIVE),
        Route("POST", f"{one_backup}/restore", native_backups.restore, "backup:restore", NATIVE),
        Route("POST", f"{one_backup}/action", native_backups.act, "backup:administer", NATIVE),
        Route("GET", f"{one_backup}/export_record", native_backups.export_record, "backup:export", NATIVE),
        Route("POST", f"{base}/backups/import_record", native_backups.import_record, "backup:import", NATIVE),
        Route("GET", f"{base}/volumes", volumes.list_summary, "volume:list", NATIVE),
        Route("POST", f"{base}/volumes", volumes.create, "volume:create", NATIVE),
        Route("GET", f"{base}/volumes/detail", volumes.list_detail, "volume:list", NATIVE),
        Route("GET", one_volume, volumes.show, "volume:show", NATIVE),
        Route("PUT", one_volume, volumes.update, "volume:update", NATIVE),
        Route("DELETE", one_volume, volumes.delete, "volume:delete", NATIVE),
        Route("POST", f"{one_volume}/action", volumes.act, "volume:extend", NATIVE),
        Route("GET", f"{base}/snapshots", snapshots.list_summary, "snapshot:list", NATIVE),
        Route("POST", f"{base}/snapshots", snapshots.create, "snapshot:create", NATIVE),
        Route("GET", f"{base}/snapshots/detail", snapshots.list_detail, "snapshot:list", NATIVE),
        Route("GET", one_snapshot, snapshots.show, "snapshot:show", NATIVE),
        Route("PUT", one_snapshot, snapshots.update, "snapshot:update", NATIVE),
        Route("DELETE", one_snapshot, snapshots.delete, "snapshot:delete", NATIVE),
        Route("GET", one_quota_set, quotas.show, "quota:show", NATIVE),
        Route("PUT", one_quota_set, quotas.update, "quota:update", NATIVE),
        Route("DELETE", one_quota_set, quotas.remove, "quota:update", NATIVE),
        Route("GET", f"{one_quota_set}/defaults", quotas.show_defaults, "quota:show", NATIVE),
        Route("GET", f"{base}/limits", quotas.show_limits, "quota:show", NATIVE),
        *_metadata_routes(one_volume, metadata.VOLUMES, "volume"),
        *_metadata_routes(one_snapshot, metadata.SNAPSHOTS, "snapshot"),
    )


def _metadata_routes(one: str, of: metadata.Handlers, kind: str) -> tuple[Route, ...]:
    """The metadata of what has some, as a whole and by key."""
    whole, item = f"{one}/metadata", f"{one}/metadata/{{key}}"
    return (
        Route("GET", whole, of.show, f"{kind}:show", NATIVE),
        Route("POST", whole, of.merge, f"{kind}:update", NATIVE),
        Route("PUT", whole, of.replace, f"{kind}:update", NATIVE),
        Route("GET", item, of.show_item, f"{kind}:show", NATIVE),
        Route("PUT", item, of.set_item, f"{kind}:update", NATIVE),
        Route("DELETE", item, of.delete_item, f"{kind}:update", NATIVE),
    )


def _v3_routes(base: str) -> tuple[Route, ...]:
    update = Route("PUT", f"{base}/backups/{{backup_id}}", native_backups.update, "backup:update", NATIVE, since=(3, 9))
    return (*_native_routes(base), update)


ROUTES = (
    *_VBS_ROUTES,
    *_POLICY_ROUTES,
    *_native_routes(_P2),
    Route("GET", _VOLUME_TAGS, volumes.show_tags, "volume:show", NATIVE),
    Route("PUT", _VOLUME_TAGS, volumes.set_tags, "volume:update", NATIVE),
    *_v3_routes("/v3/{project_id}"),
    *_v3_routes("/v3"),
)
