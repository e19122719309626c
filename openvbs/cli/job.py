"""``openvbs job``: list, show, watch and cancel long tasks. A thin client of the HTTP API."""

import time
from collections.abc import Callable
from typing import Any

import click

from openvbs.cli.bars import byte_bar
from openvbs.cli.cloud import Cloud, cloud_command, examples
from openvbs.cli.names import find_backup_id
from openvbs.cli.tables import print_json, print_record, print_table
from openvbs.engine.progress import Progress
from openvbs.errors import OpenVbsError

ENDED = frozenset({"SUCCESS", "FAIL"})
_SECONDS_BETWEEN_LOOKS = 0.5
_EXIT_INTERRUPTED = 130


class JobFailed(OpenVbsError):
    """The job that was watched ended as FAIL."""


@click.group(
    no_args_is_help=True, epilog=examples("openvbs job list", "openvbs job watch e6b1d35f-09a8-4c72-8d4e-f21c7b9a6035")
)
def job() -> None:
    """Follow backups and restores while they run, and cancel them.

    The cloud comes from --os-cloud or OS_CLOUD, as with the openstack command.
    """


@job.command("list", epilog=examples("openvbs job list --status RUNNING", "openvbs job list --backup monday"))
@click.option("--status", type=click.Choice(["INIT", "RUNNING", "SUCCESS", "FAIL"]), help="Only jobs in this status.")
@click.option("--backup", metavar="BACKUP", help="Only the jobs of this backup (name or id).")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@cloud_command
def list_(cloud: Cloud, *, status: str | None, backup: str | None, limit: int, as_json: bool) -> None:
    """List this project's jobs, the newest first."""
    params = {"limit": str(limit)}
    if status is not None:
        params["status"] = status
    if backup is not None:
        params["backup_id"] = find_backup_id(cloud, backup)
    rows = cloud.get("jobs", **params)["jobs"]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("job", "type", "status", "done", "began", "reason"),
        (
            (row["job_id"], row["job_type"], row["status"], _percent(row), row["begin_time"], row["fail_reason"])
            for row in rows
        ),
    )


@job.command()
@click.argument("job_id", metavar="ID")
@cloud_command
def show(cloud: Cloud, job_id: str, *, as_json: bool) -> None:
    """Show one job."""
    row = cloud.get(f"jobs/{job_id}")
    if as_json:
        print_json(row)
        return
    print_record(
        (
            ("job", row["job_id"]),
            ("type", row["job_type"]),
            ("status", row["status"]),
            ("done", f"{row['progress']['bytes_done']} of {row['progress']['bytes_total']} bytes"),
            ("began", row["begin_time"]),
            ("ended", row["end_time"]),
            ("error code", row["error_code"]),
            ("reason", row["fail_reason"]),
            *sorted(row["entities"].items()),
        )
    )


@job.command(short_help="Show a job's progress until it ends.")
@click.argument("job_id", metavar="ID")
@cloud_command
def watch(cloud: Cloud, job_id: str, *, as_json: bool) -> None:
    """Show a job's progress until it ends; exit 0 when it succeeded, 1 when it failed.

    Ctrl-C ends only the watching, the job goes on.
    """
    try:
        row = follow_with_bar(cloud, job_id, seconds_between_looks=_SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt as interrupt:
        click.echo(
            f"\nThe job goes on. Look again with: openvbs job watch {job_id}\n"
            f"or stop it with: openvbs job cancel {job_id}",
            err=True,
        )
        raise click.exceptions.Exit(_EXIT_INTERRUPTED) from interrupt
    if as_json:
        print_json(row)
    if row["status"] == "FAIL":
        raise JobFailed(f"job {job_id} failed: {row['fail_reason']} ({row['error_code']})")
    if not as_json:
        click.echo(f"job {job_id} ended: {row['status']}")


@job.command()
@click.argument("job_id", metavar="ID")
@cloud_command
def cancel(cloud: Cloud, job_id: str, *, as_json: bool) -> None:
    """Ask a running backup or restore to stop.

    It ends as FAIL within seconds. A cancelled backup is left in status error, with nothing restorable in it; the
    volume of a cancelled restore is left in status error_restoring and may be restored again.
    """
    row = cloud.call("DELETE", f"jobs/{job_id}").json()
    if as_json:
        print_json(row)
    else:
        click.echo(f"job {job_id} is asked to stop; see it end with: openvbs job watch {job_id}")


def follow(cloud: Cloud, job_id: str, see: Callable[[Any], None], *, seconds_between_looks: float) -> Any:
    """Look at a job again and again until it ends, show ``see`` each look, and give the last one."""
    while True:
        row = cloud.get(f"jobs/{job_id}")
        see(row)
        if row["status"] in ENDED:
            return row
        time.sleep(seconds_between_looks)


def follow_with_bar(cloud: Cloud, job_id: str, *, seconds_between_looks: float) -> Any:
    """Follow a job with a progress bar on standard error, where that is a terminal."""
    with byte_bar(cloud.get(f"jobs/{job_id}")["job_type"]) as show:

        def see(row: Any) -> None:
            if row["progress"]["bytes_total"]:
                show(Progress(**row["progress"]))

        return follow(cloud, job_id, see, seconds_between_looks=seconds_between_looks)


def _percent(row: Any) -> str:
    amount = row["progress"]
    return f"{100 * amount['bytes_done'] // amount['bytes_total']} %" if amount["bytes_total"] else "-"
