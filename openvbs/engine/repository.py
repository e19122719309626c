"""One repository: its header, its keys, its index, and the backups in it."""

import logging
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import msgspec

from openvbs.clock import utc_now
from openvbs.engine.codec import Codec
from openvbs.engine.condemned import list_collections, read_collection
from openvbs.engine.damage import Damage, add_damage, drop_damage, joined, note_of, read_damage
from openvbs.engine.errors import (
    BackupMissing,
    BlockDamaged,
    Corrupt,
    EngineError,
    RepositoryMissing,
    UnknownFormat,
)
from openvbs.engine.facts import BackupFacts, BackupRecord, BackupStats
from openvbs.engine.format import (
    BACKUPS,
    BLOCK_BYTES_DEFAULT,
    BLOCK_BYTES_MAX,
    BLOCK_BYTES_MIN,
    FORMAT,
    HEADER_MAGIC,
    HEADER_NAME,
    ID_BYTES,
    PACKS,
    ObjectKind,
)
from openvbs.engine.header import Header, open_header, pack_header
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.index import Index
from openvbs.engine.keys import (
    KEY_BYTES,
    RootKey,
    derive_project_keys,
    wrap_project_key,
)
from openvbs.engine.leases import Lease, holding
from openvbs.engine.tree import Tree, TreeShape
from openvbs.stores.base import NameTaken, ObjectMissing, Store, StoreError

_log = logging.getLogger(__name__)


class _BackupContent(msgspec.Struct):
    format: int
    root: str
    height: int
    size_bytes: int
    facts: BackupFacts
    stats: BackupStats


class Repository:
    """An open repository. Threads may share it."""

    def __init__(self, store: Store, repository_id: UUID, codec: Codec, cache: Path | None) -> None:
        """For create_repository and open_repository."""
        self.id = repository_id
        self.store = store
        self.codec = codec
        self.index = Index(store, codec, cache)
        self._look = threading.Lock()
        """Held for a whole look at the store: a slow one must not take back what a later one saw."""
        self.damaged_collections: dict[str, EngineError] = {}
        """Collections that could not be read at the last refresh, and why. Restores do without them."""

    @property
    def block_bytes(self) -> int:
        """Size of a block; a property of the repository."""
        return self.codec.block_bytes

    def backup_ids(self) -> list[str]:
        """Of every backup that is there now, sorted."""
        return [info.name[len(BACKUPS) :] for info in self.store.list(BACKUPS)]

    def list_backups(self) -> Iterator[BackupRecord]:
        """Every backup, sorted by id. One that is deleted meanwhile may be left out."""
        for backup_id in self.backup_ids():
            try:
                yield self.load_backup(backup_id)
            except BackupMissing:
                continue

    def load_backup(self, backup_id: str) -> BackupRecord:
        """The backup, or BackupMissing."""
        name = backup_name(backup_id)
        try:
            stored = self.store.get(name)
        except ObjectMissing as error:
            raise BackupMissing(backup_id) from error
        try:
            content = msgspec.json.decode(self.codec.open_object(name, ObjectKind.BACKUP, stored), type=_BackupContent)
            root = BlockId(bytes.fromhex(content.root))
        except (msgspec.DecodeError, ValueError) as error:
            raise Corrupt(f"{name} holds something unexpected") from error
        if content.format != FORMAT:
            raise UnknownFormat(f"{name} has format {content.format}; this program knows {FORMAT}")
        shape = TreeShape(content.size_bytes, self.block_bytes)
        if len(root) != ID_BYTES or content.height != shape.height or content.facts.backup_id != backup_id:
            raise Corrupt(f"{name} contradicts itself")
        return BackupRecord(content.facts, content.stats, Tree(shape, root))

    def create_backup(self, record: BackupRecord) -> None:
        """Commit: make the backup visible, durably. NameTaken if its id is in use."""
        name = backup_name(record.facts.backup_id)
        content = _BackupContent(
            format=FORMAT,
            root=record.tree.root.hex(),
            height=record.tree.shape.height,
            size_bytes=record.size_bytes,
            facts=record.facts,
            stats=record.stats,
        )
        self.store.create(name, self.codec.seal_object(name, ObjectKind.BACKUP, msgspec.json.encode(content)))

    def delete_backup(self, backup_id: str) -> None:
        """Remove the backup, durably; one that is absent is no error. Its space comes back by collection."""
        self.store.delete(backup_name(backup_id))

    @contextmanager
    def working(self, purpose: str) -> Iterator[Lease]:
        """Hold a lease, with an index and condemned packs read after it was made (I6).

        Index segments that cannot be opened are left out, as ``index.damaged`` tells. A damaged block that ends the
        work is noted.
        """
        with holding(self.store, self.codec, purpose) as lease:
            self.refresh()
            for segment, error in self.index.damaged.items():
                _log.warning("index segment %s is left out: %s", segment.hex(), error)
            try:
                yield lease
            except BlockDamaged as error:
                self._try_to_note(error)
                raise

    def refresh(self) -> None:
        """Bring the index, and what of it is condemned or damaged, up to date with the store."""
        with self._look:
            damaged = {}
            condemned = []
            for collection_id in list_collections(self.store):
                try:
                    condemned.append(read_collection(self.store, self.codec, collection_id).condemned)
                except EngineError as error:
                    damaged[collection_id] = error
            self.damaged_collections = damaged
            self.index.condemned = frozenset().union(*condemned)
            self.index.damage = read_damage(self.store, self.codec)
            self.index.refresh()

    def note_damage(self, found: Damage) -> None:
        """Remember, durably and for everybody, that these blocks are lost or damaged in these packs."""
        with self._look:
            known = self.index.damage
            more = {
                pack: blocks
                for pack, blocks in found.items()
                if joined(blocks, before := known.get(pack, frozenset())) != before
            }
            self.index.damage = {**known, **add_damage(self.store, self.codec, more)}

    def forget_damage(self, packs: Iterable[PackId]) -> None:
        """Take back what is noted of these packs: they were found to be good, or are gone for good."""
        with self._look:
            noted = frozenset(packs) & self.index.damage.keys()
            drop_damage(self.store, noted)
            self.index.damage = {pack: blocks for pack, blocks in self.index.damage.items() if pack not in noted}

    def _try_to_note(self, error: BlockDamaged) -> None:
        try:
            self.note_damage(note_of(error))
        except StoreError:
            # What the work met is about to be raised, and it matters more.
            _log.warning("that %s could not be noted", error, exc_info=True)

    def refuse_unknown_condemned(self) -> None:
        """Corrupt if it is not known what is condemned: nothing stored may be relied on then (I6), nor be deleted."""
        for error in self.damaged_collections.values():
            raise Corrupt(f"what collections condemned is not known; repair first: {error}") from error

    def close(self) -> None:
        """Give back files and memory. The store stays open: it belongs to the caller."""
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def create_repository(
    store: Store, root_key: RootKey, *, block_bytes: int = BLOCK_BYTES_DEFAULT, cache: Path | None = None
) -> Repository:
    """Make a repository in an empty store, or open the one that is there. Two at once make one, and both open it.

    RepositoryMissing for a store that has all but the header: a new one would open nothing that is there.
    """
    assert BLOCK_BYTES_MIN <= block_bytes <= BLOCK_BYTES_MAX
    assert block_bytes & (block_bytes - 1) == 0
    if not has_header(store):
        _refuse_headless(store)
    repository_id = uuid4()
    project_key = secrets.token_bytes(KEY_BYTES)
    header = Header(
        magic=HEADER_MAGIC,
        format=FORMAT,
        repository_id=repository_id,
        block_size_bytes=block_bytes,
        created_at=utc_now().isoformat(timespec="seconds"),
        keys=[wrap_project_key(project_key, root_key, repository_id=repository_id, block_bytes=block_bytes)],
    )
    # NameTaken also when our own create was repeated after an unknown outcome: the header that is there decides.
    with suppress(NameTaken):
        store.create(HEADER_NAME, pack_header(header, derive_project_keys(project_key, repository_id)))
    return open_repository(store, root_key, cache=cache)


def open_repository(store: Store, root_key: RootKey, *, cache: Path | None = None) -> Repository:
    """Open a repository; reads only the header. RepositoryMissing, WrongKey, UnknownFormat or Corrupt say why not."""
    try:
        stored = store.get(HEADER_NAME)
    except ObjectMissing as error:
        _refuse_headless(store)
        raise RepositoryMissing(f"there is no repository here (no {HEADER_NAME}); init makes one") from error
    header, keys = open_header(stored, root_key)
    return Repository(store, header.repository_id, Codec(keys, header.block_size_bytes), cache)


def has_header(store: Store) -> bool:
    """Does a repository lie here, as far as its header tells? Needs no key. StoreError."""
    try:
        store.stat(HEADER_NAME)
    except ObjectMissing:
        return False
    return True


def _refuse_headless(store: Store) -> None:
    """RepositoryMissing if a repository lies here that has lost its header."""
    lies_here = any(True for prefix in (BACKUPS, PACKS) for _ in store.list(prefix))
    # Once more: what lies here may be of a repository that somebody made just now.
    if lies_here and not has_header(store):
        raise RepositoryMissing(
            f"backups lie here, but not {HEADER_NAME}, which holds their key; put it back from a copy of this store"
        )


def backup_name(backup_id: str) -> str:
    """Where a backup lies in the store; BackupMissing for what cannot be an id."""
    try:
        if str(UUID(backup_id)) == backup_id:
            return BACKUPS + backup_id
    except ValueError:
        raise BackupMissing(backup_id) from None
    raise BackupMissing(backup_id)
