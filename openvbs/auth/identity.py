"""What a checked token says, as keystonemiddleware leaves it in a request's environment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openvbs.errors import Unavailable

Environ = dict[str, Any]


class IdentityUnavailable(Unavailable):
    """Keystone cannot be asked, so nobody can be let in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a valid token says. ``project_id`` is None for a token without a project."""

    user_id: str
    project_id: str | None
    roles: frozenset[str]


Authenticate = Callable[[Environ], Identity | None]
"""Who a request's token stands for, None without a valid one; believes nothing else in it. IdentityUnavailable."""


def read_identity(environ: Environ) -> Identity | None:
    """The identity that keystonemiddleware left in the request, or None when there was no valid token.

    A service's token beside the user's must be valid too.
    """
    statuses = (environ.get("HTTP_X_IDENTITY_STATUS"), environ.get("HTTP_X_SERVICE_IDENTITY_STATUS", "Confirmed"))
    if statuses != ("Confirmed", "Confirmed"):
        return None
    roles = environ.get("HTTP_X_ROLES") or ""
    return Identity(
        user_id=environ.get("HTTP_X_USER_ID") or "",
        project_id=environ.get("HTTP_X_PROJECT_ID") or None,
        roles=frozenset(role.strip().lower() for role in roles.split(",") if role.strip()),
    )
