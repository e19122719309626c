"""``openvbs repo``: checking, collecting, repairing, and another key."""

import math
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from openvbs.cli.check_state import check_with_bar
from openvbs.cli.repo_options import PATH, opened, repository_command
from openvbs.cli.tables import print_json, print_record, printable, size_text
from openvbs.engine.check import CheckReport, check_structure
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.engine.repair import repair_index
from openvbs.engine.repository import open_repository
from openvbs.engine.rewrap import key_ids, replace_root_key
from openvbs.errors import OpenVbsError
from openvbs.stores.urls import open_store


class DamageFound(OpenVbsError):
    """A check found damage; what it is was printed."""


def _no_nan(_context: click.Context, _option: click.Parameter, percent: float | None) -> float | None:
    """What the range lets through."""
    if percent is not None and math.isnan(percent):
        raise click.BadParameter("nan is no share of the data")
    return percent


@click.command()
@click.option("--full", is_flag=True, help="Read and verify all data too.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="PERCENT",
    callback=_no_nan,
    help="Read and verify so much of the data.",
)
@click.option(
    "--state",
    "state_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep in this file how far it is; if it is interrupted, the same command goes on from there.",
)
@repository_command
def check(
    url: str,
    *,
    key_file: Path,
    cache: Path | None,
    full: bool,
    sample: float | None,
    state_file: Path | None,
    as_json: bool,
) -> None:
    """See that everything is there and, with --full or --sample, that it is good. Exits with 1 if it is not."""
    if full and sample is not None:
        raise click.UsageError("--full and --sample exclude each other")
    if state_file is not None and not full and sample is None:
        raise click.UsageError("--state is for --full and --sample; the check of the structure begins anew each time")
    with opened(url, key_file, cache) as repository:
        if full or sample is not None:
            report = check_with_bar(repository, 1.0 if full else (sample or 0) / 100, state_file)
        else:
            report = check_structure(repository)
    if as_json:
        print_json({"ok": report.ok, **asdict(report)})
    else:
        _print_report(report)
    if not report.ok:
        problems = len(report.problems) + report.problems_more
        raise DamageFound(f"{len(report.damaged)} backups are damaged; {problems} problems were found")


def _print_report(report: CheckReport) -> None:
    for problem in report.problems:
        click.echo(f"problem: {printable(problem)}")
    if report.problems_more:
        click.echo(f"problem: and {report.problems_more} more")
    for backup_id, ranges in report.damaged.items():
        where = ", ".join(f"{part.offset_bytes}-{part.offset_bytes + part.length_bytes - 1}" for part in ranges)
        click.echo(f"damaged: backup {backup_id}, " + (f"bytes {where}" if where else "its record cannot be read"))
    print_record(
        [
            ("whole backups", str(len(report.whole))),
            ("damaged backups", str(len(report.damaged))),
            ("packs read", str(report.packs_checked)),
            ("blocks verified", str(report.blocks_checked)),
            ("bytes verified", size_text(report.bytes_checked)),
        ]
    )


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@repository_command
def collect(url: str, *, key_file: Path, cache: Path | None, dry_run: bool, as_json: bool) -> None:
    """Give back the space of deleted backups. Runs beside everything else."""
    with opened(url, key_file, cache) as repository:
        plan = plan_collection(repository)
        answer: dict[str, int] = {
            "packs_dead": len(plan.dead),
            "bytes_dead": plan.bytes_dead,
            "packs_sparse": len(plan.rewrite),
            "bytes_sparse": plan.bytes_rewrite,
            "bytes_copied": plan.bytes_copied,
        }
        if dry_run:
            answer |= {"packs_waiting": plan.packs_waiting, "packs_left": plan.packs_left}
        else:
            answer |= asdict(apply_collection(repository, plan))
    if as_json:
        print_json(answer)
        return
    print_record(
        [
            (name.replace("_", " "), size_text(value) if name.startswith("bytes") else str(value))
            for name, value in answer.items()
        ]
    )


@click.command("rotate-key")
@click.option("--new-key-file", required=True, type=PATH, help="The new root key file; made if it is not there.")
@repository_command
def rotate_key(url: str, *, key_file: Path, new_key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Let the repository open with another root key, and no longer with the present one. Its data stays as it is.

    One object is replaced, in one step: after a crash, either the old key or the new one opens it. Repositories of
    the service belong to 'openvbs key rotate', which takes all of them along.
    """
    old = load_root_key(key_file)
    made_key = not new_key_file.exists()
    with closing(open_store(url)) as store:
        if made_key:
            open_repository(store, old, cache=cache).close()  # no key is made when the old one opens nothing here
        new = create_root_key(new_key_file) if made_key else load_root_key(new_key_file)
        if new.key_id == old.key_id:
            raise click.UsageError(
                "--key-file and --new-key-file hold the same key; a new one is made in a file that does not exist"
            )
        if key_ids(store) != [new.key_id]:
            replace_root_key(store, old, new)
        open_repository(store, new, cache=cache).close()
    if as_json:
        print_json({"root_key_id": new.key_id, "key_file": str(new_key_file), "key_file_made": made_key})
        return
    click.echo(f"The repository opens with the root key in {new_key_file} alone. Keep a copy of it elsewhere.")


@click.command()
@repository_command
def repair(url: str, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Make lost or damaged parts of the index again from the packs."""
    with opened(url, key_file, cache) as repository:
        report = repair_index(repository)
    if as_json:
        print_json(asdict(report))
        return
    for problem in report.problems:
        click.echo(f"problem: {printable(problem)}")
    print_record(
        [
            ("packs listed", str(report.packs_listed)),
            ("segments removed", str(report.segments_removed)),
            ("collections removed", str(report.collections_removed)),
        ]
    )
