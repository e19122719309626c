"""Which runner does which kind of job."""

from openvbs.domain.job import JobKind
from openvbs.jobs import (
    run_backup,
    run_check,
    run_check_data,
    run_collect,
    run_copy,
    run_delete,
    run_image,
    run_restore,
    run_snapshot,
    run_volume,
)
from openvbs.jobs.runner import Runner

RUNNERS: dict[str, Runner] = {
    JobKind.CREATE_BACKUP: run_backup.RUNNER,
    JobKind.DELETE_BACKUP: run_delete.RUNNER,
    JobKind.RESTORE_BACKUP: run_restore.RUNNER,
    JobKind.COPY_BACKUP: run_copy.RUNNER,
    JobKind.CREATE_VOLUME: run_volume.CREATE,
    JobKind.DELETE_VOLUME: run_volume.DELETE,
    JobKind.EXTEND_VOLUME: run_volume.EXTEND,
    JobKind.IMPORT_VOLUME: run_image.IMPORT,
    JobKind.EXPORT_VOLUME: run_image.EXPORT,
    JobKind.CREATE_SNAPSHOT: run_snapshot.CREATE,
    JobKind.DELETE_SNAPSHOT: run_snapshot.DELETE,
    JobKind.CHECK_BACKUP: run_check.RUNNER,
    JobKind.COLLECT: run_collect.RUNNER,
    JobKind.CHECK: run_check_data.RUNNER,
}
