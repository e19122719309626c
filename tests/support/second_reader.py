"""A second reader of repositories, written from docs/format.md alone. It imports nothing of openvbs.

python second_reader.py DIRECTORY KEY_FILE              lists the backups
python second_reader.py DIRECTORY KEY_FILE ID FILE      restores one
"""

import hashlib
import json
import struct
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ZERO_ID = bytes(32)
BLOCK, PAGE = 1, 2
BACKUP, SEGMENT = 1, 2


class Refused(Exception):
    """What is stored is not what the format promises. Nothing of it was written as good."""


class WrongKey(Refused): ...


class UnknownFormat(Refused): ...


class HeaderDamaged(Refused): ...


class ObjectDamaged(Refused): ...


class PackDamaged(Refused): ...


class BackupMissing(Refused): ...


class BlockDamaged(Refused): ...


class BlockMissing(Refused): ...


def hkdf(secret: bytes, salt: bytes | None, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)


def opened(key: bytes, nonce: bytes, sealed: bytes, bound: bytes, error: Refused) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, bound)
    except (InvalidTag, ValueError):
        raise error from None


def unpacked(compression: int, data: bytes, length: int, error: Refused) -> bytes:
    """The bytes as they were before compression; exactly `length` of them."""
    if compression == 1:
        try:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=length)
        except zstandard.ZstdError:
            raise error from None
    if compression not in (0, 1) or len(data) != length:
        raise error
    return data


def read_key_file(path: Path) -> bytes:
    digits, _, check = path.read_text().strip().removeprefix("openvbs-root-1-").partition("-")
    if len(digits) != 64 or hashlib.sha256(digits.encode()).hexdigest()[:8] != check:
        raise WrongKey(f"{path} is not a root key file")
    return bytes.fromhex(digits)


class Repository:
    """Opened with the root key. Reads the whole index; verifies whatever it hands out."""

    def __init__(self, root: Path, root_key: bytes) -> None:
        self.root = root
        self._open_header(root_key)
        self.places: dict[bytes, list[tuple[str, int, int]]] = {}
        named: set[str] = set()
        for path in sorted((root / "index").glob("*")):
            for pack, entries in self._segment(f"index/{path.name}"):
                self._add(pack, entries)
                named.add(pack)
        for path in sorted((root / "packs").glob("*/*")):
            if path.name not in named:  # a pack that no segment names speaks for itself
                self._add(path.name, self._directory(path))

    def _open_header(self, root_key: bytes) -> None:
        damaged = HeaderDamaged("repository.json is damaged")
        line, _, mac = (self.root / "repository.json").read_bytes().partition(b"\n")
        try:
            header = json.loads(line)
            if (header["magic"], header["format"]) != ("openvbs repository", 1):
                raise UnknownFormat("repository.json is of another kind or version")
            salt = uuid.UUID(header["repository_id"]).bytes
            self.block_bytes = int(header["block_size_bytes"])
            copies = {copy["root_key_id"]: copy for copy in header["keys"]}
            key_id = hkdf(root_key, None, "openvbs 1 root key id")[:8].hex()
            if key_id not in copies:
                raise WrongKey("the repository is not wrapped by this root key")
            copy = copies[key_id]
            wrapping = hkdf(root_key, bytes.fromhex(copy["salt"]), "openvbs 1 wrap")
            bound = b"openvbs 1 header" + salt + struct.pack("<II", self.block_bytes, copy["key_version"])
            wrapped = bytes.fromhex(copy["wrapped"])
        except (ValueError, KeyError, TypeError, AttributeError, struct.error):
            raise damaged from None
        project_key = opened(wrapping, bytes(12), wrapped, bound, damaged)
        digest = blake3(line, key=hkdf(project_key, salt, "openvbs 1 header mac")).hexdigest()
        if mac != digest.encode() + b"\n":
            raise damaged
        self.id_keys = {
            BLOCK: hkdf(project_key, salt, "openvbs 1 block id"),
            PAGE: hkdf(project_key, salt, "openvbs 1 page id"),
        }
        self.seal_key = hkdf(project_key, salt, "openvbs 1 seal")
        self.manifest_key = hkdf(project_key, salt, "openvbs 1 manifest")

    def _object(self, name: str, kind: int) -> bytes:
        """The content of a sealed object, bound to its name and kind."""
        damaged = ObjectDamaged(f"{name} is damaged")
        stored = (self.root / name).read_bytes()
        header = stored[:32]
        if len(header) < 32 or header[:10] != b"OVBSSEAL" + bytes([1, kind]) or header[11] != 1:
            raise damaged
        key = hkdf(self.manifest_key, header[16:32], "openvbs 1 object")
        content = opened(key, bytes(12), stored[32:], header + name.encode("ascii"), damaged)
        (plain_bytes,) = struct.unpack_from("<I", header, 12)
        return unpacked(header[10], content, plain_bytes, damaged)

    def _segment(self, name: str) -> Iterator[tuple[str, bytes]]:
        content, at = self._object(name, SEGMENT), 0
        while at < len(content):
            pack_id, _pack_bytes, blocks = struct.unpack_from("<16sII", content, at)
            at += 24 + 40 * blocks
            yield pack_id.hex(), content[at - 40 * blocks : at]

    def _directory(self, path: Path) -> bytes:
        damaged = PackDamaged(f"pack {path.name} is damaged")
        pack_id, stored = bytes.fromhex(path.name), path.read_bytes()
        if len(stored) < 64 or stored[:32] != b"OVBSPACK" + bytes([1, 1]) + bytes(6) + pack_id:
            raise damaged
        trailer = stored[-32:]
        magic, sealed_bytes, blocks, trailer_id = struct.unpack("<8sII16s", trailer)
        if magic != b"OVBSTAIL" or trailer_id != pack_id or sealed_bytes != 40 * blocks + 16:
            raise damaged
        sealed = stored[-32 - sealed_bytes : -32]
        return opened(self._pack_key(path.name), b"\xff" * 12, sealed, trailer, damaged)

    def _add(self, pack: str, entries: bytes) -> None:
        for block_id, offset, length in struct.iter_unpack("<32sII", entries):
            self.places.setdefault(block_id, []).append((pack, offset, length))

    def _pack_key(self, pack: str) -> bytes:
        return hkdf(self.seal_key, bytes.fromhex(pack), "openvbs 1 pack")

    def read(self, wanted: bytes, kind: int) -> bytes:
        """A block or page by its id, from whichever copy is good."""
        refused: Refused = BlockMissing(f"block {wanted.hex()} is stored nowhere")
        for pack, offset, length in self.places.get(wanted, []):
            try:
                return self._read_copy(wanted, kind, pack, offset, length)
            except FileNotFoundError:
                refused = BlockMissing(f"block {wanted.hex()}: pack {pack} is gone")
            except BlockDamaged as error:
                refused = error
        raise refused

    def _read_copy(self, wanted: bytes, kind: int, pack: str, offset: int, length: int) -> bytes:
        damaged = BlockDamaged(f"block {wanted.hex()} in pack {pack} is damaged")
        with (self.root / "packs" / pack[:2] / pack).open("rb") as file:
            file.seek(offset)
            stored = file.read(length)
        if len(stored) != length or length < 48:
            raise damaged
        header = stored[:48]
        block_id, sealed_bytes, plain_bytes, number = struct.unpack_from("<32sIII", header)
        version, compression, key_version, stored_kind = header[44:]
        least, most = (1, self.block_bytes) if kind == BLOCK else (32, 8192)
        shape = (block_id, sealed_bytes, version, key_version, stored_kind)
        if shape != (wanted, length - 48, 1, 1, kind) or not least <= plain_bytes <= most:
            raise damaged
        nonce = struct.pack("<I", number) + bytes(8)
        data = opened(self._pack_key(pack), nonce, stored[48:], header, damaged)
        data = unpacked(compression, data, plain_bytes, damaged)
        if blake3(data, key=self.id_keys[kind]).digest() != wanted:
            raise damaged
        return data

    def backup(self, backup_id: str) -> dict[str, Any]:
        if not (self.root / "backups" / backup_id).is_file():
            raise BackupMissing(f"there is no backup {backup_id}")
        found: dict[str, Any] = json.loads(self._object(f"backups/{backup_id}", BACKUP))
        if found["format"] != 1:
            raise ObjectDamaged(f"backups/{backup_id} has an unknown format")
        return found

    def backups(self) -> dict[str, dict[str, Any]]:
        return {path.name: self.backup(path.name) for path in sorted((self.root / "backups").glob("*"))}

    def restore(self, backup_id: str, path: Path) -> None:
        """Write a new file with the volume's bytes. Raises Refused before a wrong byte is written."""
        backup = self.backup(backup_id)
        size, root = backup["size_bytes"], bytes.fromhex(backup["root"])
        with path.open("xb") as file:
            file.truncate(size)
            self._write_below(file, root, backup["height"], 0, size)

    def _write_below(self, file: BinaryIO, page_id: bytes, level: int, number: int, size: int) -> None:
        """Write every block below the page that is this number of its level."""
        if page_id == ZERO_ID:
            return
        page = self.read(page_id, PAGE)
        below = self.block_bytes * 256 ** (level - 1)  # bytes of the volume below one id of this page
        left = -(-size // below) - number * 256
        if len(page) != 32 * min(256, left):
            raise BlockDamaged(f"page {page_id.hex()} does not fit the volume")
        for index in range(len(page) // 32):
            child, at = page[32 * index : 32 * index + 32], number * 256 + index
            if level > 1:
                self._write_below(file, child, level - 1, at, size)
            elif child != ZERO_ID:
                data = self.read(child, BLOCK)
                if len(data) != min(self.block_bytes, size - at * self.block_bytes):
                    raise BlockDamaged(f"block {child.hex()} does not fit the volume")
                file.seek(at * self.block_bytes)
                file.write(data)


if __name__ == "__main__":
    repository = Repository(Path(sys.argv[1]), read_key_file(Path(sys.argv[2])))
    if len(sys.argv) == 3:
        for name, backup in repository.backups().items():
            print(name, backup["facts"]["name"], backup["size_bytes"])
    else:
        repository.restore(sys.argv[3], Path(sys.argv[4]))
