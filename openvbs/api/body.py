"""Request bodies: bounded, JSON in UTF-8, free of NUL characters, which no database text can hold."""

from typing import Any, TypeVar

import msgspec
from falcon import Request

from openvbs.api.wire import WireError

T = TypeVar("T")
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NUL_ESCAPED = b"\\u0000"


class BodyTooLarge(WireError):
    """The body has more bytes than we read."""


class BodyNotJson(WireError):
    """The body is declared to be something else than JSON in UTF-8."""


class BodyMalformed(WireError):
    """The body is not what it should be; the text says where."""


def read(request: Request, *, bytes_max: int) -> bytes:
    """The whole body, b"" when there is none. BodyTooLarge, BodyNotJson, BodyMalformed (it ended early)."""
    length = request.content_length
    if length is None and request.get_header("Transfer-Encoding") is None:
        return b""
    if length is not None and length > bytes_max:
        raise _too_large(bytes_max)
    wanted = bytes_max + 1 if length is None else length
    raw = _read_up_to(request, wanted)
    if len(raw) > bytes_max:
        raise _too_large(bytes_max)
    if length is not None and len(raw) < length:
        raise BodyMalformed(400, None, f"The request body ended after {len(raw)} of {length} bytes.")
    if raw:
        _require_json(request.content_type)
    return raw


def decode(raw: bytes, kind: type[T]) -> T:
    """The body as kind (a msgspec type). BodyMalformed says what is wrong and where."""
    if not raw.strip():
        raise BodyMalformed(400, None, "The request has no body; a JSON object is needed.")
    try:
        if _NUL_ESCAPED in raw and _has_nul(msgspec.json.decode(raw)):
            raise BodyMalformed(400, None, "The request body holds a NUL character.")
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise BodyMalformed(400, None, f"Invalid input: {error}.") from error
    except _DECODE_ERRORS as error:
        raise BodyMalformed(400, None, f"The request body is not readable JSON: {_reason(error)}.") from error


def _read_up_to(request: Request, wanted: int) -> bytes:
    # A WSGI stream may give less than asked for; only an empty read is the end.
    parts: list[bytes] = []
    missing = wanted
    while missing > 0:
        part = request.stream.read(missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _require_json(content_type: str | None) -> None:
    if not content_type:  # some clients name none
        return
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise BodyNotJson(415, None, f"The Content-Type must be application/json, not {media_type!r}.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in {"utf-8", "utf8", "us-ascii"}:
            raise BodyNotJson(415, None, f"The body must be in UTF-8, not in {value}.")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(413, None, f"The request body exceeds {bytes_max} bytes.")
