"""The accounts that the service makes in its own Keystone, and their passwords."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

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


def passwords_file(identity_dir: Path) -> Path:
    return identity_dir / "passwords.json"


def load_passwords(identity_dir: Path) -> dict[str, str]:
    """User name -> password, of the accounts that were made so far."""
    file = passwords_file(identity_dir)
    if not file.exists():
        return {}
    loaded: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def ensure_passwords(identity_dir: Path, accounts: list[Account]) -> dict[str, str]:
    """Passwords for all of these, new ones made where missing; durable before Keystone hears of them."""
    known = load_passwords(identity_dir)
    missing = [a.user for a in accounts if a.user not in known]
    if missing:
        known |= {user: secrets.token_urlsafe(32) for user in missing}
        write_private(passwords_file(identity_dir), json.dumps(known, indent=1, sort_keys=True) + "\n")
    return known
