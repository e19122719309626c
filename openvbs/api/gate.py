"""What every request passes before its handler, in the contract's order: token, project, role, Accept, microversion."""

from collections.abc import Callable
from typing import Any

import msgspec
from falcon import HTTPRouteNotFound, Request, Response

from openvbs.actions.audit import note_refusal
from openvbs.actions.service import Service
from openvbs.api import microversion
from openvbs.api.dialect import family_of
from openvbs.api.ids import is_project_id
from openvbs.api.routes import Route
from openvbs.api.vbs.errors import NO_TOKEN
from openvbs.api.wire import Answer, Call, Settings, WireError
from openvbs.auth.caller import Caller
from openvbs.auth.identity import Authenticate, Identity
from openvbs.domain.errors import Forbidden

_ADMIN = "admin"

Responder = Callable[..., None]


def responder(route: Route, service: Service, settings: Settings, authenticate: Authenticate) -> Responder:
    """The Falcon responder of a route."""

    def respond(request: Request, response: Response, **params: str) -> None:
        if not route.id_may_be_empty and "" in params.values():
            raise HTTPRouteNotFound
        caller = _caller(request, params.get("project_id"), authenticate)
        try:
            service.permissions.require(caller, route.permission)
            _require_json_accepted(request)
            version = _version(request)
            if version < route.since:
                raise HTTPRouteNotFound
            call = Call(
                service=service, settings=settings, caller=caller, request=request, params=params, version=version
            )
            answer = route.handler(call)
        except Forbidden as error:
            note_refusal(service, caller, route.permission, error)
            raise
        send(response, answer)

    return respond


def send(response: Response, answer: Answer) -> None:
    """Put an Answer into Falcon's response."""
    response.status = answer.status
    for name, value in answer.headers.items():
        response.set_header(name, value)
    if answer.body is not None:
        response.content_type = "application/json"
        response.data = msgspec.json.encode(answer.body)


def microversion_headers(request: Request) -> dict[str, str]:
    """What every /v3 answer carries, errors too."""
    try:
        used = microversion.parse(request.get_header(microversion.HEADER))
    except (microversion.VersionMalformed, microversion.VersionUnsupported):
        used = microversion.VERSION_MIN
    return {
        microversion.HEADER: f"{microversion.SERVICE} {microversion.text_of(used)}",
        "Vary": microversion.HEADER,
    }


def _caller(request: Request, path_project_id: str | None, authenticate: Authenticate) -> Caller:
    identity = _identity(request, authenticate)
    token_project_id = identity.project_id
    if token_project_id is None:
        raise WireError(403, None, "The token is not for a project; ask the identity service for one that is.")
    is_admin = _ADMIN in identity.roles
    is_v3 = request.path.startswith("/v3/")
    project_id = token_project_id
    if path_project_id is not None and path_project_id != token_project_id:
        if is_v3:
            raise WireError(400, None, "Malformed request url")
        if not (is_admin and is_project_id(path_project_id)):
            raise WireError(403, None, "The project in the path is not the token's.")
        project_id = path_project_id
    context: Any = request.context
    context.project_id = project_id
    return Caller(
        project_id=project_id,
        token_project_id=token_project_id,
        user_id=identity.user_id,
        roles=identity.roles,
        is_admin=is_admin,
        request_id=context.request_id,
        sees_all=is_admin and is_v3,
        source_address=request.remote_addr,
    )


def _identity(request: Request, authenticate: Authenticate) -> Identity:
    identity = authenticate(request.env)
    if identity is None:
        sent = request.env.get("HTTP_X_AUTH_TOKEN", "").strip()
        message = "The token is not valid." if sent else "The request needs a token in the header X-Auth-Token."
        code = None if sent else NO_TOKEN[family_of(request.path)]
        raise WireError(401, code, message)
    return identity


def _require_json_accepted(request: Request) -> None:
    accept = request.accept
    if accept not in ("*/*", "application/json") and not request.client_accepts_json:
        raise WireError(406, None, f"Answers are in application/json, which the Accept header {accept!r} excludes.")


def _version(request: Request) -> microversion.Version:
    if not request.path.startswith("/v3/"):
        return microversion.VERSION_MIN
    try:
        return microversion.parse(request.get_header(microversion.HEADER))
    except microversion.VersionMalformed as error:
        raise WireError(400, None, str(error)) from error
    except microversion.VersionUnsupported as error:
        raise WireError(406, None, str(error)) from error
