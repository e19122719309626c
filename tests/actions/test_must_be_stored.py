"""What the records tell of a repository that the store does not show: was there ever anything in it?"""

import pytest

from openvbs.actions.backup_records import import_record, reset_backup
from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.service import Service
from openvbs.db import backups
from openvbs.db.tables import jobs
from openvbs.domain.backup import BackupStatus, NewBackup, NewRecord
from openvbs.domain.job import JobKind
from tests.support.actions import add_backup, add_volume, caller, end_job, new_id

ALPHA = caller("alpha")
FOR_BETA = caller("beta", role="admin")


def must_be_stored(service: Service) -> bool:
    with service.database.read() as connection:
        return backups.must_be_stored(connection, "alpha")


def update(service: Service, backup_id: str, **values: object) -> None:
    with service.database.write() as connection:
        assert backups.update(connection, backup_id, now=service.clock(), **values)


def failed(service: Service) -> str:
    """A backup whose making failed."""
    new = NewBackup(volume_id=add_volume(service, "alpha"), name="b")
    backup, job = create_backup(service, ALPHA, new)
    end_job(service, job, status="FAIL")
    update(service, backup.id, status=BackupStatus.ERROR)
    return backup.id


def test_nothing_is_stored_before_a_backup_was_made(service: Service) -> None:
    assert not must_be_stored(service)
    add_backup(service, "beta")
    add_backup(service, "alpha", status=BackupStatus.CREATING)
    failed(service)
    assert not must_be_stored(service)


@pytest.mark.parametrize("status", [BackupStatus.AVAILABLE, BackupStatus.ERROR])
def test_a_backup_is_stored_from_its_making_until_it_is_purged(service: Service, status: str) -> None:
    backup_id = add_backup(service, "alpha", status=status)
    assert must_be_stored(service)
    end_job(service, delete_backup(service, ALPHA, backup_id))
    with service.database.write() as connection:
        backups.mark_deleted(connection, backup_id, now=service.clock())
    assert must_be_stored(service)
    with service.database.write() as connection:
        backups.mark_purged(connection, backup_id, now=service.clock())
    assert not must_be_stored(service)


def test_what_a_look_found_is_stored(service: Service) -> None:
    """A backup whose making failed just after its commit, and that an administrator then had looked at."""
    operator = caller("operators", role="admin", sees_all=True)
    job = reset_backup(service, operator, failed(service), BackupStatus.AVAILABLE)
    assert job is not None
    assert not must_be_stored(service)
    end_job(service, job)
    assert must_be_stored(service)


def test_an_imported_record_says_it_once_its_data_was_seen(service: Service) -> None:
    new = NewRecord(id=new_id(), repository_id="alpha", data_id=new_id(), size_gib=1)
    record, job = import_record(service, FOR_BETA, new)
    end_job(service, job, status="FAIL")
    assert not must_be_stored(service)
    update(service, record.id, bytes_total=1)
    assert must_be_stored(service)


def test_a_record_that_a_rescue_made_anew_lay_in_the_store(service: Service) -> None:
    backup_id = add_backup(service, "alpha")
    with service.database.write() as connection:
        connection.execute(jobs.delete().where(jobs.c.kind == JobKind.CREATE_BACKUP))
    assert must_be_stored(service)
    update(service, backup_id, status=BackupStatus.ERROR)
    assert must_be_stored(service)
