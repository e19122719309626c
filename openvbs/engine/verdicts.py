"""The life of one collection in the store: candidates, verdict, deletion, and leases waited for (docs/format.md 6)."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from openvbs.engine.condemned import (
    CandidatesContent,
    Collection,
    VerdictContent,
    candidates_name,
    pack_ids,
    pack_texts,
    read_collections,
    verdict_name,
)
from openvbs.engine.format import LEASES, SEGMENTS, ObjectKind, PackListing, pack_name
from openvbs.engine.ids import PackId, new_object_id
from openvbs.engine.index import segment_sizes
from openvbs.engine.leases import Lease, count_from_now, survey_leases
from openvbs.engine.progress import Checkpoint
from openvbs.engine.repository import Repository
from openvbs.stores.base import NameTaken, ObjectMissing
from openvbs.units import MIB

VERDICT_KEPT_SECONDS = 86400.0
"""A collector that slept longer has lost its lease, so it cannot take an old collection for an open one."""
MERGE_SEGMENTS_MIN = 16
MERGE_SEGMENT_BYTES_MAX = 1 * MIB
"""Segments below this size are merged when there are MERGE_SEGMENTS_MIN of them."""
SEGMENT_ENTRIES_MAX = 500_000
"""In a segment of several packs: 32 MB at most. An object may have 64 MiB, which is enough for any one pack."""
_THREADS = 4


def condemn(repository: Repository, packs: frozenset[PackId] | set[PackId]) -> None:
    """Store candidates: from now on no writer that starts relies on these packs (I6)."""
    packs = frozenset(packs) - repository.index.condemned
    if packs:
        _put_candidates(repository, new_object_id(), CandidatesContent(pack_texts(packs), None))


@dataclass(frozen=True, slots=True)
class Stages:
    """Collections by what may be done about them now."""

    undecided: list[Collection]
    """May get their verdict: what ran when they were begun has ended."""
    decided: list[Collection]
    """May be carried out: what ran when they were decided has ended too."""
    waiting: list[Collection]


def sort_by_stage(repository: Repository, lease: Lease, now: float | None) -> Stages:
    """See how far each collection is. Expired leases are deleted, those with a time to come get ours (I10).

    Collections whose leases were never listed get them listed now, later than their candidates were stored, so all that
    matter are among them.
    """
    store, codec = repository.store, repository.codec
    collections = read_collections(store, codec)
    survey = survey_leases(store, codec, own=lease, now=now)
    for lease_id in survey.expired:
        store.delete(LEASES + lease_id)
    for lease_id in survey.ahead:
        lease.check()  # who stood still for long might bring back a lease that another collector deleted (I10)
        count_from_now(store, lease_id)
    stages = Stages([], [], [])
    for collection in collections:
        if collection.candidates is None:
            continue
        leases = (collection.verdict or collection.candidates).leases
        if leases is None:
            leases = sorted(survey.living)
            lease.check()
            content = CandidatesContent(collection.candidates.packs, leases)
            _put_candidates(repository, collection.collection_id, content)
        if survey.living.keys() & set(leases):
            stages.waiting.append(collection)
        elif collection.verdict is None:
            stages.undecided.append(collection)
        else:
            stages.decided.append(collection)
    return stages


def decide(repository: Repository, undecided: list[Collection], needed: set[PackId], living: Iterable[str]) -> None:
    """Give collections their verdicts, sparing what is needed; of two verdicts the first stands for everybody (I8).

    living are the leases there were after the backups had been walked.
    """
    leases = sorted(living)
    for collection in undecided:
        name = verdict_name(collection.collection_id)
        content = msgspec.json.encode(VerdictContent(pack_texts(collection.condemned - needed), leases))
        with suppress(NameTaken):
            repository.store.create(name, repository.codec.seal_object(name, ObjectKind.VERDICT, content))


def carry_out(repository: Repository, collections: list[Collection], checkpoint: Checkpoint) -> tuple[int, int]:
    """Delete what the verdicts name, index first (I11); packs and bytes that this gave back."""
    doomed: frozenset[PackId] = frozenset().union(
        *(pack_ids(collection.verdict.packs) for collection in collections if collection.verdict is not None)
    )
    _replace_segments(repository, repository.index.segments_naming(doomed), doomed)
    deleted = freed = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for size in pool.map(lambda pack: _delete_pack(repository, pack), sorted(doomed)):
            deleted += size is not None
            freed += size or 0
            checkpoint()
    for collection in collections:
        repository.store.delete(candidates_name(collection.collection_id))
    if collections:
        repository.refresh()
    return deleted, freed


def merge_segments(repository: Repository) -> None:
    """Write many small segments again as a few larger ones, so that a repository stays quick to open."""
    sizes = segment_sizes(repository.store)
    small = frozenset(segment for segment, size in sizes.items() if size < MERGE_SEGMENT_BYTES_MAX)
    if len(small) >= MERGE_SEGMENTS_MIN:
        _replace_segments(repository, small, frozenset())


def forget_old_verdicts(repository: Repository, lease: Lease, now: float | None) -> None:
    """Remove the verdicts of collections that are over, once they are a day old."""
    over = [c for c in read_collections(repository.store, repository.codec) if c.candidates is None]
    moment = (lease.store_now() if now is None else now) if over else 0.0
    for collection in over:
        name = verdict_name(collection.collection_id)
        with suppress(ObjectMissing):
            if moment - repository.store.stat(name).modified_at > VERDICT_KEPT_SECONDS:
                repository.store.delete(name)


def _put_candidates(repository: Repository, collection_id: str, content: CandidatesContent) -> None:
    name = candidates_name(collection_id)
    sealed = repository.codec.seal_object(name, ObjectKind.CANDIDATES, msgspec.json.encode(content))
    repository.store.put(name, sealed)


def _replace_segments(repository: Repository, segments: frozenset[bytes], without: frozenset[PackId]) -> None:
    """Write new segments that say what these say but for some packs; then delete these. A crash leaves both.

    What is too large for one new segment goes to several, be it many old ones or a single one that had grown.
    """
    kept: dict[PackId, PackListing] = {}
    entries = 0
    read: list[bytes] = []
    for segment in sorted(segments):
        try:
            listings = repository.index.read_segment(segment)
        except ObjectMissing:
            continue  # another collector was here
        for listing in listings:
            if listing.pack_id in without or listing.pack_id in kept:
                continue
            if entries + len(listing) > SEGMENT_ENTRIES_MAX:
                # Without the segment at hand: the rest of what it says is not written yet.
                _write_instead(repository, kept, read)
                kept, entries, read = {}, 0, []
            kept[listing.pack_id] = listing
            entries += len(listing)
        read.append(segment)
    _write_instead(repository, kept, read)


def _write_instead(repository: Repository, kept: dict[PackId, PackListing], old: list[bytes]) -> None:
    if kept:
        repository.index.write_segment(list(kept.values()))
    for segment in old:
        repository.store.delete(SEGMENTS + segment.hex())


def _delete_pack(repository: Repository, pack: PackId) -> int | None:
    """The size of the pack that was deleted, or None if it was gone already."""
    name = pack_name(pack)
    try:
        size = repository.store.stat(name).size_bytes
    except ObjectMissing:
        return None
    repository.store.delete(name)
    return size
