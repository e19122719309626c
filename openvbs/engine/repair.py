"""Making the index again from what the packs say about themselves."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from openvbs.engine.condemned import list_collections, pack_ids, read_collection
from openvbs.engine.errors import EngineError
from openvbs.engine.format import COLLECTIONS, SEGMENTS, ObjectKind, PackListing
from openvbs.engine.ids import PackId
from openvbs.engine.pack import read_listing
from openvbs.engine.presence import stored_packs
from openvbs.engine.repository import Repository
from openvbs.stores.base import ObjectMissing

_SEGMENT_PACKS = 64


@dataclass(slots=True, kw_only=True)
class RepairReport:
    """What a repair of the index did."""

    packs_listed: int = 0
    """Packs that no good segment named and that one names now."""
    segments_removed: int = 0
    collections_removed: int = 0
    """Candidates and verdicts that could not be read."""
    problems: list[str] = field(default_factory=list)
    """Packs whose directory cannot be read; what they hold stays out of the index."""


def repair_index(repository: Repository) -> RepairReport:
    """Name every pack that no good segment names in a new one, then remove the segments that cannot be opened.

    Runs beside everything. A crash leaves more segments than needed.
    """
    report = RepairReport()
    with repository.working("repair"):
        index = repository.index
        damaged = {*index.damaged, *(segment for segment, error in index.try_segments() if error is not None)}
        settled = {row.pack_id for row in index.pack_rows() if row.segment not in damaged}
        settled |= _doomed_packs(repository)
        found: list[PackListing] = []
        for listing in _list_packs(repository, settled, report):
            found.append(listing)
            if len(found) == _SEGMENT_PACKS:
                index.write_segment(found)
                report.packs_listed += len(found)
                found = []
        if found:
            index.write_segment(found)
            report.packs_listed += len(found)
        for segment in damaged:
            repository.store.delete(SEGMENTS + segment.hex())
            report.segments_removed += 1
        # Undecided again, or never begun: the next collection decides anew with what is needed then.
        for collection_id in list(repository.damaged_collections):
            for info in list(repository.store.list(f"{COLLECTIONS}{collection_id}/")):
                if _is_damaged(repository, info.name):
                    repository.store.delete(info.name)
                    report.collections_removed += 1
        repository.refresh()
    return report


def _list_packs(repository: Repository, settled: set[PackId], report: RepairReport) -> Iterator[PackListing]:
    """What every other pack in the store says it holds."""
    for pack, _ in stored_packs(repository):
        if pack in settled:
            continue
        try:
            yield read_listing(repository.store, repository.codec, pack)
        except ObjectMissing:
            continue  # a collection deleted it just now
        except EngineError as error:
            report.problems.append(str(error))


def _doomed_packs(repository: Repository) -> frozenset[PackId]:
    """Packs that a verdict names: nobody needs them. What is only a candidate may be needed by now."""
    store, codec = repository.store, repository.codec
    readable = [name for name in list_collections(store) if name not in repository.damaged_collections]
    verdicts = [read_collection(store, codec, collection_id).verdict for collection_id in readable]
    return frozenset().union(*(pack_ids(verdict.packs) for verdict in verdicts if verdict is not None))


def _is_damaged(repository: Repository, name: str) -> bool:
    kind = ObjectKind.VERDICT if name.endswith("/verdict") else ObjectKind.CANDIDATES
    try:
        repository.codec.open_object(name, kind, repository.store.get(name))
    except ObjectMissing:
        return False
    except EngineError:
        return True
    return False
