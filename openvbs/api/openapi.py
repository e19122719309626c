"""The OpenAPI document of the one table of routes, made of the types and schemas that requests are checked with."""

import re
from functools import lru_cache
from typing import Any

from openvbs import __version__
from openvbs.api import microversion
from openvbs.api.native.errors import name_of
from openvbs.api.native.operations import OPERATIONS as NATIVE_OPERATIONS
from openvbs.api.native.shown import Versions
from openvbs.api.operation import Operation, Query, Schema, Schemas
from openvbs.api.routes import ROUTES, Route
from openvbs.api.vbs import body_schemas
from openvbs.api.vbs.operations import OPERATIONS as VBS_OPERATIONS
from openvbs.api.wire import JOB_ID_HEADER, Family, Handler
from openvbs.auth.permissions import ACTIONS

OPERATIONS: dict[Handler, Operation] = {**VBS_OPERATIONS, **NATIVE_OPERATIONS}

_JSON = "application/json"
_EVERYWHERE = (400, 401, 403, 404, 406, 500, 503)
_WITH_NATIVE_BODY = (413, 415)
_VARIABLE = re.compile(r"\{(\w+)(:\w+)?\}")
_WORDS = {
    400: "A value breaks a rule.",
    401: "No token, or one that is not valid.",
    403: "The role is too weak, the project is not the token's, only the owner may do this, or a quota is reached.",
    404: "Not there, or not for this project.",
    406: "The Accept header excludes JSON, or the microversion is out of range.",
    409: "The state does not allow it; nothing changed.",
    412: "Somebody else changed it since it was read.",
    413: "The body is too large, or a quota is reached.",
    415: "The body is not JSON.",
    500: "The service failed; its log says why.",
    503: "The service cannot do this now; nothing changed.",
}
_INFO = """Volume backups: native OpenStack routes at /v2 and /v3, and VBS routes for backups as jobs, for sharing them
with other projects and for policies. Every route but the open ones needs a token of a project in X-Auth-Token. What
answers to GET answers to HEAD as well, without the body; other methods get 405 with Allow."""


def path_of(route: Route) -> str:
    """The route's path as OpenAPI writes it: variables without their converters."""
    return _VARIABLE.sub(r"{\1}", route.path)


@lru_cache(maxsize=4)
def document(public_url: str) -> dict[str, Any]:
    """The whole document; public_url is where clients reach the service. The caller must not change it."""
    schemas = Schemas(named=dict(body_schemas.NAMED))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(path_of(route), {})[route.method.lower()] = _operation(route, schemas)
    for path, answers in _open_paths(schemas).items():
        paths[path] = {"get": answers}
    made: dict[str, Any] = portable(
        {
            "openapi": "3.1.1",
            "info": {"title": "OpenVBS", "version": __version__, "description": " ".join(_INFO.split())},
            "servers": [{"url": public_url}],
            "security": [{"token": []}],
            "paths": paths,
            "components": {
                "schemas": schemas.named,
                "responses": {
                    _refusal_name(family, status): _refusal(family, status) for family in Family for status in _WORDS
                },
                "headers": {
                    "RequestId": {"description": "Leads to the request in the service's log.", "schema": _TEXT},
                    "JobId": {"description": "The job that does what was asked for.", "schema": _TEXT},
                    "Microversion": {"description": "The microversion that was used.", "schema": _TEXT},
                },
                "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
            },
        }
    )
    return made


_TEXT: Schema = {"type": "string"}


def portable(value: Any) -> Any:
    r"""The same with patterns as ECMA-262 has them, where $ is the very end and \Z is none."""
    if isinstance(value, dict):
        return {
            key: inner.replace(r"\Z", "$") if key == "pattern" and isinstance(inner, str) else portable(inner)
            for key, inner in value.items()
        }
    return [portable(inner) for inner in value] if isinstance(value, list) else value


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    described = OPERATIONS[route.handler]
    is_v3 = route.path.startswith("/v3")
    _, what, _ = ACTIONS[route.permission]
    headers = _headers(is_v3=is_v3)
    answers: dict[str, Any] = {}
    for status, body in described.answers.items():
        job = {JOB_ID_HEADER: {"$ref": "#/components/headers/JobId"}} if described.job else {}
        answers[str(status)] = {"description": "Done, or accepted.", "headers": {**headers, **job}}
        if body is not None:
            answers[str(status)]["content"] = {_JSON: {"schema": schemas.of(body, is_v3=is_v3)}}
    for status in _refusals(route, described):
        answers[str(status)] = {"$ref": f"#/components/responses/{_refusal_name(route.family, status)}"}
    shown: dict[str, Any] = {
        "operationId": _VARIABLE.sub(r"\1", f"{route.method.lower()}{route.path}").replace("/", "_").replace("-", "_"),
        "tags": [route.permission.partition(":")[0]],
        "summary": described.summary,
        "description": _description(route, what),
        "parameters": [*_path_parameters(route), *map(_query_parameter, described.query), *_header_parameters(is_v3)],
        "responses": answers,
    }
    if described.body is not None:
        content = {_JSON: {"schema": schemas.of(described.body, is_v3=is_v3)}}
        shown["requestBody"] = {"required": described.body_required, "content": content}
    return shown


def _description(route: Route, what: str) -> str:
    since = "" if route.since == microversion.VERSION_MIN else f" From {microversion.text_of(route.since)} on."
    return f"Needs the permission {route.permission} ({what.rstrip('.').lower()}).{since}"


def _refusals(route: Route, described: Operation) -> list[int]:
    has_body = route.family is Family.NATIVE and described.body is not None
    return sorted({*_EVERYWHERE, *described.refusals, *(_WITH_NATIVE_BODY if has_body else ())})


def _refusal_name(family: Family, status: int) -> str:
    return f"{'native' if family is Family.NATIVE else 'vbs'}{status}"


def _refusal(family: Family, status: int) -> dict[str, Any]:
    inner: Schema = {"type": "object", "additionalProperties": False, "required": ["code", "message"]}
    if family is Family.NATIVE:
        name = name_of(status)
        inner["properties"] = {"code": {"const": status}, "message": _TEXT}
        if status == 413:
            inner["properties"]["retryAfter"] = {"const": "0"}
    else:
        name = "error"
        pattern = r"^((VolumeBackup|AutoBackup)\.[0-9]{4}|common\.0011)$"
        inner["properties"] = {"code": {"type": "string", "pattern": pattern}, "message": _TEXT}
    schema = {"type": "object", "properties": {name: inner}, "required": [name], "additionalProperties": False}
    return {
        "description": _WORDS[status],
        "headers": _headers(is_v3=False),
        "content": {_JSON: {"schema": schema}},
    }


def _headers(*, is_v3: bool) -> dict[str, Any]:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    return {**headers, microversion.HEADER: {"$ref": "#/components/headers/Microversion"}} if is_v3 else headers


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name, _ in _VARIABLE.findall(route.path)
    ]


def _query_parameter(query: Query) -> dict[str, Any]:
    described = {"description": query.text} if query.text else {}
    return {"name": query.name, "in": "query", **described, "schema": query.schema}


def _header_parameters(is_v3: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - passed on
    if not is_v3:
        return []
    smallest, largest = map(microversion.text_of, (microversion.VERSION_MIN, microversion.VERSION_MAX))
    text = f"volume {smallest} to volume {largest}, or volume latest; {smallest} when it is not given."
    return [{"name": microversion.HEADER, "in": "header", "description": text, "schema": _TEXT}]


def _open_paths(schemas: Schemas) -> dict[str, dict[str, Any]]:
    """What anybody may ask."""

    def described(what: str, status: int, content: dict[str, Any], *also: int) -> dict[str, Any]:
        answer = {"description": "Found.", "headers": _headers(is_v3=False), "content": content}
        refusals = {
            str(refused): {"$ref": f"#/components/responses/{_refusal_name(Family.NATIVE, refused)}"}
            for refused in (*also, 500)
        }
        return {"tags": ["open"], "security": [], "summary": what, "responses": {str(status): answer, **refusals}}

    versions = {_JSON: {"schema": schemas.of(Versions)}}
    text = {"schema": _TEXT}
    up = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
    return {
        "/": described("The versions of the native API.", 300, versions),
        "/v3": described("The same document.", 200, versions),
        "/healthcheck": described("Is the database there?", 200, {_JSON: {"schema": up}}, 503),
        "/metrics": described("Counts for Prometheus.", 200, {"text/plain": text}, 503),
        "/openapi.json": described("This document.", 200, {_JSON: {"schema": {"type": "object"}}}),
        "/docs": described("This document as a page to read.", 200, {"text/html": text}),
    }
