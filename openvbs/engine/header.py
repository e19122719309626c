"""The header of a repository: what it is, and the project key wrapped for each root key that opens it."""

import hmac
from uuid import UUID

import msgspec
from blake3 import blake3

from openvbs.engine.errors import Corrupt, UnknownFormat, WrongKey
from openvbs.engine.format import BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, FORMAT, HEADER_MAGIC, HEADER_NAME, KEY_VERSION
from openvbs.engine.keys import ProjectKeys, RootKey, WrappedKey, derive_project_keys, unwrap_project_key


class Header(msgspec.Struct):
    """As docs/format.md section 3 has it."""

    magic: str
    format: int
    repository_id: UUID
    block_size_bytes: int
    created_at: str
    keys: list[WrappedKey]


def pack_header(header: Header, keys: ProjectKeys) -> bytes:
    """The header as stored: a line of JSON and a line that authenticates it."""
    line = msgspec.json.encode(header)
    return line + b"\n" + _mac(line, keys) + b"\n"


def open_header(stored: bytes, root_key: RootKey) -> tuple[Header, ProjectKeys]:
    """The header and the keys of its repository. WrongKey, UnknownFormat or Corrupt say why not."""
    header, project_key = unwrap_header(stored, root_key)
    return header, derive_project_keys(project_key, header.repository_id)


def unwrap_header(stored: bytes, root_key: RootKey) -> tuple[Header, bytes]:
    """The header and the project key itself, for who wraps it anew. WrongKey, UnknownFormat or Corrupt say why not."""
    line, _, mac = stored.partition(b"\n")
    header = parse_header(stored)
    copies = [copy for copy in header.keys if copy.root_key_id == root_key.key_id]
    if not copies:
        if not header.keys:
            raise WrongKey(f"the key of repository {header.repository_id} was destroyed; nothing opens it any more")
        wanted = " or ".join(copy.root_key_id for copy in header.keys)
        raise WrongKey(
            f"repository {header.repository_id} opens with root key {wanted}, and {root_key.key_id} was given; "
            "name the right key file"
        )
    if copies[0].key_version != KEY_VERSION:
        raise UnknownFormat(
            f"{HEADER_NAME} states key version {copies[0].key_version}; this program knows {KEY_VERSION}"
        )
    project_key = unwrap_project_key(
        copies[0], root_key, repository_id=header.repository_id, block_bytes=header.block_size_bytes
    )
    keys = derive_project_keys(project_key, header.repository_id)
    if not hmac.compare_digest(mac, _mac(line, keys) + b"\n"):
        raise Corrupt(f"{HEADER_NAME} is damaged: it does not match its last line")
    return header, project_key


def parse_header(stored: bytes) -> Header:
    """What the header says, unauthenticated: which keys open it can be seen without any of them."""
    try:
        header = msgspec.json.decode(stored.partition(b"\n")[0], type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"{HEADER_NAME} is damaged: {error}") from error
    if header.magic != HEADER_MAGIC or header.format != FORMAT:
        raise UnknownFormat(f"{HEADER_NAME} states format {header.format}; this program knows {FORMAT}")
    size = header.block_size_bytes
    if not BLOCK_BYTES_MIN <= size <= BLOCK_BYTES_MAX or size & (size - 1):
        raise Corrupt(f"{HEADER_NAME} states an impossible block size of {size} bytes")
    return header


def _mac(line: bytes, keys: ProjectKeys) -> bytes:
    return blake3(line, key=keys.header_key).hexdigest().encode("ascii")
