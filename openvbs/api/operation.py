"""What a route takes and gives, for people and for tools: the description that the OpenAPI document is made of.

Bodies and answers are msgspec types, JSON schemas written by hand, or one of the shapes below around either.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

Schema = dict[str, Any]
SchemaOf = Callable[[Any], Schema]

SCHEMAS_AT = "#/components/schemas/"


@runtime_checkable
class Shape(Protocol):
    """Something around other kinds of schema."""

    def schema(self, of: SchemaOf, *, is_v3: bool) -> Schema:
        """Its schema; ``of`` gives that of what is inside."""


@dataclass(frozen=True, slots=True)
class Query:
    """A key of the query string that the route knows."""

    name: str
    schema: Schema
    text: str = ""


@dataclass(frozen=True, slots=True)
class Under:
    """An object with this one key."""

    name: str
    inner: Any

    def schema(self, of: SchemaOf, *, is_v3: bool) -> Schema:  # noqa: ARG002 - of does not differ
        return _object({self.name: of(self.inner)}, required=[self.name])


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these."""

    kinds: tuple[Any, ...]

    def schema(self, of: SchemaOf, *, is_v3: bool) -> Schema:  # noqa: ARG002 - of does not differ
        return {"anyOf": [of(kind) for kind in self.kinds]}


@dataclass(frozen=True, slots=True)
class Items:
    """A list with at least one of these."""

    item: Any

    def schema(self, of: SchemaOf, *, is_v3: bool) -> Schema:  # noqa: ARG002 - of does not differ
        return {"type": "array", "minItems": 1, "items": of(self.item)}


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, with a link to the next one where there is one."""

    name: str
    item: Any
    with_count: bool = False

    def schema(self, of: SchemaOf, *, is_v3: bool) -> Schema:  # noqa: ARG002 - of does not differ
        link = _object({"rel": {"const": "next"}, "href": {"type": "string"}}, required=["rel", "href"])
        properties: Schema = {
            self.name: {"type": "array", "items": of(self.item)},
            f"{self.name}_links": {"type": "array", "minItems": 1, "maxItems": 1, "items": link},
        }
        if self.with_count:
            properties["count"] = {"type": "integer", "minimum": 0}
        return _object(properties, required=[self.name])


@dataclass(frozen=True, slots=True)
class Body:
    """A native request body: the fields under one key."""

    name: str
    v2: Any
    v3: tuple[Any, ...]
    """One for each range of microversions. Nothing may stand beside the key, but for what ``beside`` names."""
    beside: frozenset[str] = frozenset()
    may_be_null: bool = False
    """null under the key is {} there."""

    def schema(self, of: SchemaOf, *, is_v3: bool) -> Schema:
        inner = [of(kind) for kind in (self.v3 if is_v3 else (self.v2,))]
        if self.may_be_null:
            inner.append({"type": "null"})
        properties: Schema = {name: {} for name in sorted(self.beside)}
        properties[self.name] = inner[0] if len(inner) == 1 else {"anyOf": inner}
        schema: Schema = {"type": "object", "properties": properties, "required": [self.name]}
        return {**schema, "additionalProperties": False} if is_v3 else schema


@dataclass(frozen=True, slots=True)
class ByVersion:
    """What /v2 and /v3 have different."""

    v2: Any
    v3: Any

    def schema(self, of: SchemaOf, *, is_v3: bool) -> Schema:
        return of(self.v3 if is_v3 else self.v2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One description serves all routes of a handler."""

    summary: str
    answers: Mapping[int, Any] = field(default_factory=dict)
    """Status of a success -> its body; None is an empty one."""
    body: Any = None
    body_required: bool = True
    query: tuple[Query, ...] = ()
    refusals: tuple[int, ...] = ()
    """Statuses of errors beside those that every route can give."""
    job: bool = False
    """The answer may name a job in its header."""


@dataclass(slots=True)
class Schemas:
    """Makes schemas and gathers the named ones that they refer to."""

    named: dict[str, Schema] = field(default_factory=dict)

    def of(self, kind: Any, *, is_v3: bool = False) -> Schema:
        """The schema of a msgspec type, a shape or a schema."""
        if isinstance(kind, dict):
            return kind
        if isinstance(kind, Shape):
            return kind.schema(lambda inner: self.of(inner, is_v3=is_v3), is_v3=is_v3)
        (schema,), found = msgspec.json.schema_components([kind], ref_template=SCHEMAS_AT + "{name}")
        for name, named in found.items():
            assert self.named.setdefault(name, named) == named, f"two types are called {name}"
        return schema


def _object(properties: Schema, *, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
