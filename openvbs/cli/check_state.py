"""A check of data that can be interrupted: how far it is lies in a file of the operator's."""

from pathlib import Path

import msgspec

from openvbs.cli.bars import byte_bar
from openvbs.clock import monotonic_seconds
from openvbs.engine.check import CheckReport, CheckState, begin_check, check_data
from openvbs.engine.repository import Repository
from openvbs.errors import OpenVbsError
from openvbs.files import write_private

KEEP_SECONDS = 5.0
"""How much work an interruption costs at most, beside the packs being read."""


class StateUnusable(OpenVbsError):
    """The state file is of another check or cannot be written; the operator must remove it or name another one."""


def check_with_bar(repository: Repository, sample: float, file: Path | None) -> CheckReport:
    """Check this share of the data, going on where the file says; the file goes when the check has ended."""
    state = begin_check(repository, sample=sample)
    if file is not None:
        if file.exists():
            state = _read(file, like=state)
        _write(file, state)  # where it cannot be kept is found out now, not when it is needed
    kept_at = monotonic_seconds()

    def keep(state: CheckState) -> None:
        nonlocal kept_at
        if file is not None and monotonic_seconds() - kept_at >= KEEP_SECONDS:
            _write(file, state)
            kept_at = monotonic_seconds()

    try:
        with byte_bar("checking") as on_progress:
            report = check_data(repository, state=state, on_state=keep, on_progress=on_progress)
    except BaseException:
        if file is not None:
            _write(file, state)
        raise
    if file is not None:
        file.unlink(missing_ok=True)
    return report


def _read(file: Path, *, like: CheckState) -> CheckState:
    try:
        state = msgspec.json.decode(file.read_bytes(), type=CheckState)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StateUnusable(f"{file} does not hold the state of a check: {error}") from error
    if (state.repository_id, state.width) != (like.repository_id, like.width):
        raise StateUnusable(f"{file} is of a check of another repository or of another share of the data")
    return state


def _write(file: Path, state: CheckState) -> None:
    try:
        write_private(file, msgspec.json.encode(state).decode())
    except OSError as error:
        raise StateUnusable(f"the state of the check cannot be kept in {file}: {error.strerror}") from error
