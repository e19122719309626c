"""No list asks the database more often because it has more to show."""

from typing import Any

import sqlalchemy as sa

from openvbs.actions.policy_tasks import run_policy
from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from openvbs.actions.snapshots import create_snapshot
from openvbs.api.routes import ROUTES
from tests.api.conftest import ALPHA, BETA
from tests.support.actions import add_backup, add_volume, caller
from tests.support.policies import add_policy
from tests.support.wsgi import Answer, Client

FEW, MANY = 2, 6
FIND = "/v2/{p}/backuppolicy/resource_instances/action"

# where it is: the key of its items in the answer
PAGED = {
    "/v2/{p}/os-vendor-backup-sharing/detail": "shared",
    "/v2/{p}/jobs": "jobs",
    "/v2/{p}/audit-events": "audit_events",
    **{f"/v{version}/{{p}}/{kind}{form}": kind
       for version in (2, 3) for kind in ("backups", "volumes", "snapshots") for form in ("", "/detail")},
}  # fmt: skip
WHOLE = {
    "/v2/{p}/backuppolicy": "backup_policies",
    "/v2/{p}/backuppolicy/tags": "tags",
    "/v2/{p}/backuppolicy/{policy}/tags": "tags",
    "/v2/{p}/backuppolicy/{policy}/backuptasks": "tasks",
    "/v2/{p}/backuppolicy/{policy}/retention-preview": "resources",
    FIND: "resources",
}


def counted(service: Service, client: Client, target: str) -> tuple[int, Answer]:
    """How many statements the answer took."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(service.database.engine, "before_cursor_execute", note)
    try:
        wanted = {"action": "filter", "limit": "1000", "offset": "0", "tags": []}
        answer = client.send("POST", target, body=wanted) if target == FIND else client.send("GET", target)
    finally:
        sa.event.remove(service.database.engine, "before_cursor_execute", note)
    assert answer.status == 200, (target, answer)
    assert statements
    return len(statements), answer


def populate(service: Service, number: int) -> str:
    """So many more of everything that lists show; gives a policy with as many tags, disks and tasks."""
    who = caller(ALPHA)
    for _ in range(number):
        share_backup(service, who, add_backup(service, ALPHA), [BETA])
        create_snapshot(service, who, volume_id=add_volume(service, ALPHA))
        add_policy(service, who, tags={"one": "of many"})
    tags = {f"key-{place}": "value" for place in range(number)}
    policy = add_policy(service, who, *[add_volume(service, ALPHA) for _ in range(number)], tags=tags)
    run_policy(service, who, policy.id)
    return policy.id


def test_pages_take_as_many_statements_whatever_their_size(alpha: Client, service: Service) -> None:
    populate(service, MANY)
    for target, items in PAGED.items():
        few, answer = counted(service, alpha, f"{target}?limit={FEW}")
        assert len(answer.json()[items]) == FEW, target
        many, answer = counted(service, alpha, f"{target}?limit={MANY}")
        assert len(answer.json()[items]) == MANY, target
        assert few == many, target
        marker = answer.json()[items][0]
        after = f"&marker={marker.get('job_id') or marker['id']}"
        few, _ = counted(service, alpha, f"{target}?limit={FEW}{after}")
        many, answer = counted(service, alpha, f"{target}?limit={MANY}{after}")
        assert len(answer.json()[items]) >= MANY - 1, target
        assert few == many, target


def test_whole_lists_take_as_many_statements_whatever_their_length(alpha: Client, service: Service) -> None:
    taken: dict[str, list[tuple[int, int]]] = {target: [] for target in WHOLE}
    for number in (FEW, MANY):
        policy = populate(service, number)
        for target, items in WHOLE.items():
            statements, answer = counted(service, alpha, target.replace("{policy}", policy))
            taken[target].append((statements, len(answer.json()[items])))
    for target, ((few, shorter), (many, longer)) in taken.items():
        assert shorter < longer, target
        assert few == many, target


def test_every_list_is_among_them() -> None:
    lists = {
        route.path.replace("{project_id}", "{p}").replace("{policy_id}", "{policy}")
        for route in ROUTES
        if route.handler.__name__.startswith(("list", "find", "preview")) and "{project_id}" in route.path
    }
    assert lists == {*PAGED, *WHOLE}
