"""Finding policies by their tags: pure functions of a query, a name and the tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TagSet:
    """A key with any of these values; no values: with any value at all."""

    key: str
    values: frozenset[str]

    def holds(self, tags: Mapping[str, str]) -> bool:
        return self.key in tags and (not self.values or tags[self.key] in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagQuery:
    """Conditions that all must hold; an empty one is none."""

    tags: Sequence[TagSet] = ()
    """All of these."""
    tags_any: Sequence[TagSet] = ()
    """At least one of these."""
    not_tags: Sequence[TagSet] = ()
    """Not all of these."""
    not_tags_any: Sequence[TagSet] = ()
    """None of these."""
    name_parts: Sequence[str] = ()
    """Substrings of the name, ignoring case."""

    def matches(self, name: str, tags: Mapping[str, str]) -> bool:
        return (
            all(wanted.holds(tags) for wanted in self.tags)
            and (not self.tags_any or any(wanted.holds(tags) for wanted in self.tags_any))
            and not (self.not_tags and all(unwanted.holds(tags) for unwanted in self.not_tags))
            and not any(unwanted.holds(tags) for unwanted in self.not_tags_any)
            and all(part.lower() in name.lower() for part in self.name_parts)
        )
