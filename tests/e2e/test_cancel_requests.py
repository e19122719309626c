"""The decision table of cancelling a share, one case per row, against a running server: the request itself.

After every case all parties look at everything again, and exactly the shares that the row names are gone.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.support.cancelling import NEVER_ISSUED, World, accepted, allowed, only, refused
from tests.support.parties import Answer, Login, Party, send
from tests.support.service import OPENVBS, Process, free_port_pair
from tests.support.steps import SHARING, cancel
from tests.support.waiting import until

EVERY_FLAG = ("", "?is_backup_id=true", "?is_backup_id=false", "?is_backup_id=maybe")


def ids(world: World) -> tuple[str, ...]:
    """Whatever a caller could put into the path."""
    return world.share, world.backup, NEVER_ISSUED, "not-an-id"


# ---------------------------------------------------------------- 1.1 before the look-up


@pytest.mark.parametrize("token", [None, ""], ids=["P1-absent", "P1-empty"])
def test_without_a_token(world: World, token: str | None) -> None:
    with only(world):
        refused(cancel(replace(world.alpha, token=token), world.share), 401, "VolumeBackup.0044")


@pytest.mark.parametrize("kind", ["expired", "revoked", "unknown", "garbage"], ids=lambda kind: f"P2-{kind}")
def test_with_a_token_that_is_no_good(world: World, kind: str, bad_token: Callable[[str], str]) -> None:
    with only(world):
        refused(cancel(replace(world.alpha, token=bad_token(kind)), world.share), 401, "VolumeBackup.0044")


@pytest.mark.parametrize("scope", ["unscoped", "domain"], ids=lambda scope: f"P3-{scope}")
def test_with_a_token_of_no_project(world: World, scope: str, alpha_login: Login) -> None:
    token, facts = alpha_login.token("unscoped" if scope == "unscoped" else {"domain": {"id": "default"}})
    assert "project" not in facts
    with only(world):
        refused(cancel(replace(world.alpha, token=token), world.share), 403, "VolumeBackup.0042")


@pytest.fixture(scope="module")
def lonely_api(tmp_path_factory: pytest.TempPathFactory, new_database_url: Callable[[], str]) -> Iterator[str]:
    """The URL of an API process whose Keystone is not there."""
    folder = tmp_path_factory.mktemp("lonely")
    port, keystone_port = free_port_pair(), free_port_pair()
    conf = folder / "openvbs.conf"
    conf.write_text(
        f"[database]\nconnection = {new_database_url()}\n[keystone_authtoken]\nauth_type = password\n"
        f"auth_url = http://127.0.0.1:{keystone_port}/v3\nusername = openvbs\npassword = x\nproject_name = service\n"
        "user_domain_id = default\nproject_domain_id = default\n"
    )
    flags = [f"--config-file={conf}", f"--data-dir={folder / 'data'}", f"--listen=127.0.0.1:{port}"]
    run_to_its_end(["migrate", *flags])
    api = Process(["api", *flags], folder / "api.log")
    api.start()
    try:
        until(lambda: answers(port), what="the API")
        yield f"http://127.0.0.1:{port}"
        api.stop()
    finally:
        if api.process is not None:
            api.kill()


def run_to_its_end(arguments: list[str]) -> None:
    subprocess.run([OPENVBS, *arguments], check=True, capture_output=True)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return send("GET", f"http://127.0.0.1:{port}", "/healthcheck").status == 200
    return False


def test_p4_identity_service_cannot_be_asked(lonely_api: str) -> None:
    caller = Party(name="somebody", base=lonely_api, project_id="p", token="gAAAAABsomething")
    refused(cancel(caller, NEVER_ISSUED), 503, "VolumeBackup.0041")
    refused(cancel(replace(caller, token=None), NEVER_ISSUED), 401, "VolumeBackup.0044")


@pytest.mark.parametrize("caller_path", ["U-O", "R-O", "O-R", "U-Adm"], ids=lambda pair: f"P5-{pair}")
def test_another_project_in_the_path(world: World, caller_path: str) -> None:
    caller, path = (world.party(letter) for letter in caller_path.split("-"))
    with only(world):
        for wanted in ids(world):
            for query in EVERY_FLAG:
                answer = cancel(caller, wanted, query, path_project=path.project_id)
                refused(answer, 403, "VolumeBackup.0042")


@pytest.mark.parametrize("path", ["a.b", "x" * 65, "a%20b", "%2A"], ids=lambda path: f"P6-{path[:8]}")
def test_path_project_that_cannot_be_one(world: World, path: str) -> None:
    with only(world):
        refused(cancel(world.alpha, world.share, path_project=path), 403, "VolumeBackup.0042")


def test_p7_reader(world: World) -> None:
    with only(world):
        for wanted in ids(world):
            for query in EVERY_FLAG:
                refused(cancel(world.reader, wanted, query), 403, "VolumeBackup.0042")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS"], ids=lambda method: f"P8-{method}")
def test_other_methods_on_a_share(world: World, method: str) -> None:
    with only(world):
        answer = world.alpha.send(method, f"{SHARING}/{world.share}")
    refused(answer, 405, "VolumeBackup.0002")
    assert allowed(answer) == {"GET", "HEAD", "DELETE"}


@pytest.mark.parametrize("word", ["detail", "count"], ids=lambda word: f"P9-{word}")
def test_reserved_words_are_never_ids(world: World, word: str) -> None:
    with only(world):
        answer = world.alpha.send("DELETE", f"{SHARING}/{word}")
    refused(answer, 405, "VolumeBackup.0002")
    assert allowed(answer) == {"GET", "HEAD"}


@pytest.mark.parametrize("end", ["", "/"], ids=["P10-bare", "P10-slash"])
def test_no_id_never_means_all(world: World, end: str) -> None:
    with only(world):
        for query in ("", "?is_backup_id=true", "?is_backup_id=false"):
            refused(world.alpha.send("DELETE", f"{SHARING}{end}{query}"), 400, "VolumeBackup.0203")


@pytest.mark.parametrize(
    "end", ["/", "/again", "/a/b", "%2Fa"], ids=["P11-slash", "P11-segment", "P11-segments", "P11-encoded slash"]
)
def test_more_than_an_id(world: World, end: str) -> None:
    with only(world):
        refused(world.alpha.send("DELETE", f"{SHARING}/{world.share}{end}"), 404, "VolumeBackup.0002")


@pytest.mark.parametrize("accept", ["text/html", "text/html,image/png;q=0.8"], ids=["P12", "P12-two"])
def test_client_that_cannot_read_json(world: World, accept: str) -> None:
    with only(world):
        answer = world.alpha.send("DELETE", f"{SHARING}/{world.share}", headers={"Accept": accept})
    refused(answer, 406, "VolumeBackup.0002")


@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html,application/json;q=0.1"])
def test_client_that_can_read_json_too(world: World, accept: str) -> None:
    with only(world, frozenset({world.share})):
        accepted(world.alpha.send("DELETE", f"{SHARING}/{world.share}", headers={"Accept": accept}))


MALFORMED = {
    "no uuid": "share-1",
    "no dashes": "a94d07c28b3641feb2c95d160e7f83ab",
    "blank": "%20",
    "blank before": "%20a94d07c2-8b36-41fe-b2c9-5d160e7f83ab",
    "blank after": "a94d07c2-8b36-41fe-b2c9-5d160e7f83ab%20",
    "junk": "%00%ff%fe",
    "37 characters": "a94d07c2-8b36-41fe-b2c9-5d160e7f83abc",
    "line feed": "a94d07c2-8b36-41fe-b2c9-5d160e7f83ab%0A",
    "braces": "%7Ba94d07c2-8b36-41fe-b2c9-5d160e7f83ab%7D",
    "not hex": "g94d07c2-8b36-41fe-b2c9-5d160e7f83ab",
    "other digits": "%D9%A194d07c2-8b36-41fe-b2c9-5d160e7f83ab",
    "star": "*",
}


@pytest.mark.parametrize("wanted", MALFORMED.values(), ids=[f"P13-{name}" for name in MALFORMED])
def test_malformed_id(world: World, wanted: str) -> None:
    with only(world):
        for caller in (world.alpha, world.beta, world.gamma):
            for query in ("", "?is_backup_id=true"):
                refused(cancel(caller, wanted, query), 400, "VolumeBackup.0204")


@pytest.mark.parametrize("write", [str.upper, str.title], ids=["P14-upper", "P14-mixed"])
def test_id_in_other_letters(world: World, write: Callable[[str], str]) -> None:
    with only(world, frozenset({world.share})):
        accepted(cancel(world.alpha, write(world.share)))
    with only(world, frozenset({world.share2})):
        accepted(cancel(world.alpha, write(world.backup), "?is_backup_id=true"))


# ---------------------------------------------------------------- 1.2 the flag

READ_AS_FALSE = {
    "F1-absent": "",
    "F1-misspelled": "?is_backupid=true",
    "F1-other name": "?backup=true",
    "F1-other case": "?IS_BACKUP_ID=true",
    "F2-false": "?is_backup_id=false",
    "F2-False": "?is_backup_id=False",
    "F2-FALSE": "?is_backup_id=FALSE",
}


@pytest.mark.parametrize("query", READ_AS_FALSE.values(), ids=READ_AS_FALSE)
def test_flag_read_as_false(world: World, query: str) -> None:
    with only(world, frozenset({world.share})):
        refused(cancel(world.alpha, world.backup, query), 404, "VolumeBackup.0110")
        accepted(cancel(world.alpha, world.share, query))


@pytest.mark.parametrize("text", ["true", "True", "TRUE"], ids=lambda text: f"F3-{text}")
def test_flag_read_as_true(world: World, text: str) -> None:
    with only(world):
        refused(cancel(world.alpha, world.share, f"?is_backup_id={text}"), 404, "VolumeBackup.0110")
    with only(world, frozenset({world.share, world.share2})):
        accepted(cancel(world.alpha, world.backup, f"?is_backup_id={text}"))


NEITHER = {
    "F4-empty": "is_backup_id=",
    "F4-no value": "is_backup_id",
    **{f"F5-{text}": f"is_backup_id={text}" for text in ("1", "0", "yes", "t", "%20true", "true%20", "null", "maybe")},
    "F6-twice equal": "is_backup_id=true&is_backup_id=true",
    "F6-twice differing": "is_backup_id=false&is_backup_id=true",
    "F6-twice false": "is_backup_id=false&is_backup_id=false",
}


@pytest.mark.parametrize("query", NEITHER.values(), ids=NEITHER)
def test_flag_that_is_neither(world: World, query: str) -> None:
    """The query is looked at before the id, so a malformed id makes no difference."""
    with only(world):
        for wanted in ids(world):
            refused(cancel(world.alpha, wanted, f"?{query}"), 400, "VolumeBackup.0002")


def test_f7_flag_in_the_body(world: World) -> None:
    def with_body(wanted: str) -> Answer:
        return world.alpha.send("DELETE", f"{SHARING}/{wanted}", json_body={"is_backup_id": True})

    with only(world, frozenset({world.share})):
        refused(with_body(world.backup), 404, "VolumeBackup.0110")
        accepted(with_body(world.share))
