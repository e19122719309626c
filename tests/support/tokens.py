"""Tokens that must not let anybody in."""

import time
from pathlib import Path

import msgpack
from cryptography.fernet import Fernet, InvalidToken

from tests.support.parties import Login, send

LIFETIME_SECONDS = 3600


def bad_token(keystone_dir: Path, login: Login, kind: str) -> str:
    """A token of the login's user that is no good any more, or never was."""
    if kind == "garbage":
        return "garbage"
    token, _ = login.token()
    if kind == "revoked":
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        assert send("DELETE", login.keystone, "/auth/tokens", headers=headers).status == 204
        return token
    if kind == "unknown":
        return _reissued(token, _keys(keystone_dir), Fernet(Fernet.generate_key()), seconds_ago=0)
    assert kind == "expired"
    keys = _keys(keystone_dir)
    return _reissued(token, keys, keys[-1], seconds_ago=2 * LIFETIME_SECONDS)


def _keys(keystone_dir: Path) -> list[Fernet]:
    """Keystone's own keys, the one that it signs with last."""
    files = sorted((keystone_dir / "fernet-keys").iterdir(), key=lambda file: int(file.name))
    return [Fernet(file.read_bytes()) for file in files]


def _reissued(token: str, keys: list[Fernet], signer: Fernet, *, seconds_ago: int) -> str:
    """The same token as Keystone would have issued it that long ago, signed by signer."""
    padded = token + "=" * (-len(token) % 4)
    opened = next(opened for key in keys if (opened := _open(key, padded)) is not None)
    payload = msgpack.unpackb(opened, raw=False)
    (place,) = (number for number, value in enumerate(payload) if isinstance(value, float))  # the time it expires
    payload[place] -= seconds_ago
    moment = int(time.time()) - seconds_ago
    return signer.encrypt_at_time(msgpack.packb(payload), moment).decode().rstrip("=")


def _open(key: Fernet, token: str) -> bytes | None:
    try:
        return key.decrypt(token.encode())
    except InvalidToken:
        return None
