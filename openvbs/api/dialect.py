"""Which family a path belongs to, and how an error looks in it."""

from dataclasses import dataclass, field

from openvbs.api.native import errors as native
from openvbs.api.vbs import errors as vbs
from openvbs.api.wire import Family, WireError
from openvbs.domain.errors import RuleError

_VBS_SEGMENTS = frozenset({"cloudbackups", "os-vendor-backup-sharing", "jobs", "audit-events", "usage"})


def family_of(path: str) -> Family:
    """The family by the path alone, so that unknown routes and refused tokens have its shape too."""
    segments = path.split("/", 4)
    if len(segments) > 1 and segments[1] == "v1":
        return Family.VBS
    if len(segments) > 3 and segments[1] == "v2":
        if segments[3] in _VBS_SEGMENTS:
            return Family.VBS
        if segments[3].startswith("backuppolicy"):
            return Family.POLICY
    return Family.NATIVE


def is_v3(path: str) -> bool:
    """True for the paths whose answers carry a microversion."""
    return path.startswith("/v3/") or path == "/v3"


@dataclass(frozen=True, slots=True)
class Rendered:
    """An error, ready to be sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def render_wire(family: Family, error: WireError) -> Rendered:
    """A WireError in the family's shape."""
    status = error.status
    if family is not Family.NATIVE and status in {413, 415}:
        status = 400  # the contract's list of statuses has neither
    code = error.code or vbs.code_of(family, status)
    return _rendered(family, status, code, error.message, error.headers)


def render_rule(family: Family, error: RuleError) -> Rendered:
    """A refused rule in the family's shape, by the tables of the two dialects."""
    kind = next(kind for kind in type(error).__mro__ if kind in vbs.ERRORS)
    vbs_status, code = vbs.ERRORS[kind]
    if family is Family.POLICY:
        vbs_status, code = vbs.IN_POLICY_AREA.get(kind, (vbs_status, code))
    if family is Family.NATIVE:
        return _rendered(family, native.ERRORS[kind], code, native.message_of(error), {})
    return _rendered(family, vbs_status, code, str(error), {})


def render_status(family: Family, status: int, message: str, headers: dict[str, str] | None = None) -> Rendered:
    """An error that is no more than its status: unknown route, wrong method, our own bug."""
    return render_wire(family, WireError(status, None, message, headers=headers))


def _rendered(family: Family, status: int, code: str, message: str, headers: dict[str, str]) -> Rendered:
    if family is not Family.NATIVE:
        return Rendered(status, vbs.render(code, message), headers)
    extra = {"X-VBS-Error-Code": code, **native.headers_of(status), **headers}
    return Rendered(status, native.render(status, message), extra)
