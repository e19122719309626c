"""The accounts that the service makes in its own Keystone, and their passwords."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from openvbs.config import ConfigError
from openvbs.files import write_private

DOMAIN = "default"
"""Id of the domain that all of them live in."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user with roles in one project. ``cloud`` is its name in clouds.yaml, if it is there."""

    user: str
    project: str
    roles: tuple[str, ...]
    cloud: str | None = None
    reads_everything: bool = False
    """The role reader on the system: may look up any project, may change nothing."""


ADMIN = Account("admin", "admin", ("admin",), "openvbs-admin")
SERVICE = Account("openvbs", "service", ("service",), reads_everything=True)
DEMO = (
    Account("alpha", "alpha", ("member",), "openvbs-alpha"),
    Account("beta", "beta", ("member",), "openvbs-beta"),
    Account("gamma", "gamma", ("member",), "openvbs-gamma"),
    Account("alpha-reader", "alpha", ("reader",), "openvbs-alpha-reader"),
)


def wanted(*, demo: bool) -> list[Account]:
    """The accounts that must exist."""
    return [ADMIN, SERVICE, *(DEMO if demo else ())]


@dataclass(frozen=True, slots=True)
class Passwords:
    """User name -> password, of the accounts that we make; kept in a file of mode 0600 that is the truth about them.

    ``pending`` are those that Keystone may not know yet. After a crash the next start sets them again.
    Whoever wants another password for an account takes it out of the file and starts the service.
    """

    of: Mapping[str, str] = field(repr=False)
    pending: frozenset[str]


def load_passwords(file: Path) -> Passwords:
    """What the file says; nothing if there is none. ConfigError if it is not as we write it: operators edit it."""
    if not file.exists():
        return Passwords({}, frozenset())
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Passwords(_texts(content["passwords"]), frozenset(content["pending"]))
    except (ValueError, KeyError, TypeError) as error:
        # json tells the place and never the text, which holds passwords.
        why = f"{error}; " if isinstance(error, json.JSONDecodeError) else ""
        rule = (
            f'{why}it must be JSON like {{"passwords": {{"USER": "PASSWORD"}}, "pending": []}}, and after a line was'
            " taken out no comma may stand before a closing bracket; correct it"
        )
        raise ConfigError(str(file), rule) from error


def _texts(passwords: object) -> Mapping[str, str]:
    if not isinstance(passwords, dict) or not all(isinstance(password, str) for password in passwords.values()):
        raise TypeError
    return passwords


def ensure_passwords(file: Path, accounts: Sequence[Account]) -> Passwords:
    """Passwords for all of these, new ones made where missing; durable before Keystone hears of them."""
    known = load_passwords(file)
    new = {a.user: secrets.token_urlsafe(32) for a in accounts if a.user not in known.of}
    if new:
        known = Passwords({**known.of, **new}, known.pending | frozenset(new))
        _save(file, known)
    return known


def passwords_are_set(file: Path, passwords: Passwords) -> None:
    """Keystone knows all of these now."""
    if passwords.pending:
        _save(file, Passwords(passwords.of, frozenset()))


def _save(file: Path, passwords: Passwords) -> None:
    content = {"passwords": dict(passwords.of), "pending": sorted(passwords.pending)}
    write_private(file, json.dumps(content, indent=1, sort_keys=True) + "\n")
