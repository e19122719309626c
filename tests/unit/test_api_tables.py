"""The tables of the HTTP layer are whole: no error without an answer, no route without a permission."""

import re

import pytest

from openvbs.api.dialect import family_of, render_rule, render_status
from openvbs.api.native.errors import ERRORS as NATIVE_ERRORS
from openvbs.api.routes import ROUTES, Route
from openvbs.api.vbs.errors import ERRORS as VBS_ERRORS
from openvbs.api.wire import Family
from openvbs.auth.permissions import ACTIONS
from openvbs.domain.errors import BackupNotFound, RuleError

STATUSES = {400, 401, 403, 404, 405, 406, 409, 500, 503}


def children(kind: type[RuleError]) -> set[type[RuleError]]:
    return {kind}.union(*(children(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("kind", sorted(children(RuleError), key=lambda kind: kind.__name__))
def test_every_rule_has_an_answer_in_both_dialects(kind: type[RuleError]) -> None:
    status, code = VBS_ERRORS[kind]
    assert status in STATUSES
    assert re.fullmatch(r"(VolumeBackup|AutoBackup)\.\d{4}|common\.0011", code)
    assert NATIVE_ERRORS[kind] in STATUSES | {412, 413}


def test_the_tables_hold_nothing_else() -> None:
    assert set(VBS_ERRORS) == set(NATIVE_ERRORS) == children(RuleError)


def test_a_new_kind_of_error_is_answered_like_its_parent() -> None:
    class BackupEaten(BackupNotFound):
        pass

    rendered = render_rule(Family.VBS, BackupEaten("x"))
    assert (rendered.status, rendered.body) == (404, render_rule(Family.VBS, BackupNotFound("x")).body)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_asks_for_a_permission_that_exists_and_has_the_family_of_its_path(route: Route) -> None:
    rule, _, _ = ACTIONS[route.permission]
    assert family_of(route.path) is route.family
    if route.method not in {"GET", "HEAD"} and route.permission != "policy:list":  # its query is a POST
        assert rule in {"rule:project_writer", "rule:admin_required"}, "what changes something is not for readers"


def test_every_permission_guards_some_route_and_no_route_stands_twice() -> None:
    assert {route.permission for route in ROUTES} == set(ACTIONS)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_the_policys_documentation_names_real_routes() -> None:
    def plain(path: str) -> str:
        return re.sub(r"\{\w+\}", "{}", path)

    routes = {(route.method, plain(route.path), route.permission) for route in ROUTES}
    for name, (_, _, operations) in ACTIONS.items():
        for method, path in operations:
            assert (method, plain(path), name) in routes


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/v1/p/jobs/1", Family.VBS),
        ("/v1/anything", Family.VBS),
        ("/v2/p/cloudbackups", Family.VBS),
        ("/v2/p/os-vendor-backup-sharing/1", Family.VBS),
        ("/v2/p/jobs", Family.VBS),
        ("/v2/p/audit-events", Family.VBS),
        ("/v2/p/backuppolicy/1/tags", Family.POLICY),
        ("/v2/p/backuppolicyresources", Family.POLICY),
        ("/v2/p/backups", Family.NATIVE),
        ("/v2/cloudbackups", Family.NATIVE),
        ("/v3/p/cloudbackups", Family.NATIVE),
        ("/", Family.NATIVE),
        ("", Family.NATIVE),
    ],
)
def test_the_family_of_a_path(path: str, family: Family) -> None:
    assert family_of(path) is family


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "badRequest"), (401, "unauthorized"), (403, "forbidden"), (404, "itemNotFound"), (405, "badMethod"),
        (406, "computeFault"), (409, "conflictingRequest"), (413, "overLimit"), (415, "badMediaType"),
        (500, "computeFault"), (503, "serviceUnavailable"),
    ],
)  # fmt: skip
def test_native_errors_have_cinders_names(status: int, name: str) -> None:
    assert render_status(Family.NATIVE, status, "m").body.startswith(f'{{"{name}":{{"code":{status},'.encode())


@pytest.mark.parametrize("status", [413, 415])
def test_vbs_has_no_413_and_no_415(status: int) -> None:
    assert render_status(Family.VBS, status, "m").status == 400
