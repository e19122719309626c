"""Tokens are checked with whoever plays Keystone on a socket: accepted, refused, away, remembered."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from openvbs.auth.identity import Identity, IdentityUnavailable
from openvbs.auth.keystone import Kept, KeystoneTokens, TokenCache

PROJECT = "a" * 32


class Keystone(ThreadingHTTPServer):
    """Knows one service user and the tokens in ``tokens``; counts how often one was asked about."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked = 0
        self.accepts_service_user = True
        self.validation_status: int | None = None
        self.broken_connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v3"


class Handler(BaseHTTPRequestHandler):
    server: Keystone

    def answer(self, status: int, document: Any, **headers: str) -> None:
        raw = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        if not self.path.startswith("/v3/auth/tokens"):
            link = [{"rel": "self", "href": self.server.url}]
            self.answer(200, {"version": {"id": "v3.14", "status": "stable", "links": link}})
            return
        self.server.asked += 1
        token = self.server.tokens.get(self.headers["X-Subject-Token"])
        if self.server.validation_status is not None:
            self.answer(self.server.validation_status, {"error": {"message": "no"}})
        elif token is None:
            self.answer(404, {"error": {"message": "no such token"}})
        else:
            self.answer(200, {"token": token})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.broken_connections:
            self.server.broken_connections -= 1
            return
        if not self.server.accepts_service_user:
            self.answer(401, {"error": {"message": "who?"}})
            return
        endpoints = [{"interface": "internal", "region": "R", "region_id": "R", "url": self.server.url, "id": "e"}]
        catalog = [{"type": "identity", "name": "keystone", "id": "s", "endpoints": endpoints}]
        self.answer(
            201, {"token": token_of("service", "admin", catalog=catalog)}, **{"X-Subject-Token": "service-token"}
        )

    def log_message(self, *_: Any) -> None:
        pass


def token_of(user: str, *roles: str, project: str | None = PROJECT, catalog: Any = (), expires: str = "2099") -> Any:
    domain = {"id": "default", "name": "Default"}
    scope = {"project": {"id": project, "name": "p", "domain": domain}} if project else {}
    return {
        "methods": ["password"],
        "user": {"id": user, "name": user, "domain": domain},
        "expires_at": f"{expires}-01-01T00:00:00.000000Z",
        "issued_at": "2020-01-01T00:00:00.000000Z",
        "audit_ids": ["x"],
        "roles": [{"id": role, "name": role} for role in roles],
        "catalog": list(catalog),
        **scope,
    }


@pytest.fixture
def keystone() -> Iterator[Keystone]:
    with Keystone() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(url: str, **more: str) -> dict[str, str]:
    return {
        "auth_url": url,
        "www_authenticate_uri": url,
        "auth_type": "password",
        "username": "openvbs",
        "password": "secret",
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "delay_auth_decision": "true",
        "service_token_roles_required": "true",
        "http_request_max_retries": "0",
        "token_cache_time": "60",
        **more,
    }


def environ_of(token: str | None, **more: str) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SERVER_NAME": "here",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        **more,
    }
    if token is not None:
        environ["HTTP_X_AUTH_TOKEN"] = token
    return environ


def check(tokens: KeystoneTokens, token: str | None, **more: str) -> Identity | None:
    return tokens(environ_of(token, **more))


def test_a_valid_token_says_who_calls(keystone: Keystone) -> None:
    keystone.tokens = {"good": token_of("u1", "Member", "reader"), "domain": token_of("u2", "admin", project=None)}
    tokens = KeystoneTokens(settings(keystone.url))
    assert check(tokens, "good") == Identity(user_id="u1", project_id=PROJECT, roles=frozenset({"member", "reader"}))
    assert check(tokens, "domain") == Identity(user_id="u2", project_id=None, roles=frozenset({"admin"}))


def test_everything_else_is_nobody(keystone: Keystone) -> None:
    keystone.tokens = {"old": token_of("u1", "member", expires="2021")}
    tokens = KeystoneTokens(settings(keystone.url))
    for token in (None, "", "garbage", "old"):
        assert check(tokens, token) is None


def test_identity_headers_of_the_request_itself_are_not_believed(keystone: Keystone) -> None:
    forged = {
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_PROJECT_ID": PROJECT,
        "HTTP_X_USER_ID": "root",
        "HTTP_X_ROLES": "admin",
    }
    tokens = KeystoneTokens(settings(keystone.url))
    assert check(tokens, None, **forged) is None
    keystone.tokens = {"good": token_of("u1", "reader")}
    for _ in range(4):
        found = check(tokens, "good", **forged)
        assert found == Identity(user_id="u1", project_id=PROJECT, roles=frozenset({"reader"}))


def test_a_service_token_beside_must_be_valid_too(keystone: Keystone) -> None:
    keystone.tokens = {
        "good": token_of("u1", "reader"),
        "nova": token_of("nova", "service"),
        "user": token_of("someone", "member"),
    }
    tokens = KeystoneTokens(settings(keystone.url))
    assert check(tokens, "good", HTTP_X_SERVICE_TOKEN="nova") is not None
    assert check(tokens, "good", HTTP_X_SERVICE_TOKEN="user") is None
    assert check(tokens, "good", HTTP_X_SERVICE_TOKEN="garbage") is None


def test_keystone_away_is_no_answer_about_the_token() -> None:
    with pytest.raises(IdentityUnavailable):
        check(KeystoneTokens(settings("http://127.0.0.1:1/v3")), "any")


@pytest.mark.parametrize(("retries", "is_known"), [("3", True), ("0", False)])
def test_a_connection_that_breaks_once_is_tried_again(keystone: Keystone, retries: str, *, is_known: bool) -> None:
    keystone.tokens = {"good": token_of("u1", "reader")}
    keystone.broken_connections = 1
    tokens = KeystoneTokens(settings(keystone.url, http_request_max_retries=retries))
    if is_known:
        assert check(tokens, "good") is not None
    else:
        with pytest.raises(IdentityUnavailable):
            check(tokens, "good")
    assert keystone.broken_connections == 0


@pytest.mark.parametrize("status", [500, 503, 403])
def test_keystone_failing_is_no_answer_about_the_token(keystone: Keystone, status: int) -> None:
    keystone.validation_status = status
    with pytest.raises(IdentityUnavailable):
        check(KeystoneTokens(settings(keystone.url)), "any")


def test_a_service_user_that_keystone_refuses_is_our_trouble_and_not_the_callers(keystone: Keystone) -> None:
    keystone.accepts_service_user = False
    with pytest.raises(IdentityUnavailable):
        check(KeystoneTokens(settings(keystone.url)), "any")


@pytest.mark.parametrize(("seconds", "asked"), [("60", 1), ("0", 3)])
def test_a_token_is_remembered_as_long_as_configured(keystone: Keystone, seconds: str, asked: int) -> None:
    keystone.tokens = {"good": token_of("u1", "reader")}
    tokens = KeystoneTokens(settings(keystone.url, token_cache_time=seconds))
    for _ in range(3):
        assert check(tokens, "good") is not None
    assert keystone.asked == asked


def test_a_token_is_known_until_it_expires(keystone: Keystone) -> None:
    keystone.tokens = {"good": token_of("u1", "reader", expires="2099")}
    now = [datetime(2098, 12, 31, tzinfo=UTC)]
    tokens = KeystoneTokens(settings(keystone.url), clock=lambda: now[0])

    def asks_the_library() -> bool:
        environ = environ_of("good")
        assert tokens(environ) == Identity(user_id="u1", project_id=PROJECT, roles=frozenset({"reader"}))
        return "keystone.token_info" in environ

    assert [asks_the_library() for _ in range(4)] == [True, True, False, False]
    now[0] = datetime(2099, 1, 2, tzinfo=UTC)
    assert asks_the_library()


def test_a_known_token_is_still_no_good_beside_a_bad_service_token(keystone: Keystone) -> None:
    keystone.tokens = {"good": token_of("u1", "reader"), "user": token_of("someone", "member")}
    tokens = KeystoneTokens(settings(keystone.url))
    for _ in range(3):
        assert check(tokens, "good") is not None
    assert check(tokens, "good", HTTP_X_SERVICE_TOKEN="user") is None
    assert check(tokens, "good", HTTP_X_SERVICE_TOKEN="garbage") is None


def test_access_rules_of_an_application_credential_hold_for_each_request(keystone: Keystone) -> None:
    rules = [{"id": "r", "service": "vbs", "method": "GET", "path": "/allowed"}]
    catalog = [{"type": "vbs", "name": "vbs", "id": "s", "endpoints": []}]
    restricted = {"id": "c", "name": "c", "restricted": True, "access_rules": rules}
    keystone.tokens = {"app": token_of("u1", "member", catalog=catalog) | {"application_credential": restricted}}
    tokens = KeystoneTokens(settings(keystone.url, service_type="vbs"))
    for _ in range(4):
        assert check(tokens, "app", PATH_INFO="/allowed") is not None
        assert check(tokens, "app", PATH_INFO="/other") is None


def test_a_token_bound_to_a_kerberos_user_is_so_for_each_request(keystone: Keystone) -> None:
    keystone.tokens = {"bound": token_of("u1", "member") | {"bind": {"kerberos": "alice"}}}
    tokens = KeystoneTokens(settings(keystone.url))
    for _ in range(4):
        assert check(tokens, "bound", AUTH_TYPE="Negotiate", REMOTE_USER="alice") is not None
        assert check(tokens, "bound", AUTH_TYPE="Negotiate", REMOTE_USER="mallory") is None
        assert check(tokens, "bound") is None


def test_the_cache_is_bounded() -> None:
    cache = TokenCache(60)
    for number in range(10_050):
        cache.put(str(number), Kept(b"x"))
    assert cache.get("0") is None
    assert cache.get("10049") == Kept(b"x")


def test_our_memory_holds_no_token_ready_for_use() -> None:
    cache = TokenCache(60)
    cache.put("a-secret-token", Kept(b"what Keystone said"))
    assert cache.get("a-secret-token") is not None
    assert "a-secret-token" not in repr(dict(cache._entries))
