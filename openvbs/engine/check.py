"""Finding damage, and saying which backups and which bytes of their volumes it affects."""

from collections.abc import Iterator

from openvbs.engine.check_packs import CheckState, DataCheck, OnState, begin_check, keep_no_state
from openvbs.engine.check_report import ByteRange, CheckReport
from openvbs.engine.check_walk import Walk
from openvbs.engine.errors import EngineError
from openvbs.engine.format import DAMAGE, LEASES, PACKS, RECORDS, ObjectKind, parse_pack_name
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.leases import Lease
from openvbs.engine.pack_table import PackTable, side_by_side
from openvbs.engine.progress import Checkpoint, OnProgress, ignore_progress, never_stop
from openvbs.engine.repository import Repository
from openvbs.stores.base import ObjectMissing

__all__ = ["ByteRange", "CheckReport", "CheckState", "begin_check", "check_data", "check_structure"]


def check_structure(repository: Repository, *, checkpoint: Checkpoint = never_stop) -> CheckReport:
    """See that every object opens, every pack is there in full size and every id of every backup is in one. Quick."""
    present = repository.backup_ids()  # before the index is read: a later one may need what is not in it
    with repository.working("check") as lease:
        report = CheckReport()
        look = _looking_at(lease, checkpoint)
        broken = _check_objects(repository, _sizes(repository), report, look)
        Walk(repository, broken, frozenset(), look).walk(present, report)
        lease.check_stored()
        return report


def check_data(
    repository: Repository,
    *,
    state: CheckState | None = None,
    on_state: OnState = keep_no_state,
    on_progress: OnProgress = ignore_progress,
    checkpoint: Checkpoint = never_stop,
) -> CheckReport:
    """Like check_structure, and read and verify every block of all packs, or of those that the state says.

    A state that was kept goes on after the last pack that it was kept after; packs stored since may be passed over.
    """
    present = repository.backup_ids()  # before the index is read: a later one may need what is not in it
    with repository.working("check") as lease:
        report = CheckReport()
        sizes = _sizes(repository)
        look = _looking_at(lease, checkpoint)
        broken = _check_objects(repository, sizes, report, look)
        begun = state or begin_check(repository)
        work = DataCheck(repository, begun, on_state=on_state, on_progress=on_progress, checkpoint=look)
        bad = work.check(sizes, {pack for pack, size in broken.items() if not size}, report)
        Walk(repository, broken, bad, look).walk(present, report)
        lease.check_stored()
        return report


def _looking_at(lease: Lease, checkpoint: Checkpoint) -> Checkpoint:
    """Whose lease lapsed would call damaged what a collection has put elsewhere since (I10)."""

    def look() -> None:
        lease.check()
        checkpoint()

    return look


def _sizes(repository: Repository) -> PackTable:
    """Of every pack, the sum of the sizes that segments say, and how many segments name it."""
    return PackTable((row.pack_id, row.size_bytes, 1) for row in repository.index.pack_rows())


def _check_objects(
    repository: Repository, sizes: PackTable, report: CheckReport, checkpoint: Checkpoint
) -> dict[PackId, int]:
    """Look at all objects but backups; the packs that have another size than they should, with that, 0 if missing."""
    for segment, error in repository.index.damaged.items():
        report.note(f"index segment {segment.hex()} cannot be used: {error}")
    for error in repository.damaged_collections.values():
        report.note(str(error))
    _check_segments(repository, report, checkpoint)
    _check_small(repository, report)
    broken: dict[PackId, int] = {}
    for pack, row, stored in side_by_side(sizes, _listed(repository, report)):
        checkpoint()
        if row is None or stored == row.first // row.second:
            continue
        broken[pack] = stored or 0
        if pack not in repository.index.condemned:
            size = row.first // row.second
            what = "is missing" if stored is None else f"has {stored} bytes instead of {size}"
            report.note(f"pack {pack.hex()} {what}")
            repository.note_damage({pack: _cut_off(repository, pack, stored)})
    return broken


def _cut_off(repository: Repository, pack: PackId, stored: int | None) -> frozenset[BlockId] | None:
    """The blocks that a pack of this size does not hold; None if it is missing."""
    if stored is None:
        return None
    listing = repository.index.listing(pack)
    return frozenset(entry.block_id for entry in listing if entry.offset_bytes + entry.length_bytes > stored)


def _listed(repository: Repository, report: CheckReport) -> Iterator[tuple[PackId, int]]:
    for info in repository.store.list(PACKS):
        pack = parse_pack_name(info.name)
        if pack is None:
            report.note(f"{info.name} is not named like a pack")
        else:
            yield pack, info.size_bytes


def _check_segments(repository: Repository, report: CheckReport, checkpoint: Checkpoint) -> None:
    for segment, error in repository.index.try_segments():
        checkpoint()
        if error is not None:
            report.note(f"index segment {segment.hex()} is damaged, and a cache still has it: {error}")


def _check_small(repository: Repository, report: CheckReport) -> None:
    for prefix, kind in ((LEASES, ObjectKind.LEASE), (RECORDS, ObjectKind.RECORD), (DAMAGE, ObjectKind.DAMAGE)):
        for info in repository.store.list(prefix):
            try:
                repository.codec.open_object(info.name, kind, repository.store.get(info.name))
            except ObjectMissing:
                continue  # that work has ended, or there is a newer version
            except EngineError as error:
                report.note(str(error))
