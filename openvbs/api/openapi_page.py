"""The OpenAPI document as a page to read: one file without scripts, which asks for nothing else."""

from functools import lru_cache
from html import escape
from typing import Any

from openvbs.api.openapi import document
from openvbs.api.operation import SCHEMAS_AT, Schema

CONTENT_TYPE = "text/html; charset=utf-8"
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
body { font: 16px/1.5 sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; background: #fff }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc }
details { border: 1px solid #ddd; border-radius: 4px; margin: .4rem 0; padding: .3rem .6rem }
summary { cursor: pointer } summary code { font-weight: bold }
pre { background: #f6f6f6; padding: .6rem; overflow-x: auto; font-size: .85rem }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
a { color: #0550ae }
"""
_NOTES = (
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minimum", "from {}"),
    ("maximum", "to {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minItems", "at least {} entries"),
    ("maxItems", "at most {} entries"),
    ("pattern", "{}"),
)


@lru_cache(maxsize=4)
def page(public_url: str) -> bytes:
    """The page, in UTF-8."""
    described = document(public_url)
    by_tag: dict[str, list[str]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    contents = " ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in by_tag)
    operations = "".join(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(ops)}' for tag, ops in by_tag.items())
    named = "".join(_named(name, schema) for name, schema in sorted(described["components"]["schemas"].items()))
    info = described["info"]
    tail = f'<h2 id="schemas">schemas</h2>{named}</body></html>'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f'<p>{escape(info["description"])}</p><p>For tools: <a href="openapi.json">openapi.json</a>.</p>'
        f'<p>{contents} <a href="#schemas">schemas</a></p>{operations}{tail}'
    ).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{escape(operation.get('description', 'No token is needed.'))}</p>"]
    if parameters := operation.get("parameters"):
        rows = "".join(_parameter(parameter) for parameter in parameters)
        parts.append(f"<h4>Parameters</h4><table>{rows}</table>")
    if body := operation.get("requestBody"):
        parts.append(f"<h4>Request</h4>{_content(body['content'])}")
    for status, answer in operation["responses"].items():
        if "$ref" not in answer:
            parts.append(f"<h4>Answer {status}</h4>{_content(answer.get('content', {}))}")
    refused = [status for status, answer in operation["responses"].items() if "$ref" in answer]
    parts.append(f"<p>Errors: {', '.join(refused)}</p>")
    head = f"<summary><code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}</summary>"
    return f"<details>{head}{''.join(parts)}</details>"


def _parameter(parameter: dict[str, Any]) -> str:
    cells = (parameter["name"], parameter["in"], parameter.get("description", ""))
    shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr>{shown}<td>{_outline(parameter['schema'])}</td></tr>"


def _content(content: dict[str, Any]) -> str:
    if not content:
        return "<p>Empty.</p>"
    return "".join(f"<pre>{_outline(inner['schema'])}</pre>" for inner in content.values())


def _named(name: str, schema: Schema) -> str:
    text = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    return f'<h4 id="schema-{escape(name)}">{escape(name)}</h4>{text}<pre>{_outline(schema)}</pre>'


def _outline(schema: Schema, indent: str = "") -> str:
    """A schema as HTML in the notation of JSON, with what it says beyond the type behind it."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(SCHEMAS_AT))
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema and "properties" not in schema:
        return " or ".join(_outline(inner, indent) for inner in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return escape(" | ".join(map(repr, schema.get("enum", [schema.get("const")]))))
    kind = schema.get("type", "anything")
    if kind == "object":
        return _object(schema, indent)
    if kind == "array":
        return f"[{_outline(schema.get('items', {}), indent)}, ...]{_notes(schema)}"
    return escape(" | ".join(kind) if isinstance(kind, list) else kind) + _notes(schema)


def _object(schema: Schema, indent: str) -> str:
    inner = indent + "  "
    required = schema.get("required", [])
    lines = [
        f"{inner}{escape(name)}{'' if name in required else '?'}: {_outline(value, inner)}"
        for name, value in schema.get("properties", {}).items()
    ]
    rest = schema.get("additionalProperties", True)
    if isinstance(rest, dict) and not lines:
        return f"{{any key: {_outline(rest, inner)}}}{_notes(schema)}"
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}{_notes(schema)}" if lines else "{}"


def _notes(schema: Schema) -> str:
    said = [text.format(schema[key]) for key, text in _NOTES if schema.get(key)]
    said += [schema["description"]] if "description" in schema and schema.get("type") != "object" else []
    return f" <small>({escape('; '.join(said))})</small>" if said else ""
