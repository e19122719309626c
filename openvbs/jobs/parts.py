"""What every job works with, put together once by the composition root."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from openvbs.clock import Clock, utc_now
from openvbs.db.session import Database
from openvbs.jobs.queue import JobQueue
from openvbs.jobs.repositories import Repositories
from openvbs.volumes.files import VolumeFiles
from openvbs.volumes.reserve import Reserve

COLLECT_DELAY_SECONDS = 120.0
COLLECT_EVERY_SECONDS = 24 * 3600.0
CHECK_EVERY_SECONDS = 24 * 3600.0
CHECK_WHOLE_DAYS = 30
WORKFLOWS_KEPT_SECONDS = 7 * 24 * 3600.0


def new_id() -> str:
    """A random id in the form that clients expect."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a worker that its jobs use."""

    database: Database
    queue: JobQueue
    files: VolumeFiles
    reserve: Reserve
    repositories: Repositories
    clock: Clock = utc_now
    make_id: Callable[[], str] = new_id
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the process wants to end: every running job parks at its next checkpoint."""
    collect_delay_seconds: float = COLLECT_DELAY_SECONDS
    """How long deletes are gathered before the space is collected."""
    collect_every_seconds: float = COLLECT_EVERY_SECONDS
    check_every_seconds: float = CHECK_EVERY_SECONDS
    check_whole_days: int = CHECK_WHOLE_DAYS
    """In so many days the daily checks have read everything once."""
    notifies: bool = False
    """Audit events are also owed to the operator's notifications."""
    workflows_kept_seconds: float = WORKFLOWS_KEPT_SECONDS
    """How long the queue remembers what has ended."""
