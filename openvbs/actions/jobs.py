"""Look at jobs and cancel them."""

from openvbs.actions.service import Service, record
from openvbs.auth.caller import Caller
from openvbs.db import jobs, workers
from openvbs.domain.audit import AuditAction
from openvbs.domain.errors import JobEnded, JobNotCancellable, JobNotFound
from openvbs.domain.job import CANCELLABLE, ENDED, Job, JobQuery, is_alive
from openvbs.domain.page import Page


def get_job(service: Service, caller: Caller, job_id: str) -> Job:
    """One job of the caller's project. Raises JobNotFound."""
    service.permissions.require(caller, "job:show")
    with service.database.read() as connection:
        job = jobs.find(connection, job_id, project_id=caller.project_id)
    if job is None:
        raise JobNotFound(job_id)
    return job


def list_jobs(service: Service, caller: Caller, query: JobQuery) -> Page[Job]:
    """The project's jobs, newest first. Raises MarkerNotFound."""
    service.permissions.require(caller, "job:list")
    with service.database.read() as connection:
        return jobs.list_page(connection, query, project_id=caller.project_id)


def cancel_job(service: Service, caller: Caller, job_id: str) -> Job:
    """Ask a backup, restore, import or export to stop; its runner sees it within a second and ends the job as FAIL.

    Asking twice is harmless. Raises JobNotFound, JobNotCancellable, JobEnded.
    """
    service.permissions.require(caller, "job:cancel")
    with service.database.write() as connection:
        job = jobs.find(connection, job_id, project_id=caller.project_id, for_update=True)
        if job is None:
            raise JobNotFound(job_id)
        if job.kind not in CANCELLABLE:
            raise JobNotCancellable(job_id, job.kind)
        if job.status in ENDED:
            raise JobEnded(job_id, job.status)
        if job.cancel_requested_by is None:
            jobs.update_open(connection, job_id, attempt=None, cancel_requested_by=f"user {caller.user_id}")
            record(
                service,
                connection,
                caller,
                AuditAction.JOB_CANCEL,
                owner=caller.project_id,
                backup_id=job.backup_id,
                job_id=job_id,
            )
        found = jobs.find(connection, job_id, project_id=caller.project_id)
    assert found is not None
    return found


def open_jobs_by_status(service: Service) -> dict[str, int]:
    """How many jobs wait and run, over all projects; for the operator's metrics, no caller involved."""
    with service.database.read() as connection:
        return jobs.count_open(connection)


def worker_is_alive(service: Service) -> bool:
    """Has any worker said within the last minute that it runs? For the operator, no caller involved."""
    with service.database.read() as connection:
        beats = workers.list_all(connection)
    now = service.clock()
    return any(is_alive(at, now) for _, at in beats)
