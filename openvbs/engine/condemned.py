"""Which packs collections may delete: their candidates, and verdicts once there are any."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from openvbs.engine.codec import Codec
from openvbs.engine.errors import Corrupt
from openvbs.engine.format import COLLECTIONS, ObjectKind
from openvbs.engine.ids import PackId
from openvbs.stores.base import ObjectMissing, Store

_Content = TypeVar("_Content", bound=msgspec.Struct)


class CandidatesContent(msgspec.Struct):
    packs: list[str]
    leases: list[str] | None
    """Of work that may rely on the packs; None until they were listed."""


class VerdictContent(msgspec.Struct):
    packs: list[str]
    leases: list[str]
    """Of work that may still read the packs: a backup that needed them may have been deleted under it."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection as the store has it. Without verdict it waits; without candidates it is over."""

    collection_id: str
    candidates: CandidatesContent | None
    verdict: VerdictContent | None

    @property
    def condemned(self) -> frozenset[PackId]:
        """The packs that a writer must not rely on."""
        content = self.verdict or self.candidates
        return pack_ids(content.packs) if content else frozenset()


def candidates_name(collection_id: str) -> str:
    return f"{COLLECTIONS}{collection_id}/candidates"


def verdict_name(collection_id: str) -> str:
    return f"{COLLECTIONS}{collection_id}/verdict"


def pack_ids(packs: list[str]) -> frozenset[PackId]:
    return frozenset(PackId(bytes.fromhex(text)) for text in packs)


def pack_texts(packs: frozenset[PackId]) -> list[str]:
    return sorted(pack.hex() for pack in packs)


def read_collections(store: Store, codec: Codec) -> list[Collection]:
    """All collections that began and were not cleared away, as of now."""
    return [read_collection(store, codec, collection_id) for collection_id in list_collections(store)]


def list_collections(store: Store) -> list[str]:
    """The ids of all collections of which anything is stored."""
    return sorted({info.name[len(COLLECTIONS) :].partition("/")[0] for info in store.list(COLLECTIONS)})


def read_collection(store: Store, codec: Codec, collection_id: str) -> Collection:
    """One collection. Candidates are read first: they go only after their verdict came."""
    candidates = _read(store, codec, candidates_name(collection_id), ObjectKind.CANDIDATES, CandidatesContent)
    verdict = _read(store, codec, verdict_name(collection_id), ObjectKind.VERDICT, VerdictContent)
    return Collection(collection_id, candidates, verdict)


def _read(store: Store, codec: Codec, name: str, kind: ObjectKind, content: type[_Content]) -> _Content | None:
    try:
        stored = store.get(name)
    except ObjectMissing:
        return None
    try:
        return msgspec.json.decode(codec.open_object(name, kind, stored), type=content)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Corrupt(f"{name} holds something unexpected") from error
