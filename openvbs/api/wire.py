"""What crosses between handlers and HTTP: an Answer going out, a WireError instead of one, and the Call coming in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from falcon import Request

from openvbs.actions.service import Service
from openvbs.api.microversion import Version
from openvbs.auth.caller import Caller
from openvbs.errors import OpenVbsError

BAD_REQUEST = "VolumeBackup.0002"
JOB_ID_HEADER = "X-OpenVBS-Job-Id"


class Family(Enum):
    """Which shape answers have on a path."""

    VBS = "vbs"
    POLICY = "policy"
    """Shaped like VBS, with codes of its own."""
    NATIVE = "native"


class WireError(OpenVbsError):
    """An answer that is an error. ``code`` is the contract's text code; native answers carry it in a header."""

    def __init__(
        self, status: int, code: str | None, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Answer:
    """A success. ``body`` None means none at all; else it is encoded as JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def with_job(status: int, body: Any, job_id: str) -> Answer:
    """An answer of the native dialect, whose bodies have no room for the job."""
    return Answer(status, body, {JOB_ID_HEADER: job_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the HTTP layer needs beyond the actions."""

    public_url: str
    """Base of all links, without a trailing slash."""
    body_bytes_max: int
    page_items_max: int


@dataclass(slots=True, kw_only=True)
class Call:
    """One request whose caller may do what its route is for."""

    service: Service
    settings: Settings
    caller: Caller
    request: Request
    params: dict[str, str]
    """The variables of the route; ``project_id`` is missing where a /v3 path leaves it out."""
    version: Version
    """The microversion; 3.0 outside of /v3."""

    @property
    def is_v3(self) -> bool:
        return self.request.path.startswith("/v3/")

    @property
    def links(self) -> "Links":
        return Links(
            base=self.settings.public_url,
            version="v3" if self.is_v3 else "v2",
            project_id=self.params.get("project_id"),
        )


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the absolute links of a record. The project is in them only if it was in the request's path."""

    base: str
    version: str
    project_id: str | None

    def of(self, kind: str, record_id: str) -> list[dict[str, str]]:
        path = f"{self.project_id}/{kind}/{record_id}" if self.project_id else f"{kind}/{record_id}"
        return [
            {"rel": "self", "href": f"{self.base}/{self.version}/{path}"},
            {"rel": "bookmark", "href": f"{self.base}/{path}"},
        ]


Handler = Callable[[Call], Answer]
"""Parses, calls one action, renders."""
