"""Holds answers to the OpenAPI document. The clients of the tests pass every answer through here."""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema_rs
import requests

from openvbs.api.openapi import document, portable
from openvbs.api.routes import ROUTES
from openvbs.api.wire import JOB_ID_HEADER

DOCUMENT = document("http://service")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def validator(schema: dict[str, Any]) -> Any:
    """Of a schema that may refer to the document's named ones."""
    return jsonschema_rs.Draft202012Validator({"components": DOCUMENT["components"], "allOf": [portable(schema)]})


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+(?::\w+)?\})", path)
    return re.compile("".join(_part(part) for part in parts), re.DOTALL)


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".*" if part.endswith(":path}") else "[^/]*"


_PATHS = {re.sub(r":\w+\}", "}", route.path): _pattern(route.path) for route in ROUTES}
_PATHS |= {path: _pattern(path) for path in DOCUMENT["paths"] if path not in _PATHS}


def template_of(path: str) -> str | None:
    """The path of the document that a request's path is meant by; literal segments win from the left."""
    path = "/v3" if path == "/v3/" else path
    found = [template for template, pattern in _PATHS.items() if pattern.fullmatch(path)]
    return min(found, key=lambda template: [part.startswith("{") for part in template.split("/")], default=None)


def check(method: str, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
    """AssertionError unless the document foresees this answer. Header names are in lower case."""
    where = f"{method} {path} -> {status}"
    template = template_of(unquote(path.partition("?")[0]))
    operations = DOCUMENT["paths"].get(template, {})
    operation = operations.get("get" if method == "HEAD" else method.lower())
    if template is None:
        assert status == 404, f"{where}: not in the document"
        return _check_any_refusal(where, status, headers, body)
    if operation is None:
        assert status in {404, 405}, f"{where}: not in the document"
        return _check_any_refusal(where, status, headers, body)
    assert str(status) in operation["responses"], f"{where}: the status is not in the document"
    assert "x-request-id" in headers, where
    described = _resolved(operation["responses"][str(status)])
    for name in described.get("headers", {}):
        assert name.lower() in headers or name == JOB_ID_HEADER, f"{where}: header {name} is missing"
    if not described.get("content"):
        assert body == b"", where
        assert "content-type" not in headers, where
        return None
    (media_type,) = described["content"]
    assert headers["content-type"].partition(";")[0] == media_type, where
    if method != "HEAD" and media_type == "application/json":
        _check_body(where, _validator_of(template, method.lower(), str(status)), body)
    return None


def _check_any_refusal(where: str, status: int, headers: dict[str, str], body: bytes) -> None:
    assert headers["content-type"] == "application/json", where
    if status == 405:
        assert "allow" in headers, where
    elif body:
        _check_body(where, _any_404(), body)


def _check_body(where: str, valid: Any, body: bytes) -> None:
    errors = valid.iter_errors(json.loads(body))
    wrong = [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]
    assert not wrong, f"{where}: {wrong}\n{body.decode()}"


@cache
def _validator_of(template: str, method: str, status: str) -> Any:
    described = _resolved(DOCUMENT["paths"][template][method]["responses"][status])
    return validator(described["content"]["application/json"]["schema"])


@cache
def _any_404() -> Any:
    refusals = (DOCUMENT["components"]["responses"][name] for name in ("vbs404", "native404"))
    return validator({"anyOf": [refusal["content"]["application/json"]["schema"] for refusal in refusals]})


def _resolved(answer: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return answer


def hook(base: str) -> Callable[..., None]:
    """For sessions of requests, also those within clients: passes on the answers of the service at base."""

    def see(response: requests.Response, **_kwargs: object) -> None:
        if response.url.startswith(f"{base}/"):
            headers = {name.lower(): value for name, value in response.headers.items()}
            path = urlsplit(response.url).path
            check(str(response.request.method), path, response.status_code, headers, response.content)

    return see
