"""Why a job failed, in the API's codes and in words for the person who reads the job."""

import errno
from dataclasses import dataclass

from openvbs.domain.job import JobKind
from openvbs.engine.errors import KeyUnusable, WrongKey
from openvbs.errors import OpenVbsError
from openvbs.stores.base import StoreFull

_CODES: dict[str, str] = {
    JobKind.CREATE_BACKUP: "VolumeBackup.0027",
    JobKind.COPY_BACKUP: "VolumeBackup.0027",
    JobKind.DELETE_BACKUP: "VolumeBackup.0102",
    JobKind.RESTORE_BACKUP: "VolumeBackup.0200",
}
_CODE_OF_OTHERS = "VolumeBackup.0043"
_KEY_UNUSABLE = "VolumeBackup.0009"
FREEZE_FAILED = "VolumeBackup.0017"
SNAPSHOT_GONE = "VolumeBackup.0019"
SOURCE_GONE = "VolumeBackup.0024"

REASON_CHARACTERS_MAX = 1000
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Failure:
    """What the job, and the record that it worked on, will say."""

    error_code: str
    reason: str
    cancelled: bool = False
    is_full: bool = False
    """Space ran out, so what can be given back is wanted at once."""


class JobFailed(OpenVbsError):
    """The job cannot succeed. With a code when another one than that of its kind says it better."""

    def __init__(self, reason: str, *, error_code: str | None = None) -> None:
        super().__init__(reason)
        self.error_code = error_code


class Cancelled(OpenVbsError):
    """Somebody asked to stop the job."""


def failure_of(kind: str, error: Exception) -> Failure:
    """The failure that an error of a job's step means."""
    locked_out = kind == JobKind.CREATE_BACKUP and isinstance(error, KeyUnusable | WrongKey)
    code = _KEY_UNUSABLE if locked_out else _CODES.get(kind, _CODE_OF_OTHERS)
    if isinstance(error, Cancelled):
        return Failure(code, f"cancelled by {error}", cancelled=True)
    if isinstance(error, JobFailed):
        return Failure(error.error_code or code, _cut(str(error)))
    if is_full(error):
        return Failure(code, _cut(f"No space is left: {error}"), is_full=True)
    if isinstance(error, OpenVbsError):
        return Failure(code, _cut(str(error)))
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return Failure(code, _cut(f"{place}{error.strerror}"))
    return Failure(code, f"An internal error ({type(error).__name__}); the worker's log says more about this job.")


def is_full(error: BaseException) -> bool:
    """True when space or a quota of space ran out, also where another error wraps the system's."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, StoreFull) or (isinstance(seen, OSError) and seen.errno in _NO_SPACE):
            return True
        seen = seen.__cause__
    return False


def _cut(text: str) -> str:
    return text if len(text) <= REASON_CHARACTERS_MAX else f"{text[: REASON_CHARACTERS_MAX - 3]}..."
