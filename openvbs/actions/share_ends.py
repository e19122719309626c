"""How shares end: cancelled, declined, expired, or with their backup. Callers hold the lock of the backup's row."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from openvbs.actions.service import Service, record
from openvbs.auth.caller import Caller
from openvbs.db import backups, jobs, shares
from openvbs.domain.audit import AuditAction
from openvbs.domain.share import Share

SERVICE_USER = "openvbs"
"""Who did it, in events of what nobody did."""
ABORTED_BY = "the project that owns the backup, which ended the share"
"""In the words of a job's fail reason, which the recipient reads."""


def end_live(
    service: Service, connection: sa.Connection, caller: Caller, live: Sequence[Share], *, because: str | None = None
) -> list[Share]:
    """Cancel those of the shares that are still live, one audit event each; gives those that this call ended."""
    ended = set(shares.cancel(connection, [share.id for share in live], now=service.clock()))
    for share in live:
        if share.id in ended:
            declined = because is None and share.to_project_id == caller.project_id
            record(
                service,
                connection,
                caller,
                AuditAction.SHARE_DECLINE if declined else AuditAction.SHARE_CANCEL,
                owner=share.from_project_id,
                backup_id=share.backup_id,
                share_id=share.id,
                to_project_id=share.to_project_id,
                outcome="cancelled",
                details={} if because is None else {"because": because},
            )
    return [share for share in live if share.id in ended]


def end_shares(
    service: Service, connection: sa.Connection, caller: Caller, backup_id: str, *, because: str | None = None
) -> list[Share]:
    """Cancel every live share of the backup; gives those that this call ended. None waits to be accepted any more."""
    now = service.clock()
    live = unexpired(service, connection, backup_id, now=now)
    shares.drop_suspended(connection, backup_id, now=now)
    return end_live(service, connection, caller, live, because=because)


def unexpired(service: Service, connection: sa.Connection, backup_id: str, *, now: datetime) -> list[Share]:
    """The backup's live shares, after writing down the end of all others: a new one may take the place of any.

    Both by one look at the clock, or a share that expires between two looks would be neither live nor ended.
    """
    end_expired(service, connection, backup_id, now=now)
    return shares.live_of_backup(connection, backup_id, now=now)


def end_expired(service: Service, connection: sa.Connection, backup_id: str, *, now: datetime) -> None:
    """Write down the end of the backup's shares that have expired, one audit event each."""
    for share in shares.end_expired(connection, backup_id, now=now):
        assert share.expires_at is not None
        caller = Caller(
            project_id=share.from_project_id,
            token_project_id=share.from_project_id,
            user_id=SERVICE_USER,
            roles=frozenset(),
            is_admin=False,
            request_id=f"req-{share.id}",
        )
        record(
            service,
            connection,
            caller,
            AuditAction.SHARE_EXPIRE,
            owner=share.from_project_id,
            backup_id=share.backup_id,
            share_id=share.id,
            to_project_id=share.to_project_id,
            outcome="expired",
            details={"expired_at": share.expires_at.isoformat()},
        )


def abort(
    service: Service, connection: sa.Connection, caller: Caller, backup_id: str, *, share_id: str | None = None
) -> None:
    """Ask the jobs of recipients under one share of the backup, or under any, to stop; one audit event each.

    They end as when their own project cancels them. One that publishes at this moment has succeeded or is stopped.
    """
    owner = backups.owner_of(connection, backup_id)
    assert owner is not None
    for job in jobs.open_under_shares(connection, backup_id):
        if share_id in {None, job.share_id} and jobs.update_open(
            connection, job.id, attempt=None, cancel_requested_by=ABORTED_BY
        ):
            record(
                service,
                connection,
                caller,
                AuditAction.SHARE_ABORT,
                owner=owner,
                backup_id=backup_id,
                share_id=job.share_id,
                job_id=job.id,
                to_project_id=job.project_id,
            )
