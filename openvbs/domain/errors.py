"""Why a request that we understood is refused. Each dialect renders these through its own table of codes.

RuleError
  NotFound          the caller may not know it, whether it exists or not
  Forbidden         the caller can see the thing but may not do this to it
  BadRequest        a value breaks a rule; names the field
  Conflict          the thing is in a state that does not allow this
  QuotaExceeded     a ceiling is reached
"""

from openvbs.domain.backup import Backup
from openvbs.errors import OpenVbsError


class RuleError(OpenVbsError):
    """The request is understood but not allowed."""


class NotFound(RuleError):
    """Nothing of this id is there for this caller."""

    kind = "object"

    def __init__(self, wanted_id: str) -> None:
        super().__init__(f"No {self.kind} {wanted_id} in this project.")
        self.wanted_id = wanted_id


class BackupNotFound(NotFound):
    kind = "backup"


class RestoreBackupNotFound(BackupNotFound):
    """The backup to restore is not there; its own class since the restore area has its own code for it."""


class ShareNotFound(NotFound):
    kind = "backup sharing"


class VolumeNotFound(NotFound):
    kind = "volume"


class TargetVolumeNotFound(VolumeNotFound):
    """The volume to restore into is not there."""


class SnapshotNotFound(NotFound):
    kind = "snapshot"


class JobNotFound(NotFound):
    kind = "job"


class PolicyNotFound(NotFound):
    """No such policy to read from."""

    kind = "policy"


class TargetPolicyNotFound(PolicyNotFound):
    """No such policy to change or run; its own class since the contract gives it a code of its own."""


class PolicyTagNotFound(NotFound):
    """The policy has no tag of this key."""

    kind = "tag"

    def __init__(self, key: str) -> None:
        super().__init__(repr(key))


class MetadataKeyNotFound(NotFound):
    """The volume or snapshot has no metadata of this key."""

    kind = "metadata key"

    def __init__(self, holder: str, holder_id: str, key: str) -> None:
        super().__init__(f"{key!r} of {holder} {holder_id}")


class MarkerNotFound(NotFound):
    """The page marker names nothing that the caller could have been shown."""

    kind = "marker"


class Forbidden(RuleError):
    """The caller is known but may not do this."""


class RecipientForbidden(Forbidden):
    """A recipient tried what only the owner of a shared backup may do."""

    def __init__(self, backup: Backup) -> None:
        super().__init__("The backup is shared with this project; only the project that owns it may do this.")
        self.backup = backup


class ForeignBackup(Forbidden):
    """An administrator would change what it may only read and delete."""

    def __init__(self) -> None:
        super().__init__(
            "An administrator reads and deletes other projects' backups; only their own project changes them."
        )


class BadRequest(RuleError):
    """A value breaks a rule."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class TargetTooSmall(BadRequest):
    """The volume to restore into is smaller than the backup."""

    def __init__(self, volume_gib: int, backup_gib: int) -> None:
        super().__init__(
            "volume_id",
            f"the volume has {volume_gib} GiB but the backup needs {backup_gib} GiB; extend it or choose a larger one",
        )


class NoParentBackup(BadRequest):
    """An incremental backup was asked for, but the volume has no available backup in this project."""

    def __init__(self) -> None:
        super().__init__("incremental", "No backups available to do an incremental backup.")


class SharedWithItself(BadRequest):
    """The owner is among the projects to share with."""

    def __init__(self, field: str = "to_project_ids") -> None:
        super().__init__(field, "a backup cannot be shared with the project that owns it")


class ExpiryInPast(BadRequest):
    """The share would have ended before it began."""

    def __init__(self) -> None:
        super().__init__("expires_at", "must lie in the future")


class BackupIdTaken(BadRequest):
    """A record cannot be imported, since a backup of its id is there, or going."""

    def __init__(self, backup_id: str) -> None:
        super().__init__("backup_url", f"Backup {backup_id} already exists.")


class StartTimesDisordered(BadRequest):
    """The start times and the time zone of a policy do not fit together."""


class PolicyTagsExceeded(BadRequest):
    """The policy would have too many tags."""

    def __init__(self, limit: int, wanted: int) -> None:
        super().__init__("tags", f"the policy would have {wanted} tags; {limit} are allowed")


class NoVolumesToRun(BadRequest):
    """The policy to run has no disks."""

    def __init__(self, policy_id: str) -> None:
        super().__init__("resources", f"no disk is associated with policy {policy_id}")


class Conflict(RuleError):
    """The thing is in a state that does not allow this."""


class VolumeBusy(Conflict):
    """The volume's status does not allow it to be backed up, changed or removed."""

    def __init__(self, volume_id: str, status: str, needed: str) -> None:
        super().__init__(f"Volume {volume_id} is {status}; it must be {needed}.")
        self.status = status


class MetadataChanged(Conflict):
    """Somebody else changed the metadata since the caller read it."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"The metadata of the {holder} is no longer what If-Match names; read it again.")


class BackupUnfinished(Conflict):
    """An earlier backup of the volume is still being made."""

    def __init__(self, volume_id: str) -> None:
        super().__init__(f"A backup of volume {volume_id} is still being made; wait for it to end or cancel its job.")


class SnapshotBusy(Conflict):
    """The snapshot's status does not allow this."""

    def __init__(self, snapshot_id: str, status: str) -> None:
        super().__init__(f"Snapshot {snapshot_id} is {status}; it must be available.")
        self.status = status


class SnapshotInError(SnapshotBusy):
    """The snapshot is in error."""


class VolumeHasSnapshots(Conflict):
    """A volume with snapshots is removed only together with them."""

    def __init__(self, volume_id: str, count: int) -> None:
        super().__init__(f"Volume {volume_id} still has {count} snapshot(s); delete them first or use cascade.")


class BackupNotDeletable(Conflict):
    """The backup is being made or deleted, or a restore of the owner's own project is reading it."""

    def __init__(self, backup_id: str, status: str) -> None:
        super().__init__(f"Backup {backup_id} is {status}; Backup status must be available or error to delete it.")


class BackupBusy(Conflict):
    """A job that decides on the backup's status has not ended."""

    def __init__(self, backup_id: str, job_id: str) -> None:
        super().__init__(f"Job {job_id} works on backup {backup_id}; its status can be set once that has ended.")


class BackupNotUsable(Conflict):
    """The backup is not available, so it cannot be restored or shared."""

    def __init__(self, backup_id: str, status: str) -> None:
        super().__init__(f"Backup {backup_id} is {status}; it must be available.")


class TargetInError(Conflict):
    """The volume to restore into is in error."""

    def __init__(self, volume_id: str, status: str) -> None:
        super().__init__(f"Volume {volume_id} is {status}; choose an available volume.")


class TargetBackingUp(Conflict):
    """The volume to restore into is being backed up."""

    def __init__(self, volume_id: str) -> None:
        super().__init__(f"Volume {volume_id} is being backed up; wait for that to end.")


class TargetBusy(Conflict):
    """The volume to restore into is not available."""

    def __init__(self, volume_id: str, status: str) -> None:
        super().__init__(f"Volume {volume_id} is {status}; it must be available to be restored into.")


class JobEnded(Conflict):
    """A job that has ended cannot be cancelled."""

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"Job {job_id} has already ended with {status}.")


class JobNotCancellable(Conflict):
    """Only backups and restores can be cancelled; the rest ends by itself within moments."""

    def __init__(self, job_id: str, kind: str) -> None:
        super().__init__(f"Job {job_id} ({kind}) cannot be cancelled; only backups and restores can.")


class PolicyRunning(Conflict):
    """A run of the policy is under way."""

    def __init__(self, policy_id: str) -> None:
        super().__init__(f"Policy {policy_id} is running now; wait until its tasks have ended.")


class QuotaExceeded(RuleError):
    """A ceiling is reached."""


class BackupsPerVolumeExceeded(QuotaExceeded):
    def __init__(self, volume_id: str, limit: int) -> None:
        super().__init__(
            f"Maximum number of backups of volume {volume_id} allowed ({limit}) exceeded; delete one first."
        )


class BackupCountExceeded(QuotaExceeded):
    def __init__(self, limit: int) -> None:
        super().__init__(f"Maximum number of backups allowed ({limit}) exceeded")


class BackupGigabytesExceeded(QuotaExceeded):
    def __init__(self, limit: int, used: int, wanted: int) -> None:
        super().__init__(
            f"Requested backup exceeds allowed Backup gigabytes quota. "
            f"Requested {wanted}G, quota is {limit}G and {used}G has been consumed."
        )


class VolumeCountExceeded(QuotaExceeded):
    def __init__(self, limit: int) -> None:
        super().__init__(f"Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'.")


class SnapshotCountExceeded(QuotaExceeded):
    def __init__(self, limit: int) -> None:
        super().__init__(f"Maximum number of snapshots allowed ({limit}) exceeded")


class GigabytesExceeded(QuotaExceeded):
    def __init__(self, limit: int, used: int, wanted: int) -> None:
        super().__init__(
            f"Requested volume or snapshot exceeds allowed gigabytes quota. "
            f"Requested {wanted}G, quota is {limit}G and {used}G has been consumed."
        )


class VolumeSizeExceeded(QuotaExceeded):
    """One volume is larger than the project's may be."""

    def __init__(self, limit: int, wanted: int) -> None:
        super().__init__(f"Requested volume size {wanted}G exceeds the maximum allowed limit {limit}G.")


class SharesPerBackupExceeded(QuotaExceeded):
    def __init__(self, limit: int, wanted: int) -> None:
        super().__init__(f"The backup would be shared {wanted} times, which exceeds the allowed number ({limit}).")


class PoliciesExceeded(QuotaExceeded):
    def __init__(self, limit: int) -> None:
        super().__init__(f"Maximum number of backup policies allowed ({limit}) exceeded; delete one first.")


class VolumesPerPolicyExceeded(QuotaExceeded):
    def __init__(self, limit: int, wanted: int) -> None:
        super().__init__(f"The policy would have {wanted} disks, which exceeds the allowed number ({limit}).")


class NoRoomToRun(QuotaExceeded):
    """The quota of backups is exceeded by every single disk of the policy."""
