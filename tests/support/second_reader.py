"""A second reader of repositories, written from docs/format.md alone. It imports nothing of openvbs.

python second_reader.py DIRECTORY KEY_FILE              lists the backups
python second_reader.py DIRECTORY KEY_FILE ID FILE      restores one
"""

import hashlib
import json
import struct
import sys
import uuid
from pathlib import Path

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ZERO = bytes(32)


def hkdf(secret: bytes, salt: bytes | None, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)


def unpacked(compression: int, data: bytes, length: int) -> bytes:
    if compression == 1:
        data = zstandard.ZstdDecompressor().decompress(data, max_output_size=length)
    elif compression != 0:
        raise ValueError(f"unknown compression {compression}")
    if len(data) != length:
        raise ValueError("a length is wrong")
    return data


def read_key_file(path: Path) -> bytes:
    marker, word, version, key, check = path.read_text().strip().split("-")
    if (marker, word, version) != ("openvbs", "root", "1") or hashlib.sha256(key.encode()).hexdigest()[:8] != check:
        raise ValueError("not a root key file")
    return bytes.fromhex(key)


class Repository:
    def __init__(self, root: Path, root_key: bytes) -> None:
        self.root = root
        line, mac, end = (root / "repository.json").read_bytes().split(b"\n")
        header = json.loads(line)
        if header["magic"] != "openvbs repository" or header["format"] != 1 or end:
            raise ValueError("unknown format")
        self.block_bytes = header["block_size_bytes"]
        salt = uuid.UUID(header["repository_id"]).bytes
        key_id = hkdf(root_key, None, "openvbs 1 root key id")[:8].hex()
        copy = next(copy for copy in header["keys"] if copy["root_key_id"] == key_id)
        wrapping = AESGCM(hkdf(root_key, bytes.fromhex(copy["salt"]), "openvbs 1 wrap"))
        bound = b"openvbs 1 header" + salt + struct.pack("<II", self.block_bytes, copy["key_version"])
        project_key = wrapping.decrypt(bytes(12), bytes.fromhex(copy["wrapped"]), bound)
        self.id_key = hkdf(project_key, salt, "openvbs 1 block id")
        self.page_id_key = hkdf(project_key, salt, "openvbs 1 page id")
        self.seal_key = hkdf(project_key, salt, "openvbs 1 seal")
        self.manifest_key = hkdf(project_key, salt, "openvbs 1 manifest")
        if blake3(line, key=hkdf(project_key, salt, "openvbs 1 header mac")).hexdigest().encode() != mac:
            raise ValueError("the header is damaged")
        self.places: dict[bytes, tuple[str, int, int]] = {}
        for path in sorted((root / "packs").glob("*/*")):
            self.read_directory(path)

    def read_directory(self, path: Path) -> None:
        """What the pack holds, from the pack itself: the index is not needed."""
        pack_id, data = bytes.fromhex(path.name), path.read_bytes()
        magic, directory_bytes, count, stored_id = struct.unpack("<8sII16s", data[-32:])
        if data[:32] != b"OVBSPACK\1\1" + bytes(6) + pack_id or (magic, stored_id) != (b"OVBSTAIL", pack_id):
            raise ValueError(f"{path} is damaged")
        sealed = data[-32 - directory_bytes : -32]
        entries = self.pack_cipher(pack_id).decrypt(b"\xff" * 12, sealed, data[-32:])
        if len(entries) != 40 * count:
            raise ValueError(f"{path} is damaged")
        for block_id, offset, length in struct.iter_unpack("<32sII", entries):
            self.places[block_id] = (path.name, offset, length)

    def pack_cipher(self, pack_id: bytes) -> AESGCM:
        return AESGCM(hkdf(self.seal_key, pack_id, "openvbs 1 pack"))

    def read(self, wanted: bytes) -> bytes:
        """A block or page by its id, verified."""
        name, offset, length = self.places[wanted]
        with (self.root / "packs" / name[:2] / name).open("rb") as file:
            file.seek(offset)
            stored = file.read(length)
        block_id, sealed, plain, number, version, compression, key_version, kind = struct.unpack(
            "<32sIIIBBBB", stored[:48]
        )
        if (version, key_version) != (1, 1) or kind not in (1, 2) or sealed != length - 48:
            raise ValueError("unknown format")
        nonce = struct.pack("<I", number) + bytes(8)
        data = self.pack_cipher(bytes.fromhex(name)).decrypt(nonce, stored[48:], stored[:48])
        data = unpacked(compression, data, plain)
        if block_id != wanted or blake3(data, key=self.id_key if kind == 1 else self.page_id_key).digest() != wanted:
            raise ValueError("a block does not hash to its id")
        return data

    def read_object(self, name: str, kind: int) -> bytes:
        stored = (self.root / name).read_bytes()
        magic, version, stored_kind, compression, key_version, plain, salt = struct.unpack("<8sBBBBI16s", stored[:32])
        if (magic, version, stored_kind, key_version) != (b"OVBSSEAL", 1, kind, 1):
            raise ValueError(f"{name} is not what it should be")
        cipher = AESGCM(hkdf(self.manifest_key, salt, "openvbs 1 object"))
        content = cipher.decrypt(bytes(12), stored[32:], stored[:32] + name.encode())
        return unpacked(compression, content, plain)

    def backups(self) -> dict[str, dict]:
        names = sorted(path.name for path in (self.root / "backups").iterdir())
        return {name: json.loads(self.read_object(f"backups/{name}", 1)) for name in names}

    def restore(self, backup_id: str, path: Path) -> None:
        backup = self.backups()[backup_id]
        with path.open("wb") as file:
            file.truncate(backup["size_bytes"])
            self.write_below(file, bytes.fromhex(backup["root"]), backup["height"], 0)

    def write_below(self, file, page_id: bytes, level: int, number: int) -> None:
        """Write all blocks below the page with this number of its level."""
        if page_id == ZERO:
            return
        page = self.read(page_id)
        for i in range(0, len(page), 32):
            child, child_number = page[i : i + 32], number * 256 + i // 32
            if level > 1:
                self.write_below(file, child, level - 1, child_number)
            elif child != ZERO:
                file.seek(child_number * self.block_bytes)
                file.write(self.read(child))


if __name__ == "__main__":
    repository = Repository(Path(sys.argv[1]), read_key_file(Path(sys.argv[2])))
    if len(sys.argv) == 3:
        for backup_id, backup in repository.backups().items():
            print(backup_id, backup["facts"]["name"], backup["size_bytes"])
    else:
        repository.restore(sys.argv[3], Path(sys.argv[4]))
