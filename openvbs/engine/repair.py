"""Making the index again from what the packs say about themselves."""

from dataclasses import dataclass, field

from openvbs.engine.errors import EngineError
from openvbs.engine.format import COLLECTIONS, SEGMENTS, ObjectKind, PackListing
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
        damaged = list(repository.index.damaged)
        named = repository.index.pack_sizes()
        found: list[PackListing] = []
        for pack, _ in stored_packs(repository):
            if pack in named or pack in repository.index.condemned:
                continue
            try:
                found.append(read_listing(repository.store, repository.codec, pack))
            except EngineError as error:
                report.problems.append(str(error))
            if len(found) == _SEGMENT_PACKS:
                repository.index.write_segment(found)
                report.packs_listed += len(found)
                found = []
        if found:
            repository.index.write_segment(found)
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


def _is_damaged(repository: Repository, name: str) -> bool:
    kind = ObjectKind.VERDICT if name.endswith("/verdict") else ObjectKind.CANDIDATES
    try:
        repository.codec.open_object(name, kind, repository.store.get(name))
    except ObjectMissing:
        return False
    except EngineError:
        return True
    return False
