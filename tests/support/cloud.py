"""A small cloud on 127.0.0.1: the real HTTP layer behind a Keystone of a few lines, for tests of our own clients."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import yaml

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import Identity

DOMAIN = "default"
_POLL_SECONDS = 0.02


@dataclass
class SmallCloud:
    """Projects by name, each with a cloud of that name in ``clouds_file``. A token is the name of its project."""

    projects: dict[str, str]
    clouds_file: Path
    admins: frozenset[str] = frozenset()
    """Projects whose user is a cloud administrator."""
    hidden: dict[str, str] = field(default_factory=dict)
    """Projects that exist in Keystone and that no entry of clouds.yaml enters."""
    requests: list[str] = field(default_factory=list)
    """``METHOD /path`` of all requests to the service so far."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def small_cloud(service: Service, projects: dict[str, str], folder: Path, **more: Any) -> Iterator[SmallCloud]:
    """Serve it on a free port until the end of the block."""
    cloud = SmallCloud(projects, folder / "clouds.yaml", **more)
    server = make_server("127.0.0.1", 0, _not_ready, server_class=_Server, handler_class=_Quiet)
    base = f"http://127.0.0.1:{server.server_port}"
    settings = Settings(public_url=base, body_bytes_max=20_000, page_items_max=2)
    application = create_app(service, settings, partial(_authenticate, cloud))
    server.set_app(lambda environ, start: _answer(cloud, base, application, environ, start))
    cloud.clouds_file.write_text(yaml.safe_dump({"clouds": {name: _entry(base, name) for name in projects}}))
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _entry(base: str, name: str) -> dict[str, Any]:
    auth = {
        "auth_url": f"{base}/identity/v3",
        "username": name,
        "password": "secret",
        "project_name": name,
        "user_domain_id": DOMAIN,
        "project_domain_id": DOMAIN,
    }
    return {"auth": auth, "region_name": "RegionOne", "identity_api_version": "3"}


def _not_ready(_environ: dict[str, Any], _start: Callable[..., Any]) -> Iterable[bytes]:
    raise AssertionError


def _authenticate(cloud: SmallCloud, environ: dict[str, Any]) -> Identity | None:
    name = environ.get("HTTP_X_AUTH_TOKEN", "")
    if name not in cloud.projects:
        return None
    roles = {"admin", "member", "reader"} if name in cloud.admins else {"member", "reader"}
    return Identity(user_id=f"user-of-{name}", project_id=cloud.projects[name], roles=frozenset(roles))


def _answer(cloud: SmallCloud, base: str, application: Any, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if not path.startswith("/identity/v3"):
        cloud.requests.append(f"{environ['REQUEST_METHOD']} {path}")
        answer: Iterable[bytes] = application(environ, start)
        return answer
    status, headers, body = _keystone(cloud, base, path.removeprefix("/identity/v3").rstrip("/"), environ)
    start(status, [("Content-Type", "application/json"), *headers])
    return [json.dumps(body).encode()]


def _keystone(cloud: SmallCloud, base: str, path: str, environ: dict[str, Any]) -> tuple[str, list[Any], Any]:
    token = environ.get("HTTP_X_AUTH_TOKEN", "")
    if path == "/auth/tokens":
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["auth"]
        name = asked["scope"]["project"]["name"]
        if asked["identity"]["password"]["user"]["password"] != "secret":
            return "401 Unauthorized", [], {"error": {"code": 401, "message": "wrong password"}}
        return "201 Created", [("X-Subject-Token", name)], {"token": _token(cloud, base, name)}
    if path == "/auth/projects":
        return "200 OK", [], {"projects": [_project(token, cloud.projects[token])], "links": {}}
    if path == "/projects":
        if token not in cloud.admins:
            return "403 Forbidden", [], {"error": {"code": 403, "message": "not an administrator"}}
        wanted = parse_qs(environ["QUERY_STRING"])["name"][0]
        everything = cloud.projects | cloud.hidden
        return "200 OK", [], {"projects": [_project(n, i) for n, i in everything.items() if n == wanted], "links": {}}
    link = [{"rel": "self", "href": f"{base}/identity/v3/"}]
    return "200 OK", [], {"version": {"id": "v3.14", "status": "stable", "links": link, "media-types": []}}


def _project(name: str, project_id: str) -> dict[str, Any]:
    return {"id": project_id, "name": name, "domain_id": DOMAIN, "enabled": True, "links": {}}


def _token(cloud: SmallCloud, base: str, name: str) -> dict[str, Any]:
    project_id = cloud.projects[name]
    urls = {"vbs": f"{base}/v2/{project_id}", "identity": f"{base}/identity/v3"}
    return {
        "methods": ["password"],
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "user": {"id": f"user-of-{name}", "name": name, "domain": {"id": DOMAIN, "name": "Default"}},
        "project": {"id": project_id, "name": name, "domain": {"id": DOMAIN, "name": "Default"}},
        "roles": [{"id": "r", "name": "member"}],
        "catalog": [
            {
                "id": kind,
                "type": kind,
                "name": kind,
                "endpoints": [
                    {"id": kind, "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url}
                ],
            }
            for kind, url in urls.items()
        ],
    }
