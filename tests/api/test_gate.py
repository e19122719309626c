"""What every request meets before its handler, and what every answer carries."""

import io
import re
import uuid
from dataclasses import replace
from typing import Any

import pytest
from falcon import testing

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import IdentityUnavailable, read_identity
from openvbs.db.session import Database
from tests.api.conftest import ALPHA, BETA, GAMMA
from tests.support.actions import add_backup
from tests.support.wsgi import Client

SHARING = "/v2/{p}/os-vendor-backup-sharing"
SOME_ID = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"


def parts(body: dict[str, Any]) -> tuple[str, Any]:
    """The one key of an error and its inner code."""
    ((name, inner),) = body.items()
    assert isinstance(inner["message"], str)
    return name, inner["code"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"{SHARING}/detail", ("error", "VolumeBackup.0044")),
        ("/v1/{p}/jobs/x", ("error", "VolumeBackup.0044")),
        ("/v2/{p}/backups", ("unauthorized", 401)),
        ("/v3/{p}/snapshots", ("unauthorized", 401)),
    ],
)
@pytest.mark.parametrize("token", ["", "garbage"])
def test_without_a_valid_token_401_in_the_shape_of_the_family(
    alpha: Client, target: str, expected: tuple[str, Any], token: str
) -> None:
    answer = alpha.send("GET", target, X_Identity_Status="Invalid", X_Auth_Token=token)
    assert answer.status == 401
    assert parts(answer.json()) == expected


def test_a_token_without_a_project_is_403(alpha: Client, admin: Client) -> None:
    answer = alpha.send("GET", f"{SHARING}/detail", X_Project_Id="")
    assert (answer.status, answer.code) == (403, "VolumeBackup.0042")
    for target in (f"/v2/{GAMMA}/backups", f"/v2/{GAMMA}/os-vendor-backup-sharing/detail", "/v3/backups"):
        answer = admin.send("GET", target, X_Project_Id="")
        assert (answer.status, answer.code) == (403, "VolumeBackup.0042"), target


@pytest.mark.parametrize("project", [GAMMA, "x" * 65, "sp ace", "ümlaut"])
def test_another_project_in_the_path_is_403_but_400_on_v3(alpha: Client, project: str) -> None:
    assert alpha.send("GET", f"/v2/{project}/os-vendor-backup-sharing/detail").code == "VolumeBackup.0042"
    native = alpha.send("GET", f"/v2/{project}/backups")
    assert (native.status, parts(native.json())) == (403, ("forbidden", 403))
    v3 = alpha.send("GET", f"/v3/{project}/backups")
    assert (v3.status, parts(v3.json())) == (400, ("badRequest", 400))


def test_an_admin_acts_as_the_path_project_on_v2_and_sees_all_on_v3(
    admin: Client, alpha: Client, service: Service
) -> None:
    backup = add_backup(service, ALPHA)
    assert admin.get(f"/v2/{ALPHA}/backups/{backup}")["backup"]["id"] == backup
    assert admin.send("GET", f"/v2/{GAMMA}/backups/{backup}").status == 404
    assert admin.send("GET", f"/v2/{{p}}/backups/{backup}").status == 404
    assert admin.get(f"/v3/{{p}}/backups/{backup}")["backup"]["id"] == backup
    assert admin.send("GET", f"/v3/{ALPHA}/backups/{backup}").status == 400
    assert admin.send("GET", "/v2/sp ace/backups").status == 403


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v2/{p}/cloudbackups"),
        ("DELETE", f"{SHARING}/{SOME_ID}"),
        ("POST", SHARING),
        ("DELETE", SHARING),
        ("POST", "/v3/{p}/volumes"),
        ("DELETE", f"/v3/{{p}}/backups/{SOME_ID}"),
        ("DELETE", f"/v2/{{p}}/jobs/{SOME_ID}"),
    ],
)
@pytest.mark.parametrize("roles", ["reader", "backup_readonly", ""])
def test_a_role_that_may_not_write_is_refused_before_body_and_id_are_looked_at(
    alpha: Client, method: str, target: str, roles: str
) -> None:
    alpha.roles = roles
    answer = alpha.send(method, target, body=b"{not json")
    assert (answer.status, answer.code) == (403, "VolumeBackup.0042")


@pytest.mark.parametrize(
    ("target", "name", "code"),
    [
        ("/", None, None),
        ("/nowhere", "itemNotFound", 404),
        ("/v2/{p}", "itemNotFound", 404),
        ("/v2/", "itemNotFound", 404),
        ("/v3/{p}/backups/a/b/c", "itemNotFound", 404),
        ("/v1/{p}/nothing", "error", "VolumeBackup.0002"),
        ("/v2/{p}/cloudbackups/a/b/c", "error", "VolumeBackup.0002"),
        (f"{SHARING}/{SOME_ID}/", "error", "VolumeBackup.0002"),
        (f"{SHARING}/", "error", "VolumeBackup.0002"),
        ("/v2/{p}/backuppolicy/nothing/here", "error", "AutoBackup.0008"),
        ("/v3/{p}/os-hosts/x", "itemNotFound", 404),
    ],
)
def test_unknown_routes_are_404_without_asking_for_a_token(
    alpha: Client, target: str, name: str | None, code: Any
) -> None:
    answer = alpha.send("GET", target, X_Identity_Status="Invalid", X_Auth_Token="")
    if name is None:
        assert answer.status == 300
    else:
        assert answer.status == 404
        assert parts(answer.json()) == (name, code)


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        *[(method, f"{SHARING}/{SOME_ID}", "GET, HEAD, DELETE") for method in ("POST", "PUT", "PATCH", "OPTIONS")],
        ("DELETE", f"{SHARING}/detail", "GET, HEAD"),
        ("DELETE", f"{SHARING}/count", "GET, HEAD"),
        ("GET", SHARING, "POST, DELETE"),
        ("PUT", SHARING, "POST, DELETE"),
        ("PUT", "/v2/{p}/cloudbackups/quota", "GET, HEAD, POST, DELETE"),
        ("FOO", SHARING, "POST, DELETE"),
        ("LINK", f"{SHARING}/{SOME_ID}", "GET, HEAD, DELETE"),
        ("GET", "/v2/{p}/cloudbackups", "POST"),
        ("DELETE", f"/v1/{{p}}/jobs/{SOME_ID}", "GET, HEAD"),
        ("PUT", f"/v2/{{p}}/backups/{SOME_ID}", "GET, HEAD, DELETE"),
        ("DELETE", "/v3/{p}/backups", "GET, HEAD, POST"),
    ],
)
def test_wrong_methods_are_405_and_say_what_is_allowed(alpha: Client, method: str, target: str, allow: str) -> None:
    answer = alpha.send(method, target, X_Identity_Status="Invalid", X_Auth_Token="")
    assert (answer.status, answer.headers["allow"], answer.code) == (405, allow, "VolumeBackup.0002")


@pytest.mark.parametrize("target", ["//v3/{p}/backups", "//v2/{p}/cloudbackups", f"///v2/{{p}}/jobs/{SOME_ID}", "//v3"])
def test_a_path_that_begins_with_two_slashes_is_none(alpha: Client, admin: Client, target: str) -> None:
    for who in (alpha, admin):
        answer = who.send("GET", target.replace("{p}", ALPHA))
        assert (answer.status, list(answer.json())) == (404, ["itemNotFound"])


def test_a_chunked_body_that_nobody_reads_is_taken_all_the_same(app: Any) -> None:
    """The client's next request comes behind it."""
    environ = testing.create_environ(
        path=f"/v2/{ALPHA}/cloudbackups/{SOME_ID}", method="POST", headers={"Transfer-Encoding": "chunked"}
    )
    environ["wsgi.input"] = io.BytesIO(b" " * 210_000)
    start_response = testing.StartResponseMock()
    b"".join(app(environ, start_response))
    assert start_response.status.startswith("401")
    assert environ["wsgi.input"].read() == b""


@pytest.mark.parametrize("accept", ["text/html", "application/xml;q=1", "application/json;q=0", "nonsense"])
def test_accept_without_json_is_406_after_the_role(alpha: Client, reader: Client, accept: str) -> None:
    answer = alpha.send("DELETE", f"{SHARING}/{SOME_ID}", Accept=accept)
    assert (answer.status, answer.code) == (406, "VolumeBackup.0002")
    assert reader.send("DELETE", f"{SHARING}/{SOME_ID}", Accept=accept).status == 403


@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html, application/json;q=0.1", ""])
def test_accept_with_json_is_fine(alpha: Client, accept: str) -> None:
    assert alpha.get(f"{SHARING}/count", Accept=accept) == {"count": 0}


def test_every_answer_has_its_own_request_id(alpha: Client) -> None:
    seen = set()
    for target in ("/", "/nowhere", f"{SHARING}/detail", "/v3/{p}/volumes", f"/v3/{{p}}/volumes/{SOME_ID}"):
        headers = alpha.send("GET", target).headers
        assert re.fullmatch(r"req-[0-9a-f-]{36}", headers["x-request-id"])
        assert headers["x-request-id"] == headers["x-openstack-request-id"] == headers["x-compute-request-id"]
        seen.add(headers["x-request-id"])
    assert len(seen) == 5


def test_a_callers_own_request_id_is_not_believed(alpha: Client) -> None:
    mine = f"req-{uuid.uuid4()}"
    assert alpha.send("GET", "/v3/{p}/volumes", X_Request_Id=mine).headers["x-request-id"] != mine


def test_head_answers_like_get_without_a_body(alpha: Client) -> None:
    get, head = (alpha.send(method, "/v2/{p}/backups/detail") for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_errors_are_json_and_empty_answers_have_no_type(alpha: Client, service: Service) -> None:
    assert alpha.send("GET", "/nowhere").headers["content-type"] == "application/json"
    backup = add_backup(service, ALPHA)
    gone = alpha.send("DELETE", f"/v2/{{p}}/backups/{backup}")
    assert (gone.status, gone.body, gone.headers["content-length"]) == (202, b"", "0")
    assert "content-type" not in gone.headers


@pytest.mark.parametrize(
    ("raised", "target", "expected"),
    [
        (IdentityUnavailable("away"), f"{SHARING}/detail", (503, "error", "VolumeBackup.0041")),
        (IdentityUnavailable("away"), "/v3/{p}/backups", (503, "serviceUnavailable", 503)),
        (ZeroDivisionError("secret detail"), f"{SHARING}/detail", (500, "error", "VolumeBackup.0043")),
        (ZeroDivisionError("secret detail"), "/v3/{p}/backups", (500, "computeFault", 500)),
    ],
)
def test_what_fails_below_has_the_shape_of_the_family_and_tells_nothing(
    service: Service, raised: Exception, target: str, expected: tuple[int, str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def authenticate(_environ: dict[str, Any]) -> None:
        raise raised

    settings = Settings(public_url="http://here", body_bytes_max=1000, page_items_max=1000)
    answer = Client(create_app(service, settings, authenticate), ALPHA).send("GET", target)
    assert (answer.status, *parts(answer.json())) == expected
    assert b"secret" not in answer.body
    assert any(record.levelname == "ERROR" for record in caplog.records), "the operator must find the reason"


@pytest.mark.parametrize(
    ("target", "name", "code"),
    [
        (f"{SHARING}/detail", "error", "VolumeBackup.0900"),
        (f"/v1/{{p}}/jobs/{SOME_ID}", "error", "VolumeBackup.0900"),
        ("/v2/{p}/backups", "serviceUnavailable", 503),
        ("/healthcheck", "serviceUnavailable", 503),
    ],
)
def test_a_database_that_cannot_be_reached_is_503(service: Service, target: str, name: str, code: Any) -> None:
    nowhere = replace(service, database=Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    settings = Settings(public_url="http://here", body_bytes_max=1000, page_items_max=1000)
    answer = Client(create_app(nowhere, settings, read_identity), ALPHA).send("GET", target)
    nowhere.database.close()
    assert answer.status == 503
    assert parts(answer.json()) == (name, code)


def test_the_recipients_path_is_no_way_around(beta: Client) -> None:
    assert beta.send("GET", f"/v2/{ALPHA}/os-vendor-backup-sharing/detail").status == 403
    assert beta.send("GET", f"/v2/{BETA}/os-vendor-backup-sharing/detail").status == 200


def test_metrics_name_routes_and_never_ids(alpha: Client, service: Service) -> None:
    add_backup(service, ALPHA, status="creating")
    alpha.send("GET", f"/v3/{{p}}/volumes/{SOME_ID}")
    text = alpha.send("GET", "/metrics").body.decode()
    assert 'route="/v3/{project_id}/volumes/{volume_id}",status="404"' in text
    assert SOME_ID not in text
    assert ALPHA not in text
    assert 'openvbs_jobs_open{status="INIT"} 1.0' in text


def test_a_body_that_nobody_wanted_is_taken_to_its_end(app: Any) -> None:
    sent = io.BytesIO(b"x" * 200_000)
    environ = testing.create_environ(method="POST", path="/nowhere", headers={"Content-Length": "200000"})
    environ["wsgi.input"] = sent
    start_response = testing.StartResponseMock()
    app(environ, start_response)
    assert start_response.status == "404 Not Found"
    assert sent.read() == b""
