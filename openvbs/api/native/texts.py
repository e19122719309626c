"""Texts by keys: what metadata and tags may hold."""

from typing import Annotated

from msgspec import Meta

Text = Annotated[str, Meta(max_length=255)]
KEY_PATTERN = r"^[a-zA-Z0-9_:. /-]{1,255}\Z"
Key = Annotated[str, Meta(pattern=KEY_PATTERN)]
Metadata = dict[Key, Text]

_TAG_FORBIDDEN = r"\x00-\x1f\x7f=*<>\\,|/"
TagKey = Annotated[str, Meta(pattern=rf"^[^{_TAG_FORBIDDEN}]{{1,36}}\Z")]
TagValue = Annotated[str, Meta(pattern=rf"^[^{_TAG_FORBIDDEN}]{{0,43}}\Z")]
Tags = Annotated[dict[TagKey, TagValue], Meta(max_length=10)]
