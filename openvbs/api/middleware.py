"""Around every request: an id for it, what is counted, what is logged, and its errors in the right shape."""

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import falcon
from falcon import Request, Response

from openvbs import logs, metrics
from openvbs.api import dialect
from openvbs.api.gate import microversion_headers
from openvbs.api.vbs.errors import IDENTITY_DOWN
from openvbs.api.wire import WireError
from openvbs.auth.identity import IdentityUnavailable
from openvbs.clock import monotonic_seconds
from openvbs.domain.errors import RuleError
from openvbs.errors import Unavailable
from openvbs.units import KIB, MIB

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

_LOG = logging.getLogger(__name__)
_ACCESS = logging.getLogger("openvbs.access")
_REQUEST_ID = "openvbs.request_id"
_ID_HEADERS = ("X-Request-Id", "X-OpenStack-Request-Id", "X-Compute-Request-Id")
_UNMATCHED = "unmatched"
_UNREAD_BYTES_MIN = 64 * KIB
_UNREAD_BYTES_MAX = 64 * MIB


def with_request_id(app: Wsgi) -> Wsgi:
    """Give each request an id of our own, on all that is logged about it."""

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request_id = f"req-{uuid.uuid4()}"
        environ[_REQUEST_ID] = request_id
        if environ.get("PATH_INFO") == "/v3/":  # the one path that means the same with a slash behind
            environ["PATH_INFO"] = "/v3"
        with logs.bind(request_id=request_id):
            answer = app(environ, start_response)
        _drop_unread_body(environ)
        return answer

    return call


def _drop_unread_body(environ: dict[str, Any]) -> None:
    """Take what the client still sends: one that is cut off while it sends never reads our answer.

    Little fits into the sockets' buffers anyway; what is far too much is cut off.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    is_long = length.isdecimal() and _UNREAD_BYTES_MIN < int(length) <= _UNREAD_BYTES_MAX
    if is_long or environ.get("HTTP_TRANSFER_ENCODING"):  # in chunks nobody knows how much comes
        left = _UNREAD_BYTES_MAX
        while left > 0 and (part := environ["wsgi.input"].read(_UNREAD_BYTES_MIN)):
            left -= len(part)


class Observe:
    """Falcon middleware: headers that every answer has, one access line, the counters."""

    def process_request(self, request: Request, _response: Response) -> None:
        context: Any = request.context
        context.request_id = request.env[_REQUEST_ID]
        context.started = monotonic_seconds()
        if request.path.startswith("//"):  # Falcon would find the route all the same, and nobody else its family
            raise falcon.HTTPRouteNotFound

    def process_resource(self, request: Request, _response: Response, _resource: object, _params: object) -> None:
        if request.method not in falcon.HTTP_METHODS:
            raise falcon.HTTPMethodNotAllowed([])

    def process_response(self, request: Request, response: Response, _resource: object, _succeeded: bool) -> None:  # noqa: FBT001 - Falcon's signature
        context: Any = request.context
        for header in _ID_HEADERS:
            response.set_header(header, context.request_id)
        if dialect.is_v3(request.path):
            response.set_headers(microversion_headers(request))
        seconds = monotonic_seconds() - context.started
        route = request.uri_template or _UNMATCHED
        method = request.method if request.method in falcon.HTTP_METHODS else "other"
        metrics.REQUESTS.labels(method, route, str(response.status_code)).inc()
        metrics.REQUEST_SECONDS.labels(method, route).observe(seconds)
        _ACCESS.info(
            "%s %s %d %.1f ms from %s for project %s",
            request.method,
            request.path,
            response.status_code,
            seconds * 1000,
            request.remote_addr,
            getattr(context, "project_id", None),
        )


def add_error_handlers(app: "falcon.App[Request, Response]", allowed: Callable[[str], str]) -> None:
    """Every exception becomes an answer in its family's shape. ``allowed`` gives a path template's methods."""

    def on_wire(request: Request, response: Response, error: WireError, _params: object) -> None:
        _send(response, dialect.render_wire(dialect.family_of(request.path), error))

    def on_rule(request: Request, response: Response, error: RuleError, _params: object) -> None:
        _send(response, dialect.render_rule(dialect.family_of(request.path), error))

    def on_identity(request: Request, response: Response, error: IdentityUnavailable, _params: object) -> None:
        _LOG.error("%s Cause: %s", error, error.__cause__)
        family = dialect.family_of(request.path)
        status, code = IDENTITY_DOWN[family]
        _send(response, dialect.render_wire(family, WireError(status, code, str(error))))

    def on_unavailable(request: Request, response: Response, error: Unavailable, _params: object) -> None:
        _LOG.error("%s", error)
        message = "The service cannot do this now; nothing has changed. Try again later."
        _send(response, dialect.render_status(dialect.family_of(request.path), 503, message))

    def on_http(request: Request, response: Response, error: falcon.HTTPError, _params: object) -> None:
        headers = {}
        message = error.description or error.title or "The request cannot be answered."
        if error.status_code == 404:
            message = "The resource could not be found."
        if error.status_code == 405:
            headers = {"Allow": allowed(request.uri_template or "")}
            message = f"The method {request.method} is not allowed here; {headers['Allow']} are."
        _send(response, dialect.render_status(dialect.family_of(request.path), error.status_code, message, headers))

    def on_bug(request: Request, response: Response, error: Exception, _params: object) -> None:
        _LOG.error("%s %s failed", request.method, request.path, exc_info=error)
        message = "The service failed to answer; the request's id leads to the reason in its log."
        _send(response, dialect.render_status(dialect.family_of(request.path), 500, message))

    app.add_error_handler(Exception, on_bug)
    app.add_error_handler(falcon.HTTPError, on_http)
    app.add_error_handler(Unavailable, on_unavailable)
    app.add_error_handler(IdentityUnavailable, on_identity)
    app.add_error_handler(RuleError, on_rule)
    app.add_error_handler(WireError, on_wire)


def _send(response: Response, rendered: dialect.Rendered) -> None:
    response.status = rendered.status
    response.content_type = "application/json"
    response.data = rendered.body
    response.set_headers(rendered.headers)
