"""``openvbs repo``: making a repository, and backups in it."""

from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from openvbs.cli.bars import byte_bar
from openvbs.cli.repo_options import PATH, opened, repository_command
from openvbs.cli.tables import print_json, print_record, print_table, size_text
from openvbs.cli.targets import open_target
from openvbs.clock import utc_now
from openvbs.engine.backup import back_up
from openvbs.engine.errors import (
    BackupMissing,
    Corrupt,
    EngineError,
    LeaseLapsed,
    RepositoryMissing,
    UnknownFormat,
)
from openvbs.engine.facts import BackupFacts, BackupRecord
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.engine.repository import create_repository
from openvbs.engine.restore import restore as restore_backup
from openvbs.engine.rewrap import key_ids
from openvbs.sources.base import Source
from openvbs.sources.file import FileSource
from openvbs.sources.qcow2 import open_qcow2
from openvbs.stores.base import Store
from openvbs.stores.urls import open_store
from openvbs.units import KIB


@click.command()
@click.option(
    "--block-size",
    "block_kib",
    type=click.Choice(["128", "256", "512", "1024", "2048", "4096"]),
    default="512",
    show_default=True,
    help="KiB per block; cannot be changed later.",
)
@repository_command
def init(url: str, *, key_file: Path, cache: Path | None, block_kib: str, as_json: bool) -> None:
    """Make a repository at URL, and the root key file if there is none; what exists already is left as it is.

    A repository that exists already opens only with the key that it was made with, so none is made for it.
    """
    with closing(open_store(url)) as store:
        is_new = not _is_repository(store)
        made_key = is_new and not key_file.exists()
        key = create_root_key(key_file) if made_key else load_root_key(key_file)
        with create_repository(store, key, block_bytes=int(block_kib) * KIB, cache=cache) as repository:
            repository_id, block_bytes = str(repository.id), repository.block_bytes
    if as_json:
        facts = {"repository_id": repository_id, "block_size_bytes": block_bytes}
        print_json({**facts, "key_file": str(key_file), "key_file_made": made_key})
        return
    print_record([("repository", repository_id), ("block size", f"{block_bytes // KIB} KiB")])
    if is_new:  # also when it was an earlier call, which then failed, that made the key
        click.echo(f"The root key is in {key_file}. Keep a copy of it elsewhere: without it NO BACKUP CAN BE READ.")


def _is_repository(store: Store) -> bool:
    try:
        key_ids(store)
    except RepositoryMissing:
        return False
    return True


@click.command()
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
@repository_command
@click.argument("file", type=PATH)
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
    with opened(url, key_file, cache) as repository, closing(_open_source(file, image_format)) as source:
        facts = BackupFacts(
            backup_id=str(uuid4()),
            name=_text(file.name if name is None else name),
            description=None if description is None else _text(description),
            created_at=utc_now(),
            volume_name=_text(file.name),
        )
        with byte_bar(f"backing up {file.name}") as on_progress:
            try:
                record = back_up(repository, source, facts, on_progress=on_progress)
            except LeaseLapsed:
                repository.delete_backup(facts.backup_id)
                raise
    try:
        _print_made(record, as_json=as_json)
    except OSError:
        click.echo(f"backup {facts.backup_id} was made", err=True)
        raise


def _print_made(record: BackupRecord, *, as_json: bool) -> None:
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
    click.echo(record.facts.backup_id)


def _text(argument: str) -> str:
    """An argument that need not be UTF-8, as text that can be stored."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _open_source(file: Path, image_format: str) -> Source:
    return open_qcow2(file) if image_format == "qcow2" else FileSource(file)


@click.command()
@repository_command
@click.argument("backup_id", metavar="ID")
@click.argument("file", type=PATH)
def restore(url: str, backup_id: str, file: Path, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Restore the backup ID to FILE.

    A file that does not exist is made, sparse, and removed again if the restore fails or is stopped. An existing file
    or block device is restored in place: only what differs is written, and what lies beyond the end of the backup
    stays. One that is smaller than the backup is refused.
    """
    with opened(url, key_file, cache) as repository:
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


@click.command("list")
@repository_command
def list_(url: str, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """List the backups, the oldest first. Those whose record is damaged are named after them, with exit code 1."""
    records: list[BackupRecord] = []
    damaged: list[str] = []
    with opened(url, key_file, cache) as repository:
        for backup_id in repository.backup_ids():
            try:
                records.append(repository.load_backup(backup_id))
            except BackupMissing:
                continue  # deleted just now
            except EngineError as error:
                damaged.append(str(error))
    records.sort(key=lambda record: record.facts.created_at)
    if as_json:
        print_json([_record_json(record) for record in records])
    else:
        print_table(("id", "name", "created", "size", "stored"), map(_row, records))
    if damaged:
        raise click.ClickException("\n".join([*damaged, "such a backup cannot be restored; delete removes it"]))


@click.command()
@repository_command
@click.argument("backup_id", metavar="ID")
def delete(url: str, backup_id: str, *, key_file: Path, cache: Path | None, as_json: bool) -> None:
    """Delete the backup ID; no other one is affected. Its space comes back with collect."""
    with opened(url, key_file, cache) as repository:
        with suppress(Corrupt, UnknownFormat):  # not to be restored, but to be deleted
            repository.load_backup(backup_id)
        repository.delete_backup(backup_id)
    if as_json:
        print_json({"deleted": backup_id})
    else:
        click.echo(f"deleted {backup_id}")


def _row(record: BackupRecord) -> tuple[str, ...]:
    return (
        record.facts.backup_id,
        record.facts.name,
        record.facts.created_at.isoformat(timespec="seconds"),
        size_text(record.size_bytes),
        size_text(record.stats.bytes_stored),
    )


def _record_json(record: BackupRecord) -> dict[str, Any]:
    facts = asdict(record.facts)
    facts["created_at"] = record.facts.created_at.isoformat()
    return {**facts, "size_bytes": record.size_bytes, **asdict(record.stats)}
