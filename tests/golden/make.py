"""Make a golden repository: python -m tests.golden.make DIRECTORY

Done once per format version; what is committed never changes. The volumes are the same in every run, keys and names in
the store are not. Beside the repository lie its root key, which protects nothing else, and expected.json with the id,
size and SHA-256 of each backup.
"""

import hashlib
import json
import random
import sys
from pathlib import Path

from openvbs.engine.backup import back_up
from openvbs.engine.keys import create_root_key
from openvbs.engine.repository import Repository, create_repository
from openvbs.sources.base import Extent, ExtentKind
from openvbs.stores.local import LocalStore
from tests.support.repositories import BLOCK, BytesSource, facts

SEED = 20250131


def monday() -> bytes:
    """Blocks that compress and blocks that do not, a hole over a whole page of the tree, and an odd end."""
    chance = random.Random(SEED)
    text = b"".join(b"line %d of a text that compresses\n" % number for number in range(900))
    return chance.randbytes(4 * BLOCK) + text + bytes(-len(text) % BLOCK + 600 * BLOCK) + chance.randbytes(BLOCK + 123)


def tuesday(before: bytes) -> tuple[bytes, list[Extent]]:
    """One block of the volume rewritten, with hints that say so."""
    after = before[:BLOCK] + random.Random(SEED + 1).randbytes(BLOCK) + before[2 * BLOCK :]
    return after, [
        Extent(0, BLOCK, ExtentKind.SAME),
        Extent(BLOCK, BLOCK, ExtentKind.DATA),
        Extent(2 * BLOCK, len(after) - 2 * BLOCK, ExtentKind.SAME),
    ]


def fill(repository: Repository) -> dict[str, dict[str, object]]:
    """Five backups that stay, and one that is deleted and not collected."""
    first = monday()
    changed, hints = tuesday(first)
    expected = {}

    def keep(name: str, source: BytesSource, parent: str | None = None) -> str:
        record = back_up(repository, source, facts(name=name, parent_id=parent), parent=parent)
        digest = hashlib.sha256(source.data).hexdigest()
        expected[name] = {"id": record.facts.backup_id, "size_bytes": record.size_bytes, "sha256": digest}
        return record.facts.backup_id

    parent = keep("monday", BytesSource(first))
    keep("tuesday", BytesSource(changed, hints), parent)
    shared = first[:BLOCK] + random.Random(SEED + 2).randbytes(2 * BLOCK)
    repository.delete_backup(back_up(repository, BytesSource(shared), facts(name="deleted")).facts.backup_id)
    keep("one byte", BytesSource(b"x"))
    keep("zeros", BytesSource(bytes(5 * BLOCK)))
    keep("empty", BytesSource(b""))
    return expected


def make(folder: Path) -> None:
    """Write `root.key`, `expected.json` and the repository `store` into a new directory."""
    folder.mkdir(parents=True)
    root_key = create_root_key(folder / "root.key")
    with create_repository(LocalStore(folder / "store"), root_key, block_bytes=BLOCK) as repository:
        expected = fill(repository)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
