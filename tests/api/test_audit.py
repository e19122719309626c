"""Audit events: looks of recipients, refused attempts, and how long events are kept."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from openvbs.actions import audit
from openvbs.actions.audit import FORGET_AT_ONCE, forget_old_events
from openvbs.actions.noted import KEYS_MAX, Noted
from openvbs.actions.service import Service
from openvbs.actions.shares import list_shares, share_backup
from openvbs.db.tables import audit_events
from openvbs.domain.audit import AuditQuery, AuditRules
from openvbs.domain.share import ShareQuery
from tests.api.conftest import ALPHA, BETA, GAMMA
from tests.api.test_sharing import SHARING, UNKNOWN, share
from tests.support.actions import add_backup, caller
from tests.support.wsgi import Client

LOOKS = {
    "list": f"{SHARING}/detail?share_to_me=true",
    "share": f"{SHARING}/{{share}}",
    "backup v2": "/v2/{{p}}/backups/{backup}",
    "backup v3": "/v3/{{p}}/backups/{backup}",
}


def events(client: Client, action: str | None = None, **filters: str) -> list[dict[str, Any]]:
    query = "&".join(f"{key}={value}" for key, value in filters.items())
    found = client.get(f"/v2/{{p}}/audit-events?{query}")["audit_events"]
    return [event for event in found if action in {None, event["action"]}]


@pytest.mark.parametrize("look", LOOKS)
def test_the_owner_learns_of_a_recipients_first_look_of_the_day(
    alpha: Client, beta: Client, service: Service, look: str
) -> None:
    backup = add_backup(service, ALPHA)
    row, _ = share(alpha, backup, BETA, GAMMA)
    target = LOOKS[look].replace("{share}", row["id"]).replace("{backup}", backup).replace("{{p}}", "{p}")
    for _ in range(3):
        beta.get(target)
    (event,) = events(alpha, "share.look")
    assert event["actor_project_id"] == event["to_project_id"] == BETA
    assert (event["share_id"], event["backup_id"], event["outcome"]) == (row["id"], backup, "seen")
    service.clock.now += timedelta(days=1)
    for _ in range(2):
        beta.get(target)
    assert [event["share_id"] for event in events(alpha, "share.look", share_id=row["id"])] == [row["id"]] * 2
    assert events(beta) == []


def test_only_a_recipients_looks_are_told(alpha: Client, beta: Client, gamma: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    (row,) = share(alpha, backup, BETA)
    for client in (alpha, gamma):
        for target in (f"{SHARING}/detail", f"{SHARING}/detail?share_to_me=true", f"{SHARING}/count"):
            client.get(target)
        client.send("GET", f"{SHARING}/{row['id']}")
        client.send("GET", f"/v2/{{p}}/backups/{backup}")
    beta.get(f"{SHARING}/count?share_to_me=true")
    assert events(alpha, "share.look") == events(gamma) == []


def test_processes_that_know_nothing_of_each_other_write_one_look(service: Service) -> None:
    backups = [add_backup(service, "alpha") for _ in range(3)]
    for backup in backups:
        share_backup(service, caller("alpha"), backup, ["beta"])
    frozen = service.clock.now
    processes = [replace(service, noted=Noted(), clock=lambda: frozen) for _ in range(6)]
    start = threading.Barrier(len(processes))

    def look(process: Service) -> None:
        start.wait()
        list_shares(process, caller("beta"), ShareQuery(share_to_me=True))

    threads = [threading.Thread(target=look, args=[process]) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = audit.list_events(service, caller("alpha"), AuditQuery()).items
    assert sorted(str(e.backup_id) for e in found if e.action == "share.look") == sorted(backups)


def test_looking_again_writes_nothing_and_asks_nothing_more(alpha: Client, beta: Client, service: Service) -> None:
    for _ in range(3):
        share(alpha, add_backup(service, ALPHA), BETA)
    statements: list[str] = []

    @sa.event.listens_for(service.database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    def asked(target: str) -> int:
        statements.clear()
        beta.get(target)
        return len([statement for statement in statements if "audit_events" in statement])

    assert asked(LOOKS["list"]) == 2
    assert asked(LOOKS["list"]) == 0
    service.noted.__init__()
    assert asked(LOOKS["list"]) == 1


def test_the_memory_of_looks_is_bounded() -> None:
    noted = Noted()
    for number in range(KEYS_MAX + 2):
        assert noted.claim([str(number)])
    assert noted.claim(["0", str(KEYS_MAX + 1)]) == ["0"]
    noted.release(["0"])
    assert noted.claim(["0"]) == ["0"]


def test_of_who_did_it_in_another_project_only_an_administrator_learns(
    alpha: Client, beta: Client, admin: Client, service: Service
) -> None:
    backup = add_backup(service, ALPHA)
    share(alpha, backup, BETA)
    assert beta.send("POST", f"/v3/{{p}}/backups/{backup}/restore", body={"restore": {}}).status == 202
    assert beta.send("DELETE", f"/v3/{{p}}/backups/{backup}").status == 403
    who = ("actor_user_id", "request_id", "source_address")
    foreign = [event for event in events(alpha) if event["actor_project_id"] == BETA]
    assert {event["action"] for event in foreign} == {"share.restore", "backup.delete"}
    assert [[event[key] for key in who] for event in foreign] == [[None] * 3] * 2
    (own,) = events(alpha, "share.create")
    assert own["actor_user_id"] == f"user-of-{ALPHA}"
    assert None not in [own[key] for key in who]
    shown = admin.get(f"/v2/{ALPHA}/audit-events")["audit_events"]
    assert [e["actor_user_id"] for e in shown if e["actor_project_id"] == BETA] == [f"user-of-{BETA}"] * 2


def test_what_a_recipient_was_refused_is_told_to_the_owner_once(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    share(alpha, backup, BETA)
    body = {"shared": {"backup_id": backup, "to_project_ids": [GAMMA]}}
    for _ in range(2):
        assert beta.send("POST", SHARING, body=body).status == 403
        assert beta.send("DELETE", f"{SHARING}/{backup}?is_backup_id=true").status == 403
        assert beta.send("DELETE", f"/v2/{{p}}/backups/{backup}").status == 403
    refused = [event for event in events(alpha) if event["outcome"] == "refused"]
    assert [event["action"] for event in refused] == ["backup.delete", "share.cancel", "share.create"]
    assert {(e["backup_id"], e["actor_project_id"], e["to_project_id"]) for e in refused} == {(backup, BETA, BETA)}
    assert "only the project that owns it" in refused[0]["details"]["why"]
    assert events(beta) == []
    service.clock.now += timedelta(days=1)
    assert beta.send("DELETE", f"/v2/{{p}}/backups/{backup}").status == 403
    assert len([event for event in events(alpha) if event["outcome"] == "refused"]) == 4


def test_a_role_that_is_too_weak_is_told_to_its_own_project(alpha: Client, reader: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    for wanted in (backup, UNKNOWN, "nonsense", UNKNOWN.replace("3", "4")):
        assert reader.send("DELETE", f"/v2/{{p}}/cloudbackups/{wanted}").status == 403
    (event,) = [event for event in events(alpha) if event["outcome"] == "refused"]
    assert (event["action"], event["backup_id"], event["actor_project_id"]) == ("backup.delete", None, ALPHA)


def test_strangers_leave_no_trace(alpha: Client, gamma: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    known = events(alpha)
    for target in (f"/v2/{{p}}/cloudbackups/{backup}", f"/v2/{ALPHA}/cloudbackups/{backup}"):
        assert gamma.send("DELETE", target).status in {403, 404}
    assert events(alpha) == known
    assert events(gamma) == []


def test_a_change_of_a_backup_is_told(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    alpha.headers = {"OpenStack-API-Version": "volume 3.9"}
    assert alpha.send("PUT", f"/v3/{{p}}/backups/{backup}", body={"backup": {"name": "new"}}).status == 200
    (event,) = events(alpha, "backup.update")
    assert event["details"] == {"changed": ["name"]}


def test_events_are_forgotten_when_they_are_old(alpha: Client, service: Service) -> None:
    add_backup(service, ALPHA)
    with service.database.write() as connection:
        (row,) = [dict(row._mapping) for row in connection.execute(sa.select(audit_events))]
        copies = [{**row, "id": f"{UNKNOWN[:-6]}{number:06}"} for number in range(FORGET_AT_ONCE * 2)]
        connection.execute(audit_events.insert(), copies)
    service.clock.now += timedelta(days=29)
    add_backup(service, ALPHA)
    for_ever, for_a_month = (replace(service, audit_rules=AuditRules(keep_days=days)) for days in (0, 30))
    forget_old_events(for_ever)
    assert _count(service) == FORGET_AT_ONCE * 2 + 2
    forget_old_events(for_a_month)
    assert _count(service) == FORGET_AT_ONCE * 2 + 2
    service.clock.now += timedelta(days=1)
    forget_old_events(for_a_month)
    assert [event["action"] for event in events(alpha)] == ["backup.create"]
    assert _count(service) == 1


def _count(service: Service) -> int:
    with service.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(audit_events)) or 0


def test_a_look_that_could_not_be_written_hinders_nobody_and_is_written_the_next_time(
    alpha: Client, beta: Client, service: Service
) -> None:
    share(alpha, add_backup(service, ALPHA), BETA)

    def refuse(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT INTO audit_events"):
            raise sa.exc.OperationalError(statement, {}, OSError("the disk is full"))

    sa.event.listen(service.database.engine, "before_cursor_execute", refuse)
    assert len(beta.get(LOOKS["list"])["shared"]) == 1
    sa.event.remove(service.database.engine, "before_cursor_execute", refuse)
    assert events(alpha, "share.look") == []
    beta.get(LOOKS["list"])
    assert len(events(alpha, "share.look")) == 1
