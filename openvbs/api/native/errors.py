"""OpenStack-native answers that are errors: Cinder's statuses, names and texts."""

from types import MappingProxyType
from typing import Any

import msgspec

from openvbs.domain import errors as domain

ERRORS: MappingProxyType[type[domain.RuleError], int] = MappingProxyType(
    {
        domain.RuleError: 400,
        domain.NotFound: 404,
        domain.BackupNotFound: 404,
        domain.RestoreBackupNotFound: 404,
        domain.ShareNotFound: 404,
        domain.VolumeNotFound: 404,
        domain.TargetVolumeNotFound: 404,
        domain.SnapshotNotFound: 404,
        domain.JobNotFound: 404,
        domain.MetadataKeyNotFound: 404,
        domain.MarkerNotFound: 404,
        domain.Forbidden: 403,
        domain.RecipientForbidden: 403,
        domain.ForeignBackup: 403,
        domain.BadRequest: 400,
        domain.TargetTooSmall: 400,
        domain.NoParentBackup: 400,
        domain.SharedWithItself: 400,
        domain.ExpiryInPast: 400,
        domain.BackupIdTaken: 400,
        # Cinder knows no conflict here: a wrong state is a bad request, and its clients expect that.
        domain.Conflict: 400,
        domain.VolumeBusy: 400,
        domain.MetadataChanged: 412,
        domain.BackupUnfinished: 400,
        domain.SnapshotBusy: 400,
        domain.SnapshotInError: 400,
        domain.VolumeHasSnapshots: 400,
        domain.BackupNotDeletable: 400,
        domain.BackupBusy: 400,
        domain.BackupNotUsable: 400,
        domain.TargetInError: 400,
        domain.TargetBackingUp: 400,
        domain.TargetBusy: 400,
        domain.JobEnded: 400,
        domain.JobNotCancellable: 400,
        domain.QuotaExceeded: 413,
        domain.BackupsPerVolumeExceeded: 413,
        domain.BackupCountExceeded: 413,
        domain.BackupGigabytesExceeded: 413,
        domain.VolumeCountExceeded: 413,
        domain.GigabytesExceeded: 413,
        domain.VolumeSizeExceeded: 413,
        domain.SnapshotCountExceeded: 413,
        domain.SharesPerBackupExceeded: 413,
        # Policies have no native routes; these are for the table to be whole.
        domain.PolicyNotFound: 404,
        domain.TargetPolicyNotFound: 404,
        domain.PolicyTagNotFound: 404,
        domain.StartTimesDisordered: 400,
        domain.PolicyTagsExceeded: 400,
        domain.NoVolumesToRun: 400,
        domain.PolicyRunning: 400,
        domain.PoliciesExceeded: 413,
        domain.VolumesPerPolicyExceeded: 413,
        domain.NoRoomToRun: 413,
    }
)

_NAMES = MappingProxyType(
    {
        400: "badRequest",
        401: "unauthorized",
        403: "forbidden",
        404: "itemNotFound",
        405: "badMethod",
        409: "conflictingRequest",
        413: "overLimit",
        415: "badMediaType",
        501: "notImplemented",
        503: "serviceUnavailable",
    }
)
_RETRY_AFTER = "0"
_INVALID_BACKUP = (
    domain.NoParentBackup,
    domain.BackupNotDeletable,
    domain.BackupNotUsable,
    domain.BackupBusy,
    domain.BackupIdTaken,
)


def message_of(error: domain.RuleError) -> str:
    """Cinder's wording where clients look for it."""
    if isinstance(error, domain.NotFound):
        return f"{error.kind.capitalize()} {error.wanted_id} could not be found."
    if isinstance(error, _INVALID_BACKUP):
        return f"Invalid backup: {error.rule if isinstance(error, domain.BadRequest) else error}"
    if isinstance(error, domain.VolumeBusy | domain.TargetInError | domain.TargetBackingUp | domain.TargetBusy):
        return f"Invalid volume: {error}"
    return str(error)


def headers_of(status: int) -> dict[str, str]:
    return {"Retry-After": _RETRY_AFTER} if status == 413 else {}


def name_of(status: int) -> str:
    """The key under which an error of this status stands."""
    return _NAMES.get(status, "computeFault")


def render(status: int, message: str) -> bytes:
    inner: dict[str, Any] = {"code": status, "message": message}
    if status == 413:
        inner["retryAfter"] = _RETRY_AFTER
    return msgspec.json.encode({name_of(status): inner})
