"""Reading packs whole and opening all that is in them, in an order that can be taken up again."""

import os
import secrets
from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import msgspec

from openvbs.engine.check_report import CheckReport
from openvbs.engine.errors import EngineError
from openvbs.engine.format import PACK_HEADER, pack_header, pack_name
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.index_run import Place
from openvbs.engine.pack import listing_of, open_pack
from openvbs.engine.pack_table import PackTable
from openvbs.engine.progress import Checkpoint, OnProgress, Progress
from openvbs.engine.repository import Repository
from openvbs.stores.base import ObjectMissing

THREADS_MAX = 4
_WAIT_SECONDS = 0.25
_IDS = 1 << 32


class CheckState(msgspec.Struct):
    """How far a check of the data is, plain enough to be kept as JSON: another process goes on from there."""

    repository_id: str
    start: int
    width: int
    """Packs whose first four bytes, as a number, lie in [start, start + width), counted around, are read."""
    last_pack: str = ""
    """Hex; packs up to this one have been dealt with."""
    bad: list[tuple[str, str]] = []
    """Pack and id of each damaged block."""
    problems: list[str] = []
    packs_checked: int = 0
    blocks_checked: int = 0
    bytes_checked: int = 0

    def covers(self, pack: PackId) -> bool:
        """True if the pack belongs to this check. Ids are random, so any window of ids is a random sample."""
        return (int.from_bytes(pack[:4], "big") - self.start) % _IDS < self.width


OnState = Callable[[CheckState], None]
"""Called from the caller's own thread after every pack. The state changes with the next one: keep a copy."""


def keep_no_state(_state: CheckState) -> None:
    """For checks that begin anew after an interruption."""


def begin_check(repository: Repository, *, sample: float = 1.0, start: float | None = None) -> CheckState:
    """A check of all data, or of a share of it: a random one, or the one that begins at this part (0 to 1) of all."""
    first = secrets.randbelow(_IDS) if start is None else int(start * _IDS) % _IDS
    return CheckState(str(repository.id), start=first, width=min(_IDS, round(sample * _IDS)))


class DataCheck:
    """Reads packs and opens all that is in them."""

    def __init__(
        self,
        repository: Repository,
        state: CheckState,
        *,
        on_state: OnState,
        on_progress: OnProgress,
        checkpoint: Checkpoint,
    ) -> None:
        self._repository = repository
        self._state = state
        self._on_state = on_state
        self._on_progress = on_progress
        self._checkpoint = checkpoint

    def check(
        self, sizes: PackTable, missing: Container[PackId], report: CheckReport
    ) -> frozenset[tuple[PackId, BlockId]]:
        """The blocks that are damaged, with the packs in which they are; those of earlier calls included."""
        state = self._state
        chosen = (row for row in sizes if state.covers(row.pack_id) and row.pack_id not in missing)
        total = sum(row.first // row.second for row in chosen)
        rest = (
            row.pack_id
            for row in sizes
            if state.covers(row.pack_id) and row.pack_id not in missing and row.pack_id.hex() > state.last_pack
        )
        for seen in self._in_order(rest):
            self._note(seen)
            state.bad += [(seen.pack_id.hex(), block_id.hex()) for block_id in seen.bad]
            state.problems += seen.problems
            state.packs_checked += 1
            state.blocks_checked += seen.blocks
            state.bytes_checked += seen.size_bytes
            state.last_pack = seen.pack_id.hex()
            self._on_state(state)
            self._on_progress(Progress(min(state.bytes_checked, total), total))
        for problem in state.problems:
            report.note(problem)
        report.packs_checked = state.packs_checked
        report.blocks_checked = state.blocks_checked
        report.bytes_checked = state.bytes_checked
        return frozenset((PackId(bytes.fromhex(pack)), BlockId(bytes.fromhex(block))) for pack, block in state.bad)

    def _note(self, seen: "_PackCheck") -> None:
        """Tell whoever writes later; durable before the state says that the pack was dealt with."""
        if seen.is_missing:
            self._repository.note_damage({seen.pack_id: None})
        elif seen.bad:
            self._repository.note_damage({seen.pack_id: frozenset(seen.bad)})
        elif not seen.problems:
            self._repository.forget_damage([seen.pack_id])

    def _in_order(self, packs: Iterator[PackId]) -> Iterator["_PackCheck"]:
        """Read several packs at once and give what was seen in the order of their ids."""
        threads = min(THREADS_MAX, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="check")
        waiting: deque[Future[_PackCheck]] = deque()
        try:
            while True:
                while len(waiting) < 2 * threads and (pack := next(packs, None)) is not None:
                    waiting.append(pool.submit(self._check_pack, pack))
                if not waiting:
                    return
                wait(list(waiting)[:1], _WAIT_SECONDS)
                self._checkpoint()
                if waiting[0].done():
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _check_pack(self, pack: PackId) -> "_PackCheck":
        """Read a whole pack and open all of it. Runs in a thread of the pool."""
        seen = _PackCheck(pack)
        try:
            data = self._repository.store.get(pack_name(pack))
        except ObjectMissing:
            if pack not in self._repository.index.condemned:
                seen.problems.append(f"pack {pack.hex()} is missing")
                seen.is_missing = True
            return seen
        seen.size_bytes = len(data)
        if data[: PACK_HEADER.size] != pack_header(pack):
            seen.problems.append(f"the header of pack {pack.hex()} is damaged")
        try:
            listing = listing_of(self._repository.codec, pack, data)
        except EngineError as error:
            seen.problems.append(str(error))
            listing = self._repository.index.listing(pack)
        seen.blocks = len(listing)
        for block_id, found in open_pack(self._repository.codec, listing, data):
            if isinstance(found, EngineError):
                seen.bad.append(block_id)
                seen.problems.append(f"pack {pack.hex()}: {found}")
        for entry in listing:
            if Place(pack, entry.offset_bytes, entry.length_bytes) not in self._repository.index.find_all(
                entry.block_id
            ):
                seen.problems.append(f"the index does not have block {entry.block_id.hex()} of pack {pack.hex()}")
        return seen


@dataclass(slots=True)
class _PackCheck:
    pack_id: PackId
    size_bytes: int = 0
    blocks: int = 0
    is_missing: bool = False
    bad: list[BlockId] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
