"""Every role at every route; and that strangers are told the same of what is another's as of what never was."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.openapi import path_of
from openvbs.api.routes import ROUTES
from openvbs.api.wire import Settings
from openvbs.auth.identity import read_identity
from tests.support.actions import made_service
from tests.support.doors import DOORS, ROLES, Door
from tests.support.tenants import NEVER_ISSUED, World
from tests.support.wsgi import Answer

ROUTE_KEYS = [(route.method, path_of(route)) for route in ROUTES]
NAMES = [f"{method} {path}" for method, path in ROUTE_KEYS]


@pytest.fixture(scope="module")
def service(new_database_url: Any) -> Iterator[Service]:
    with made_service(new_database_url()) as made:
        if made.database.is_sqlite:  # hundreds of worlds that need not outlive a power failure
            sa.event.listen(made.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
            made.database.engine.dispose()
        yield made


@pytest.fixture(scope="module")
def make_world(service: Service) -> Any:
    settings = Settings(public_url="https://here", body_bytes_max=20_000, page_items_max=1000)
    app = create_app(service, settings, read_identity)
    return lambda: World(service, app)


@pytest.fixture(scope="module")
def quiet(make_world: Any) -> World:
    """A world in which nothing is changed."""
    return make_world()


def test_every_route_has_a_row_and_no_other() -> None:
    assert set(DOORS) == set(ROUTE_KEYS)


@pytest.mark.parametrize("key", ROUTE_KEYS, ids=NAMES)
def test_statuses(make_world: Any, quiet: World, key: tuple[str, str]) -> None:
    door = DOORS[key]
    uses_up = key[0] != "GET" and ids_in(door)
    world = None
    for role, status in zip(ROLES, door.statuses, strict=True):
        world = world or (make_world() if uses_up else quiet)
        answer = world.send(role, key[0], door.target, door.body)
        assert answer.status == status, (role, answer)
        if status < 300:
            world = None


def ids_in(door: Door) -> list[str]:
    text = door.target + json.dumps(door.body)
    return [word for word in ("backup", "job", "share", "volume", "policy", "snapshot") if f"{{{word}}}" in text]


BLIND = [  # role, route, and what it names that the role may not know of
    (role, key, word)
    for role in ("other", "admin")
    for key in ROUTE_KEYS
    if key in DOORS and DOORS[key].statuses[ROLES.index(role)] == 404
    for word in ids_in(DOORS[key])
]


@contextmanager
def statements(service: Service) -> Iterator[list[str]]:
    """The texts of the SQL statements that run inside, in their order."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    sa.event.listen(service.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(service.database.engine, "before_cursor_execute", note)


def told(answer: Answer, wanted: str) -> tuple[int, dict[str, str], bytes]:
    """All of an answer but the echoed id and the request's own."""
    own = {"x-request-id", "x-openstack-request-id", "x-compute-request-id"}
    headers = {name: value.replace(wanted, "ID") for name, value in answer.headers.items() if name not in own}
    return answer.status, headers, answer.body.replace(wanted.encode(), b"ID")


@pytest.mark.parametrize(("role", "key", "word"), BLIND, ids=[f"{role} {' '.join(k)} {w}" for role, k, w in BLIND])
def test_anothers_is_like_what_never_was(
    service: Service, quiet: World, role: str, key: tuple[str, str], word: str
) -> None:
    door = DOORS[key]
    answers, ran = [], []
    for wanted in (quiet.things[word], NEVER_ISSUED):
        with statements(service) as seen:
            answers.append(told(quiet.send(role, key[0], door.target, door.body, **{word: wanted}), wanted))
        ran.append(seen)
    assert answers[0] == answers[1]
    assert ran[0] == ran[1]


LISTS = [  # what a stranger may ask and what does not change anything
    key for key in ROUTE_KEYS if key in DOORS and DOORS[key].statuses[:4] == (401, 200, 200, 200)
]


@pytest.mark.parametrize("key", LISTS, ids=[" ".join(key) for key in LISTS])
def test_what_a_stranger_lists_is_its_own(make_world: Any, quiet: World, key: tuple[str, str]) -> None:
    """The same totals, counts, links and rows, whatever another project has."""
    door = DOORS[key]
    answer = quiet.send("other", key[0], door.target, door.body)
    text = answer.body.decode()
    assert not [name for name, thing in quiet.things.items() if thing in text]
    assert quiet.owner not in text
    before = told(answer, "-")
    make_world()
    assert told(quiet.send("other", key[0], door.target, door.body), "-") == before
