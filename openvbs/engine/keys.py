"""The root key file, the project key wrapped by it, and the keys derived from that one."""

import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openvbs.engine.errors import Corrupt, KeyUnusable
from openvbs.engine.format import KEY_VERSION, OBJECT_NONCE
from openvbs.engine.ids import PackId
from openvbs.files import sync_folder

KEY_BYTES = 32
_KEY_LINE = re.compile(r"openvbs-root-1-([0-9a-f]{64})-([0-9a-f]{8})\n?")


@dataclass(frozen=True, slots=True)
class RootKey:
    """The operator's key. Its id is public and says which key a repository wants."""

    secret: bytes = field(repr=False)
    key_id: str


@dataclass(frozen=True, slots=True)
class ProjectKeys:
    """Everything that is derived from one repository's project key."""

    block_id_key: bytes = field(repr=False)
    page_id_key: bytes = field(repr=False)
    seal_key: bytes = field(repr=False)
    manifest_key: bytes = field(repr=False)
    header_key: bytes = field(repr=False)

    def pack_cipher(self, pack_id: PackId) -> AESGCM:
        """The cipher of one pack."""
        return AESGCM(_derive(self.seal_key, pack_id, b"openvbs 1 pack"))

    def object_cipher(self, salt: bytes) -> AESGCM:
        """The cipher of one sealed object."""
        return AESGCM(_derive(self.manifest_key, salt, b"openvbs 1 object"))


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One copy of a project key, readable with one root key; as the header stores it."""

    key_version: int
    root_key_id: str
    salt: str
    wrapped: str


def _derive(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def root_key_from_secret(secret: bytes) -> RootKey:
    """The root key made of 32 secret bytes."""
    assert len(secret) == KEY_BYTES
    return RootKey(secret, _derive(secret, None, b"openvbs 1 root key id")[:8].hex())


def create_root_key(path: Path) -> RootKey:
    """Make a new root key, durable in a new file of mode 0600. KeyUnusable if the file exists or cannot be made."""
    secret = secrets.token_bytes(KEY_BYTES)
    text = secret.hex()
    line = f"openvbs-root-1-{text}-{hashlib.sha256(text.encode()).hexdigest()[:8]}\n".encode()
    # Written whole under another name and then linked: nobody ever reads half a key.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            draft.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise KeyUnusable(f"cannot create the root key file {path}: {error.strerror}") from error
    return root_key_from_secret(secret)


def load_root_key(path: Path) -> RootKey:
    """Read a root key file, or KeyUnusable that says what is wrong with it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            line = file.read(200).decode("ascii", "replace")
    except FileNotFoundError as error:
        raise KeyUnusable(f"there is no root key file {path}; copy it from where it is kept") from error
    except OSError as error:
        raise KeyUnusable(f"cannot read the root key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise KeyUnusable(f"the root key file {path} has mode {mode:04o}; others must not read it: chmod 600 {path}")
    match = _KEY_LINE.fullmatch(line)
    if match is None:
        raise KeyUnusable(f"{path} is not a root key file: one line 'openvbs-root-1-<64 hex>-<8 hex>' is")
    if hashlib.sha256(match[1].encode()).hexdigest()[:8] != match[2]:
        raise KeyUnusable(f"the root key in {path} has a typing error: its last 8 digits do not fit the rest")
    return root_key_from_secret(bytes.fromhex(match[1]))


def _wrap_data(repository_id: UUID, block_bytes: int) -> bytes:
    return (
        b"openvbs 1 header"
        + repository_id.bytes
        + block_bytes.to_bytes(4, "little")
        + KEY_VERSION.to_bytes(4, "little")
    )


def wrap_project_key(project_key: bytes, root_key: RootKey, *, repository_id: UUID, block_bytes: int) -> WrappedKey:
    """A copy of the project key that only the root key opens, bound to the repository's id and block size."""
    salt = secrets.token_bytes(32)
    cipher = AESGCM(_derive(root_key.secret, salt, b"openvbs 1 wrap"))
    sealed = cipher.encrypt(OBJECT_NONCE, project_key, _wrap_data(repository_id, block_bytes))
    return WrappedKey(KEY_VERSION, root_key.key_id, salt.hex(), sealed.hex())


def unwrap_project_key(copy: WrappedKey, root_key: RootKey, *, repository_id: UUID, block_bytes: int) -> bytes:
    """The project key, or Corrupt: the ids fit, so it is not a wrong key."""
    try:
        cipher = AESGCM(_derive(root_key.secret, bytes.fromhex(copy.salt), b"openvbs 1 wrap"))
        return cipher.decrypt(OBJECT_NONCE, bytes.fromhex(copy.wrapped), _wrap_data(repository_id, block_bytes))
    except (InvalidTag, ValueError) as error:
        raise Corrupt(f"the header of repository {repository_id} is damaged: its wrapped key does not open") from error


def derive_project_keys(project_key: bytes, repository_id: UUID) -> ProjectKeys:
    """All keys of one repository."""
    salt = repository_id.bytes
    return ProjectKeys(
        block_id_key=_derive(project_key, salt, b"openvbs 1 block id"),
        page_id_key=_derive(project_key, salt, b"openvbs 1 page id"),
        seal_key=_derive(project_key, salt, b"openvbs 1 seal"),
        manifest_key=_derive(project_key, salt, b"openvbs 1 manifest"),
        header_key=_derive(project_key, salt, b"openvbs 1 header mac"),
    )
