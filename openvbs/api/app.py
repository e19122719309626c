"""The WSGI application: the table of routes on Falcon, and the few paths that need no token."""

from types import SimpleNamespace
from typing import cast

import falcon
from falcon import Request, Response

from openvbs import metrics
from openvbs.actions.jobs import open_jobs_by_status
from openvbs.actions.service import Service
from openvbs.api.gate import Responder, responder, send
from openvbs.api.middleware import Observe, Wsgi, add_error_handlers, with_request_id
from openvbs.api.native import versions
from openvbs.api.openapi import document
from openvbs.api.openapi_page import CONTENT_SECURITY_POLICY, CONTENT_TYPE, page
from openvbs.api.routes import ROUTES
from openvbs.api.wire import Answer, Settings
from openvbs.auth.identity import Authenticate

_METHOD_ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def create_app(service: Service, settings: Settings, authenticate: Authenticate) -> Wsgi:
    """The application. ``authenticate`` is asked for every request whose route exists, but for the open paths."""
    app = falcon.App(middleware=[Observe()])
    app.resp_options.default_media_type = cast("str", None)  # an empty answer has no type
    responders = _open_responders(service, settings)
    for route in ROUTES:
        methods = responders.setdefault(route.path, {})
        assert route.method not in methods, route
        methods[route.method] = responder(route, service, settings, authenticate)
    for methods in responders.values():
        if "GET" in methods:
            methods["HEAD"] = methods["GET"]
    for path, methods in responders.items():
        app.add_route(path, _resource(methods))
    add_error_handlers(app, lambda path: _allowed(responders.get(path, {})))
    return with_request_id(app)


def _open_responders(service: Service, settings: Settings) -> dict[str, dict[str, Responder]]:
    """What anybody may ask. /metrics counts and never names, so its port is what protects it."""

    def discovery(status: int) -> Responder:
        answer = Answer(status, versions.document(settings.public_url))
        return lambda _request, response: send(response, answer)

    def healthcheck(_request: Request, response: Response) -> None:
        """Alive and able to reach the database; DatabaseUnavailable becomes 503."""
        open_jobs_by_status(service)
        send(response, Answer(200, {"status": "ok"}))

    def show_metrics(_request: Request, response: Response) -> None:
        response.content_type = metrics.CONTENT_TYPE
        response.data = metrics.render(open_jobs_by_status(service))

    def openapi(_request: Request, response: Response) -> None:
        send(response, Answer(200, document(settings.public_url)))

    def docs(_request: Request, response: Response) -> None:
        response.content_type = CONTENT_TYPE
        response.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        response.data = page(settings.public_url)

    return {
        "/": {"GET": discovery(300)},
        "/v3": {"GET": discovery(200)},
        "/healthcheck": {"GET": healthcheck},
        "/metrics": {"GET": show_metrics},
        "/openapi.json": {"GET": openapi},
        "/docs": {"GET": docs},
    }


def _resource(methods: dict[str, Responder]) -> SimpleNamespace:
    """What Falcon takes for a path: an object with on_get and the like. OPTIONS would be answered by default."""
    return SimpleNamespace(
        on_options=_not_allowed, **{f"on_{method.lower()}": respond for method, respond in methods.items()}
    )


def _not_allowed(_request: Request, _response: Response, **_params: str) -> None:
    raise falcon.HTTPMethodNotAllowed([])


def _allowed(methods: dict[str, Responder]) -> str:
    return ", ".join(method for method in _METHOD_ORDER if method in methods)
