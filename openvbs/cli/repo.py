"""``openvbs repo``: a repository without any server or database."""

import functools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import click

from openvbs.cli.bars import byte_bar
from openvbs.cli.check_state import check_with_bar
from openvbs.cli.repo_verify import verify_store_command
from openvbs.cli.tables import print_json, print_record, print_table, size_text
from openvbs.cli.targets import open_target
from openvbs.clock import utc_now
from openvbs.engine.backup import back_up
from openvbs.engine.check import CheckReport, check_structure
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import LeaseLapsed
from openvbs.engine.facts import BackupFacts, BackupRecord
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.engine.repair import repair_index
from openvbs.engine.repository import Repository, create_repository, open_repository
from openvbs.engine.restore import restore as restore_backup
from openvbs.engine.rewrap import key_ids, replace_root_key
from openvbs.errors import OpenVbsError
from openvbs.sources.base import Source
from openvbs.sources.file import FileSource
from openvbs.sources.qcow2 import open_qcow2
from openvbs.stores.urls import open_store
from openvbs.units import KIB

_Function = TypeVar("_Function", bound=Callable[..., None])
_PATH = click.Path(path_type=Path)


class DamageFound(OpenVbsError):
    """A check found damage; what it is was printed."""


@click.group(no_args_is_help=True)
def repo() -> None:
    """Back up images and disks to a repository, without server or database.

    URL is a directory or s3://bucket/prefix; for a bucket, the usual AWS_* variables say endpoint and credentials.
    A repository of the service is one of these too: DIR/store/PROJECT_ID with the key file DIR/root.key.
    """


repo.add_command(verify_store_command)


def _repository_command(function: _Function) -> _Function:
    """URL, --key-file, --cache and --json, which every command takes."""
    wrapped: Any = function
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text."),
        click.option(
            "--cache", type=_PATH, help="Keep a copy of the index in this directory, to open faster next time."
        ),
        click.option("--key-file", required=True, type=_PATH, help="The root key file."),
        click.argument("url"),
    ):
        wrapped = decorate(wrapped)
    return cast("_Function", functools.update_wrapper(wrapped, function))


@contextmanager
def _opened(url: str, key_file: Path, cache: Path | None) -> Iterator[Repository]:
    key = load_root_key(key_file)
    with closing(open_store(url)) as store, open_repository(store, key, cache=cache) as repository:
        yield repository


@repo.command()
@click.option(
    "--block-size",
    "block_kib",
    type=click.Choice(["128", "256", "512", "1024", "2048", "4096"]),
    default="512",
    show_default=True,
    help="KiB per block; cannot be changed later.",
)
@_repository_command
def init(url: str, *, key_file: Path, cache: Path | None, block_kib: str, as_json: bool) -> None:
    """Make a repository at URL, and the root key file if there is none; what exists already is left as it is."""
    made_key = not key_file.exists()
    key = create_root_key(key_file) if made_key else load_root_key(key_file)
    with (
        closing(open_store(url)) as store,
        create_repository(store, key, block_bytes=int(block_kib) * KIB, cache=cache) as repository,
    ):
        repository_id, block_bytes = str(repository.id), repository.block_bytes
    if as_json:
        facts = {"repository_id": repository_id, "block_size_bytes": block_bytes}
        print_json({**facts, "key_file": str(key_file), "key_file_made": made_key})
        return
    print_record([("repository", repository_id), ("block size", f"{block_bytes // KIB} KiB")])
    if made_key:
        click.echo(f"The root key is in {key_file}. Keep a copy of it elsewhere: without it NO BACKUP CAN BE READ.")


@repo.command()
@click.option("--name", help="A name for the backup; the file's name if it is left out.")
@click.option("--description", help="A text to keep with the backup.")
@click.option(
    "--format",
    "image_format",
    type=click.Choice(["raw", "qcow2"]),
    default="raw",
    show_default=True,
    help="What FILE is. Never guessed: whoever writes a raw disk could make it look like another format.",
)
@_repository_command
@click.argument("file", type=_PATH)
def backup(
    url: str,
    file: Path,
    *,
    key_file: Path,
    cache: Path | None,
    name: str | None,
    description: str | None,
    image_format: str,
    as_json: bool,
) -> None:
    """Back up FILE, an image or a block device that nobody writes to meanwhile. Prints the backup's id last.

    Of a qcow2 image the disk in it is backed up, as the guest sees it.
    """
    with _opened(url, key_file, cache) as repository, closing(_open_source(file, image_format)) as source:
        facts = BackupFacts(
            backup_id=str(uuid4()),
            name=file.name if name is None else name,
            description=description,
            created_at=utc_now(),
            volume_name=file.name,
        )
        with byte_bar(f"backing up {file.name}") as on_progress:
            try:
                record = back_up(repository, source, facts, on_progress=on_progress)
            except LeaseLapsed:
                repository.delete_backup(facts.backup_id)
                raise
    if as_json:
        print_json(_record_json(record))
        return
    stats = record.stats
    print_record(
        [
            ("volume", size_text(record.size_bytes)),
            ("read", size_text(stats.bytes_read)),
            ("new", size_text(stats.bytes_new)),
            ("stored", f"{size_text(stats.bytes_stored)} in {stats.object_count} packs"),
        ]
    )
    click.echo(facts.backup_id)


def _open_source(file: Path, image_format: str) -> Source:
    return open_qcow2(file) if image_format == "qcow2" else FileSource(file)


@repo.command()
@_repository_command
@click.argument("backup_id", metavar="ID")
@click.argument("file", type=_PATH)
def restore(url: str, backup_id: str, file: Path, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Restore the backup ID to FILE.

    A file that does not exist is made, sparse, and removed again if the restore fails. An existing file or block device
    is restored in place: only what differs is written, and what lies beyond the end of the backup stays. One that is
    smaller than the backup is refused.
    """
    with _opened(url, key_file, cache) as repository:
        record = repository.load_backup(backup_id)
        with open_target(file, record.size_bytes) as target, byte_bar(f"restoring {file.name}") as on_progress:
            stats = restore_backup(repository, backup_id, target, on_progress=on_progress)
    if as_json:
        print_json({"backup_id": backup_id, "file": str(file), **asdict(stats)})
        return
    print_record(
        [
            ("volume", size_text(stats.bytes_total)),
            ("written", size_text(stats.bytes_written)),
            ("held already", size_text(stats.bytes_skipped)),
            ("zeros", size_text(stats.bytes_zero)),
        ]
    )


@repo.command("list")
@_repository_command
def list_(url: str, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """List the backups, the oldest first."""
    with _opened(url, key_file, cache) as repository:
        records = sorted(repository.list_backups(), key=lambda record: record.facts.created_at)
    if as_json:
        print_json([_record_json(record) for record in records])
        return
    print_table(
        ("id", "name", "created", "size", "stored"),
        (
            (
                record.facts.backup_id,
                record.facts.name,
                record.facts.created_at.isoformat(timespec="seconds"),
                size_text(record.size_bytes),
                size_text(record.stats.bytes_stored),
            )
            for record in records
        ),
    )


@repo.command()
@click.option("--full", is_flag=True, help="Read and verify all data too.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="PERCENT",
    help="Read and verify so much of the data.",
)
@click.option(
    "--state",
    "state_file",
    type=_PATH,
    help="Keep in this file how far it is; if it is interrupted, the same command goes on from there.",
)
@_repository_command
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
    with _opened(url, key_file, cache) as repository:
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
        click.echo(f"problem: {problem}")
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


@repo.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@_repository_command
def collect(url: str, *, key_file: Path, cache: Path | None, dry_run: bool, as_json: bool) -> None:
    """Give back the space of deleted backups. Runs beside everything else."""
    with _opened(url, key_file, cache) as repository:
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


@repo.command()
@_repository_command
@click.argument("backup_id", metavar="ID")
def delete(url: str, backup_id: str, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Delete the backup ID; no other one is affected. Its space comes back with collect."""
    with _opened(url, key_file, cache) as repository:
        repository.load_backup(backup_id)
        repository.delete_backup(backup_id)
    if as_json:
        print_json({"deleted": backup_id})
    else:
        click.echo(f"deleted {backup_id}")


@repo.command("rotate-key")
@click.option("--new-key-file", required=True, type=_PATH, help="The new root key file; made if it is not there.")
@_repository_command
def rotate_key(url: str, *, key_file: Path, new_key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Let the repository open with another root key, and no longer with the present one. Its data stays as it is.

    One object is replaced, in one step: after a crash, either the old key or the new one opens it. Repositories of
    the service belong to 'openvbs key rotate', which takes all of them along.
    """
    old = load_root_key(key_file)
    made_key = not new_key_file.exists()
    new = create_root_key(new_key_file) if made_key else load_root_key(new_key_file)
    with closing(open_store(url)) as store:
        if key_ids(store) != [new.key_id]:
            replace_root_key(store, old, new)
        open_repository(store, new, cache=cache).close()
    if as_json:
        print_json({"root_key_id": new.key_id, "key_file": str(new_key_file), "key_file_made": made_key})
        return
    click.echo(f"The repository opens with the root key in {new_key_file} alone. Keep a copy of it elsewhere.")


@repo.command()
@_repository_command
def repair(url: str, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Make lost or damaged parts of the index again from the packs."""
    with _opened(url, key_file, cache) as repository:
        report = repair_index(repository)
    if as_json:
        print_json(asdict(report))
        return
    for problem in report.problems:
        click.echo(f"problem: {problem}")
    print_record(
        [
            ("packs listed", str(report.packs_listed)),
            ("segments removed", str(report.segments_removed)),
            ("collections removed", str(report.collections_removed)),
        ]
    )


def _record_json(record: BackupRecord) -> dict[str, Any]:
    facts = asdict(record.facts)
    facts["created_at"] = record.facts.created_at.isoformat()
    return {**facts, "size_bytes": record.size_bytes, **asdict(record.stats)}
