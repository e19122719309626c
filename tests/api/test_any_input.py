"""Whatever is sent, in names, queries, headers, dates and bodies: it is taken as it is, or refused with a reason."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.native.records import BACKUP_SERVICE, decode
from openvbs.api.openapi import OPERATIONS
from openvbs.api.routes import ROUTES, Route
from openvbs.api.times import moment_or_none
from openvbs.api.wire import Family, Settings, WireError
from openvbs.auth.identity import read_identity
from openvbs.domain.schedule import BadSchedule, start_hours, zone_of
from tests.support.actions import made_service
from tests.support.json_values import ANYTHING
from tests.support.tenants import World
from tests.support.wsgi import Answer, Client

BODY_BYTES_MAX = 20_000
# SQLite and PostgreSQL hold any text but NUL and half a character; clients can send half a character only as an escape.
ANY_TEXT = st.text(max_size=300)
few = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def service(new_database_url: Any) -> Iterator[Service]:
    with made_service(new_database_url()) as made:
        if made.database.is_sqlite:
            sa.event.listen(made.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
            made.database.engine.dispose()
        yield made


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    wanted = Settings(public_url="https://here", body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    return World(service, create_app(service, wanted, read_identity))


@pytest.fixture(scope="module")
def owner(world: World) -> Client:
    return world.client("member")


def reason(answer: Answer) -> str:
    """The message of a refusal."""
    (inner,) = answer.json().values()
    return inner["message"]


@few
@given(name=ANY_TEXT, description=ANY_TEXT)
def test_any_name_comes_back_as_it_was_given(world: World, owner: Client, name: str, description: str) -> None:
    target = f"/v3/{{p}}/volumes/{world.things['volume']}"
    answer = owner.send("PUT", target, body={"volume": {"name": name, "description": description}})
    whole = name + description
    if len(name) > 255 or len(description) > 255 or "\0" in whole or any("\ud800" <= c <= "\udfff" for c in whole):
        assert answer.status == 400
        assert reason(answer)
    else:
        assert answer.status == 200
        shown = owner.get(target)["volume"]
        assert (shown["name"], shown["description"]) == (name.strip(), description.strip())


LISTS = [route for route in ROUTES if route.method == "GET" and OPERATIONS[route.handler].query]
VALUES = (
    st.sampled_from(
        ["", "true", "TRUE", "0", "1", "-1", "2147483648", "asc", "name", "id:desc,name", "{'a': 'b'}", "%"]
    )
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
    | st.integers(-(10**12), 10**12).map(str)
)


@pytest.mark.parametrize("route", LISTS, ids=[f"{route.method} {route.path}" for route in LISTS])
def test_any_query_is_answered_or_refused(world: World, route: Route) -> None:
    known = [query.name for query in OPERATIONS[route.handler].query]
    path = route.path.replace("{project_id}", "{p}")
    for variable, thing in (("policy_id", "policy"), ("volume_id", "volume")):
        path = path.replace(f"{{{variable}}}", world.things[thing])
    clients = [world.client("member"), world.client("admin")]

    @settings(few, max_examples=12)
    @given(
        st.dictionaries(st.sampled_from(known), VALUES, min_size=1, max_size=4),
        st.sampled_from(clients),
        st.integers(0, 64),
    )
    def run(values: dict[str, str], client: Client, minor: int) -> None:
        target = f"{path.replace('{target_id}', client.project_id)}?{urlencode(values)}"
        answer = client.send("GET", target, OpenStack_API_Version=f"volume 3.{minor}")
        assert answer.status in {200, 400, 404}, answer
        assert answer.status == 200 or reason(answer)

    run()


MANY = ",".join(["name:asc"] * 3000)
TOO_MUCH = {
    "keys": ("/v3/{p}/backups", "&".join(f"a{number}=1" for number in range(101)), 400),
    "a key twice": ("/v3/{p}/backups", "name=a&name=a", 400),
    "sort keys": ("/v3/{p}/volumes", f"sort={MANY}", 400),
    "a few hundred sort keys": ("/v3/{p}/volumes", f"sort={MANY[:8000].rpartition(',')[0]}", 200),
    "a long name": ("/v3/{p}/backups", f"name={'x' * 9000}", 400),
    "a long pattern": ("/v3/{p}/backups", f"name~={'%25' * 8192}", 200),
    "a long name of a share": ("/v2/{p}/os-vendor-backup-sharing/detail", f"name={'%F0%9F%98%80' * 8192}", 200),
    "metadata": ("/v3/{p}/volumes", f"metadata={quote(str({str(n): '' for n in range(51)}))}", 400),
    "half a character": ("/v3/{p}/volumes", f"metadata={quote(repr({'a': chr(0xD800)}))}", 400),
    "NUL": ("/v3/{p}/snapshots", "metadata=" + quote(r"{'a': '\x00'}"), 400),
    "deep metadata": ("/v3/{p}/volumes", f"metadata={'(' * 8000}", 400),
    "no UTF-8": ("/v3/{p}/volumes", "name=%FF", 400),
    "offset": ("/v3/{p}/volumes", "offset=2147483648", 400),
    "the last offset": ("/v3/{p}/volumes", "offset=2147483647", 200),
    "limit": ("/v2/{p}/jobs", "limit=99999999999", 400),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_in_a_query_is_refused_clearly(owner: Client, name: str) -> None:
    target, query, status = TOO_MUCH[name]
    answer = owner.send("GET", f"{target}?{query}", OpenStack_API_Version="volume 3.64")
    assert answer.status == status, answer
    assert status == 200 or len(reason(answer)) < 200


WITH_BODY = [route for route in ROUTES if OPERATIONS[route.handler].body is not None]


@pytest.mark.parametrize("route", WITH_BODY, ids=[f"{route.method} {route.path}" for route in WITH_BODY])
def test_bodies_that_are_too_large_or_too_deep(world: World, route: Route) -> None:
    admin = world.client("admin")
    path = route.path.replace("{project_id}", admin.project_id)
    for variable in ("backup", "volume", "snapshot", "policy"):
        path = path.replace(f"{{{variable}_id}}", world.things[variable])
    path = path.replace("{target_id}", "x").replace("{key}", "a")
    is_native = route.family is Family.NATIVE
    versioned = {"OpenStack_API_Version": "volume 3.64"}
    too_large = admin.send(route.method, path, body=b'{"a": "' + b"x" * BODY_BYTES_MAX + b'"}', **versioned)
    assert (too_large.status, too_large.json().keys()) == ((413, {"overLimit"}) if is_native else (400, {"error"}))
    for deep in (b"[" * 9000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"{" * 9000):
        answer = admin.send(route.method, path, body=deep, **versioned)
        assert answer.status == 400
        assert reason(answer)


@few
@given(ANY_TEXT | st.from_regex(r"UTC[+-][0-9]{2}:[0-9]{2}|[A-Z][a-z]+/[A-Za-z_]+", fullmatch=True))
def test_any_text_is_a_zone_or_refused(text: str) -> None:
    try:
        zone = zone_of(text)
    except BadSchedule:
        return
    assert datetime(2026, 3, 4, tzinfo=UTC).astimezone(zone).utcoffset() is not None


@few
@given(ANY_TEXT | st.from_regex(r"( ?[0-2][0-9]:00 ?,?){1,5}", fullmatch=True))
def test_any_text_is_start_times_or_refused(text: str) -> None:
    try:
        hours = start_hours(text)
    except BadSchedule:
        return
    assert hours
    assert all(0 <= hour <= 23 for hour in hours)


DATES = st.datetimes().map(lambda moment: moment.isoformat()) | st.from_regex(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,7})?)?(Z|[+-][0-9]{2}:[0-9]{2})?", fullmatch=True
)


@settings(few, max_examples=200)
@given(ANY_TEXT | DATES | ANYTHING)
def test_any_value_is_a_moment_or_none(value: Any) -> None:
    moment = moment_or_none(value)
    assert moment is None or moment.utcoffset() == UTC.utcoffset(None)


@settings(few, max_examples=200)
@given(st.binary(max_size=60) | ANYTHING.map(lambda value: json.dumps(value).encode()), st.booleans())
def test_any_text_is_a_record_or_refused(raw: bytes, encoded: bool) -> None:
    text = base64.b64encode(raw).decode() if encoded else raw.decode("latin-1")
    with pytest.raises(WireError) as caught:
        decode(BACKUP_SERVICE, text)
    assert caught.value.status == 400
