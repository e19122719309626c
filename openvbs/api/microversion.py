"""The microversion of /v3: read from the request's header, named in every answer."""

import re

VERSION_MIN = (3, 0)
VERSION_MAX = (3, 64)
HEADER = "OpenStack-API-Version"
SERVICE = "volume"

Version = tuple[int, int]

_NUMBER = re.compile(r"([1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})", re.ASCII)


class VersionMalformed(ValueError):
    """The header names our service with something that is no version."""


class VersionUnsupported(ValueError):
    """The version is outside of our range."""


def parse(header: str | None) -> Version:
    """The version asked for; 3.0 when none is. VersionMalformed, VersionUnsupported."""
    for entry in (header or "").split(","):
        name, _, text = entry.strip().partition(" ")
        if name.lower() != SERVICE:
            continue
        text = text.strip()
        if text.lower() == "latest":
            return VERSION_MAX
        match = _NUMBER.fullmatch(text)
        if match is None:
            raise VersionMalformed(
                f"API Version String {text!r} is of invalid format. Must be of format MajorNum.MinorNum."
            )
        version = (int(match[1]), int(match[2]))
        if not VERSION_MIN <= version <= VERSION_MAX:
            raise VersionUnsupported(
                f"Version {text} is not supported by the API. Minimum is {text_of(VERSION_MIN)} and maximum is"
                f" {text_of(VERSION_MAX)}."
            )
        return version
    return VERSION_MIN


def text_of(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
