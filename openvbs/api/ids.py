"""What an id may look like."""

import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_HEX32 = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_PROJECT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)


def uuid_or_none(value: object) -> str | None:
    """The uuid in lower case, or None for anything else; 32 hex digits without dashes are none."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return value.lower()
    return None


def job_id_or_none(text: str) -> str | None:
    """Like uuid_or_none, but clients also know job ids without dashes."""
    if _HEX32.fullmatch(text):
        text = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return uuid_or_none(text)


def is_project_id(value: object) -> bool:
    return isinstance(value, str) and _PROJECT_ID.fullmatch(value) is not None
