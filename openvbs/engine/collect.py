"""Giving back the space of what no backup needs: plan, then apply. Runs beside everything else (docs/format.md 5-7)."""

import logging
from dataclasses import dataclass, field

from openvbs.engine.damage import note_of
from openvbs.engine.errors import BlockDamaged, EngineError
from openvbs.engine.format import Kind
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.leases import EXPIRE_SECONDS, Lease, survey_leases
from openvbs.engine.marking import Marking, refuse_damage
from openvbs.engine.pack import read_listing
from openvbs.engine.pack_table import side_by_side
from openvbs.engine.packing import Packing
from openvbs.engine.presence import stored_packs
from openvbs.engine.progress import Checkpoint, never_stop
from openvbs.engine.reader import try_read_blocks
from openvbs.engine.repository import Repository
from openvbs.engine.verdicts import carry_out, condemn, decide, forget_old_verdicts, merge_segments, sort_by_stage

_log = logging.getLogger(__name__)

REWRITE_BELOW = 0.5
"""A pack of which less than this share is needed is copied and then deleted."""
DEAD_PACKS_MAX = 100_000
"""Packs condemned by one collection at most, so that candidates and verdict stay far below an object's limit."""
REWRITE_PACKS_MAX = 256
"""Packs copied by one collection at most; the next one goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPlan:
    """What a collection would do. Nothing has been changed."""

    dead: frozenset[PackId]
    """Packs of which no backup needs anything."""
    bytes_dead: int
    rewrite: dict[PackId, list[BlockId]] = field(repr=False)
    """Packs of which little is needed, with the ids that are."""
    bytes_rewrite: int
    """Size of the packs to be copied in part."""
    bytes_copied: int
    """What is needed of them."""
    packs_waiting: int
    """Packs that earlier collections condemned and that are not deleted yet."""
    packs_left: int = 0
    """Dead packs beyond what one collection takes; the next one goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionResult:
    """What a collection did."""

    bytes_freed: int
    packs_deleted: int
    packs_copied: int
    packs_waiting: int
    """Condemned packs that running work may still need; the next collection looks again."""


def plan_collection(
    repository: Repository, now: float | None = None, checkpoint: Checkpoint = never_stop
) -> CollectionPlan:
    """See what could be given back; changes nothing but a lease and what is noted of packs that are gone.

    Fails if any backup or the index is damaged.

    Ages of leases are told by the store's own clock, unless now (seconds since 1970) is given.
    """
    with repository.working("collect") as lease:
        young_since = _young_since(repository, lease, now)
        marking = Marking(repository, checkpoint)
        # Later times than this are of a clock that was set back since: nobody knows how old such packs are.
        young_until = (lease.store_now() if now is None else now) + EXPIRE_SECONDS
        sorted_out = _sort_out(repository, marking, young_since, young_until)
        return CollectionPlan(
            dead=frozenset(sorted_out.dead),
            bytes_dead=sorted_out.bytes_dead,
            rewrite={pack: _needed_ids(repository, marking, pack) for pack in sorted_out.sparse},
            bytes_rewrite=sorted_out.bytes_sparse,
            bytes_copied=sorted_out.bytes_copied,
            packs_waiting=sorted_out.waiting,
            packs_left=sorted_out.left,
        )


def apply_collection(
    repository: Repository, plan: CollectionPlan, checkpoint: Checkpoint = never_stop, now: float | None = None
) -> CollectionResult:
    """Carry the plan out, and what earlier collections left; waits for nobody.

    Packs that running work may need are condemned and left for the next collection. If it is killed, that one goes on.
    """
    with repository.working("collect") as lease:
        refuse_damage(repository)
        copied = _copy_needed(repository, plan, checkpoint)
        condemn(repository, plan.dead | copied)
        stages = sort_by_stage(repository, lease, now)
        if stages.undecided:
            # After the leases were seen to be gone, so that every backup made under them is walked (I8).
            needed = Marking(repository, checkpoint).needed_condemned
            # After the walk: who reads what no walked backup needs began before the end of that backup.
            living = survey_leases(repository.store, repository.codec, own=lease, now=now).living
            lease.check_stored()
            decide(repository, stages.undecided, needed, living)
            stages = sort_by_stage(repository, lease, now)
        deleted, freed = carry_out(repository, stages.decided, checkpoint)
        merge_segments(repository)
        _forget_damage_of_gone(repository)
        forget_old_verdicts(repository, lease, now)
        left = [collection.condemned for collection in (*stages.undecided, *stages.waiting)]
        return CollectionResult(
            bytes_freed=freed,
            packs_deleted=deleted,
            packs_copied=len(copied),
            packs_waiting=len(frozenset().union(*left)),
        )


def _forget_damage_of_gone(repository: Repository) -> None:
    """Nobody can come to rely on a pack that no segment names any more."""
    noted = repository.index.damage.keys()
    if noted:
        repository.forget_damage(noted - {row.pack_id for row in repository.index.pack_rows() if row.pack_id in noted})


def _young_since(repository: Repository, lease: Lease, now: float | None) -> float:
    """When the oldest running work began: packs since then may be its own, so condemning them would be in vain."""
    survey = survey_leases(repository.store, repository.codec, own=lease, now=now)
    return min([survey.at, *survey.living.values()])


@dataclass(slots=True)
class _SortedOut:
    """Packs by what becomes of them. Those that stay are only passed by: there may be a million."""

    dead: list[PackId] = field(default_factory=list)
    bytes_dead: int = 0
    sparse: list[PackId] = field(default_factory=list)
    bytes_sparse: int = 0
    bytes_copied: int = 0
    waiting: int = 0
    left: int = 0


def _sort_out(repository: Repository, marking: Marking, young_since: float, young_until: float) -> _SortedOut:
    found = _SortedOut()
    condemned = repository.index.condemned
    for pack, usage, info in side_by_side(marking.usage(), stored_packs(repository)):
        if pack in condemned:
            found.waiting += 1
        elif info is not None and young_since <= info.modified_at <= young_until:
            continue
        # A pack that no segment names is what a crash left (I12); one that is named but not stored is a leftover too.
        elif usage is None or usage.first == 0:
            if len(found.dead) == DEAD_PACKS_MAX:
                found.left += 1
                continue
            found.dead.append(pack)
            found.bytes_dead += info.size_bytes if info is not None else 0
        elif (
            info is not None
            and usage.first < REWRITE_BELOW * usage.second
            and len(found.sparse) < REWRITE_PACKS_MAX
            and not _holds_needed_damage(repository, marking, pack)
        ):
            found.sparse.append(pack)
            found.bytes_sparse += info.size_bytes
            found.bytes_copied += usage.first
    return found


def _holds_needed_damage(repository: Repository, marking: Marking, pack: PackId) -> bool:
    """True if something in the pack could not be copied, as far as is noted, and is needed just there."""
    blocks = repository.index.damage.get(pack, frozenset())
    return blocks is None or any(marking.is_needed_in(block_id, pack) for block_id in blocks)


def _needed_ids(repository: Repository, marking: Marking, pack: PackId) -> list[BlockId]:
    try:
        listing = read_listing(repository.store, repository.codec, pack)
    except EngineError:
        listing = repository.index.listing(pack)  # the pack is cut off; what is left of it may be needed
    return [entry.block_id for entry in listing if marking.is_needed_in(entry.block_id, pack)]


def _copy_needed(repository: Repository, plan: CollectionPlan, checkpoint: Checkpoint) -> set[PackId]:
    """Copy what is needed of sparse packs; those of which all could be copied.

    What could not is noted, so that the next collection tries other packs and does not copy the rest of these again.
    """
    copied: set[PackId] = set()
    packing = Packing(repository, threads=1)
    try:
        for pack, ids in plan.rewrite.items():
            if all(_copy(repository, packing, pack, *found) for found in try_read_blocks(repository, ids)):
                copied.add(pack)
            checkpoint()
        packing.flush()
    finally:
        packing.close()
    return copied


def _copy(
    repository: Repository, packing: Packing, pack: PackId, block_id: BlockId, found: bytes | EngineError
) -> bool:
    if isinstance(found, EngineError):
        _log.warning("pack %s is kept as it is: %s", pack.hex(), found)
        repository.note_damage(note_of(found) if isinstance(found, BlockDamaged) else {pack: frozenset([block_id])})
        return False
    is_page = repository.codec.id_of(found, Kind.PAGE) == block_id
    packing.copy(block_id, Kind.PAGE if is_page else Kind.BLOCK, found)
    return True
