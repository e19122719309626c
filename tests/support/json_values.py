"""JSON values for Hypothesis: close to a schema, with something odd in them now and then."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]

# NUL is refused in any body, and a lone surrogate cannot be sent at all.
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
TEXT = st.text(CHARACTERS, max_size=40)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 130)
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2.0, 10.0, 2.5, 1e300, "", " ", "1", "-1", "007", "true", "<", "ON", "UTC+08:00"])
    | TEXT
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
_ODD_ONE_IN = 30
_ITEMS_MAX = 10
"""Lists that may have more are kept short."""


@st.composite
def near(draw: st.DrawFn, schema: Schema, named: Mapping[str, Schema]) -> Any:
    """A value that is mostly what the schema asks for. ``named`` are the schemas that it refers to."""
    if draw(st.integers(1, _ODD_ONE_IN)) == _ODD_ONE_IN:
        return draw(ANYTHING)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return draw(ANYTHING if name == "Plain" else near(named[name], named))
    if "anyOf" in schema and "properties" not in schema:
        return draw(near(draw(st.sampled_from(schema["anyOf"])), named))
    if "const" in schema or "enum" in schema:
        return draw(st.sampled_from(schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "object":
        return draw(_object(schema, named))
    return draw(_array(schema, named) if schema.get("type") == "array" else _scalar(schema))


def _array(schema: Schema, named: Mapping[str, Schema]) -> st.SearchStrategy[list[Any]]:
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", 3)
    items = near(schema.get("items", {}), named)
    return st.lists(items, min_size=least, max_size=most + 1 if most <= _ITEMS_MAX else max(least, 3))


@st.composite
def _object(draw: st.DrawFn, schema: Schema, named: Mapping[str, Schema]) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    value = {
        name: draw(near(inner, named))
        for name, inner in schema.get("properties", {}).items()
        if name in required or draw(st.booleans())
    }
    for group in schema.get("allOf", ()):  # one of these is needed
        name = draw(st.sampled_from([one["required"][0] for one in group["anyOf"]]))
        inner = schema["properties"][name]
        value[name] = draw(near(inner.get("anyOf", [inner])[0], named))
    rest = schema.get("additionalProperties")
    keys = schema.get("propertyNames", {})
    if not value and isinstance(rest, dict):
        for _ in range(draw(st.integers(0, 2))):
            value[draw(_scalar({"type": "string", **keys}))] = draw(near(rest, named))
    if draw(st.integers(1, _ODD_ONE_IN)) == 1:
        value[draw(TEXT)] = draw(SCALARS)
    if value and draw(st.integers(1, _ODD_ONE_IN)) == 1:
        del value[draw(st.sampled_from(sorted(value)))]
    return value


def _scalar(schema: Schema) -> st.SearchStrategy[Any]:
    kind = schema.get("type")
    if schema.get("examples"):
        return st.sampled_from(schema["examples"]) | _scalar({**schema, "examples": []})
    if kind == "string" and "pattern" in schema:
        return _matching(schema["pattern"], schema.get("maxLength", 300))
    if kind == "string":
        return st.text(CHARACTERS, min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 20), 20))
    if kind in {"integer", "number"}:
        least, most = schema.get("minimum", -3), schema.get("maximum", schema.get("exclusiveMaximum", 10**30))
        edges = st.sampled_from([least - 1, least, most, most + 1, float(least), least + 0.5])
        return st.integers(least, most) | edges
    return {"boolean": st.booleans(), "null": st.none()}.get(str(kind), ANYTHING)


@cache
def _matching(pattern: str, most: int) -> st.SearchStrategy[str]:
    """Texts of a pattern. Made once: that is slow."""
    found = st.from_regex(re.sub(r"(\\Z|\$)$", r"\\Z", pattern), alphabet=CHARACTERS)
    return found.map(lambda text: text[: most + 1])
