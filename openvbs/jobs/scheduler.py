"""What is due at its time: policies run, shares expire. Every worker looks; the records let it happen once."""

from openvbs.actions import policy_runs
from openvbs.actions.audit import forget_old_events
from openvbs.actions.service import Service
from openvbs.actions.shares import end_all_expired

LOOK_SECONDS = 1.0
FORGET_SECONDS = 3600.0


class Scheduler:
    """Its methods may be called by every worker at once; what one has done another finds done."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def look(self) -> None:
        """End what has ended, make the tasks of times that have come, begin what waits."""
        end_all_expired(self._service)
        policy_runs.end_finished_tasks(self._service)
        policy_runs.make_all_due_tasks(self._service)
        policy_runs.begin_waiting_tasks(self._service)

    def forget(self) -> None:
        """Remove tasks that ended, and audit events that happened, too long ago."""
        policy_runs.forget_old_tasks(self._service)
        forget_old_events(self._service)
