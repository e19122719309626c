"""VBS answers that are errors: which status and code a refused rule gets, and the shape of the body."""

from types import MappingProxyType

import msgspec

from openvbs.api.wire import BAD_REQUEST, Family
from openvbs.domain import errors as domain

ERRORS: MappingProxyType[type[domain.RuleError], tuple[int, str]] = MappingProxyType(
    {
        domain.RuleError: (400, BAD_REQUEST),
        domain.NotFound: (404, "VolumeBackup.0110"),
        domain.BackupNotFound: (404, "VolumeBackup.0110"),
        domain.RestoreBackupNotFound: (404, "VolumeBackup.0111"),
        domain.ShareNotFound: (404, "VolumeBackup.0110"),
        domain.VolumeNotFound: (404, "VolumeBackup.0021"),
        domain.TargetVolumeNotFound: (404, "VolumeBackup.0207"),
        domain.SnapshotNotFound: (404, "VolumeBackup.0020"),
        domain.JobNotFound: (404, "common.0011"),
        domain.MetadataKeyNotFound: (404, BAD_REQUEST),
        domain.MarkerNotFound: (404, "VolumeBackup.0110"),
        domain.Forbidden: (403, "VolumeBackup.0042"),
        domain.RecipientForbidden: (403, "VolumeBackup.0042"),
        domain.ForeignBackup: (403, "VolumeBackup.0042"),
        domain.BadRequest: (400, BAD_REQUEST),
        domain.TargetTooSmall: (400, "VolumeBackup.0209"),
        domain.NoParentBackup: (400, BAD_REQUEST),
        domain.SharedWithItself: (400, BAD_REQUEST),
        domain.ExpiryInPast: (400, BAD_REQUEST),
        domain.BackupIdTaken: (400, BAD_REQUEST),
        domain.Conflict: (409, "VolumeBackup.0014"),
        domain.VolumeBusy: (409, "VolumeBackup.0012"),
        domain.MetadataChanged: (409, "VolumeBackup.0014"),
        domain.BackupUnfinished: (409, "VolumeBackup.0013"),
        domain.SnapshotBusy: (409, "VolumeBackup.0014"),
        domain.SnapshotInError: (409, "VolumeBackup.0062"),
        domain.VolumeHasSnapshots: (409, "VolumeBackup.0014"),
        domain.BackupNotDeletable: (409, "VolumeBackup.0125"),
        domain.BackupBusy: (409, "VolumeBackup.0014"),
        domain.BackupNotUsable: (409, "VolumeBackup.0089"),
        domain.TargetInError: (409, "VolumeBackup.0202"),
        domain.TargetBackingUp: (409, "VolumeBackup.0206"),
        domain.TargetBusy: (409, "VolumeBackup.0205"),
        domain.JobEnded: (409, "VolumeBackup.0014"),
        domain.JobNotCancellable: (409, "VolumeBackup.0014"),
        domain.QuotaExceeded: (403, "VolumeBackup.0080"),
        domain.BackupsPerVolumeExceeded: (403, "VolumeBackup.0040"),
        domain.BackupCountExceeded: (403, "VolumeBackup.0080"),
        domain.BackupGigabytesExceeded: (403, "VolumeBackup.0081"),
        domain.VolumeCountExceeded: (403, "VolumeBackup.0082"),
        domain.GigabytesExceeded: (403, "VolumeBackup.0083"),
        domain.VolumeSizeExceeded: (403, "VolumeBackup.0083"),
        domain.SnapshotCountExceeded: (403, "VolumeBackup.0084"),
        domain.SharesPerBackupExceeded: (403, "VolumeBackup.0042"),
        domain.PolicyNotFound: (404, "AutoBackup.1100"),
        domain.TargetPolicyNotFound: (404, "AutoBackup.0205"),
        domain.PolicyTagNotFound: (404, "AutoBackup.0216"),
        domain.StartTimesDisordered: (400, "AutoBackup.0103"),
        domain.PolicyTagsExceeded: (400, "AutoBackup.0215"),
        domain.NoVolumesToRun: (400, "AutoBackup.0207"),
        domain.PolicyRunning: (409, "AutoBackup.0225"),
        domain.PoliciesExceeded: (403, "AutoBackup.0203"),
        domain.VolumesPerPolicyExceeded: (403, "AutoBackup.0204"),
        domain.NoRoomToRun: (403, "AutoBackup.0218"),
    }
)

IN_POLICY_AREA: MappingProxyType[type[domain.RuleError], tuple[int, str]] = MappingProxyType(
    {
        domain.Forbidden: (403, "AutoBackup.0213"),
        domain.MarkerNotFound: (400, "AutoBackup.0008"),
        domain.SharedWithItself: (400, "AutoBackup.0008"),
    }
)
"""Errors that have another answer on the paths of policies."""

# What every endpoint can give: status -> code, by area.
_COMMON = MappingProxyType(
    {
        Family.VBS: {
            401: "VolumeBackup.0044",
            403: "VolumeBackup.0042",
            500: "VolumeBackup.0043",
            503: "VolumeBackup.0900",
        },
        Family.POLICY: {
            401: "AutoBackup.0003",
            403: "AutoBackup.0213",
            500: "AutoBackup.0009",
            503: "AutoBackup.0009",
        },
    }
)
_ELSE = MappingProxyType({Family.VBS: BAD_REQUEST, Family.POLICY: "AutoBackup.0008"})
NO_TOKEN = MappingProxyType(
    {Family.VBS: "VolumeBackup.0044", Family.POLICY: "AutoBackup.0002", Family.NATIVE: "VolumeBackup.0044"}
)
IDENTITY_DOWN = MappingProxyType(
    {
        Family.VBS: (503, "VolumeBackup.0041"),
        Family.POLICY: (500, "AutoBackup.9002"),
        Family.NATIVE: (503, "VolumeBackup.0041"),
    }
)


def code_of(family: Family, status: int) -> str:
    """The code of an error that no rule of ours raised; native answers name the VBS one in their header."""
    area = Family.VBS if family is Family.NATIVE else family
    return _COMMON[area].get(status, _ELSE[area])


def render(code: str, message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message}})
