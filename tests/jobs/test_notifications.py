"""Audit events on their way to the operator: each one's line is durable once, or owed."""

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openvbs.actions.audit import note_refusal
from openvbs.actions.backups import delete_backup
from openvbs.actions.service import Service, make_event
from openvbs.actions.shares import cancel_shares_of_backup, list_shares, share_backup
from openvbs.db import audit
from openvbs.domain.audit import AuditRules
from openvbs.domain.errors import RecipientForbidden
from openvbs.domain.share import ShareQuery
from openvbs.jobs.cadf import cadf_of
from openvbs.jobs.notifications import AT_ONCE_MAX, Notifications
from tests.support.actions import add_backup, caller, made_service
from tests.support.site import Site
from tests.support.waiting import until

WAIT_SECONDS_MAX = 30
A, B = "a" * 32, "b" * 32
ALPHA, BETA = (replace(caller(p), user_id=p[::-1], source_address="192.0.2.7") for p in (A, B))


@pytest.fixture
def service(new_database_url: Callable[[], str]) -> Iterator[Service]:
    with made_service(new_database_url()) as made:
        yield replace(made, audit_rules=AuditRules(notifies=True))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_event_is_sent_once_in_order(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "cadf.log"
    notifications = Notifications(service.database, file)
    backup = add_backup(service, A)
    (share,) = share_backup(service, ALPHA, backup, [B])
    notifications.send_owed()
    list_shares(service, BETA, ShareQuery(share_to_me=True))
    with pytest.raises(RecipientForbidden) as refused:
        delete_backup(service, BETA, backup)
    note_refusal(service, BETA, "backup:delete", refused.value)
    cancel_shares_of_backup(service, ALPHA, backup)
    notifications.send_owed()
    notifications.send_owed()
    told = lines(file)
    assert [(event["name"], event["action"], event["outcome"]) for event in told] == [
        ("backup.create", "backup", "pending"),
        ("share.create", "allow", "success"),
        ("share.look", "read", "success"),
        ("backup.delete", "delete", "failure"),
        ("share.cancel", "revoke", "success"),
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    cancel = told[-1]
    assert cancel["typeURI"] == "http://schemas.dmtf.org/cloud/audit/1.0/event"
    assert (cancel["initiator"]["id"], cancel["initiator"]["project_id"]) == (ALPHA.user_id, A)
    assert cancel["initiator"]["host"] == {"address": "192.0.2.7"}
    assert (cancel["target"]["id"], cancel["target"]["typeURI"]) == (share.id, "storage/volume/backup/share")
    assert cancel["attachments"][0]["content"]["to_project_id"] == B
    assert told[3]["reason"]["reasonCode"] == "403"


def test_without_notifications_nothing_is_owed(service: Service, tmp_path: Path) -> None:
    quiet = replace(service, audit_rules=AuditRules())
    add_backup(quiet, A)
    Notifications(service.database, tmp_path / "cadf.log").send_owed()
    assert list(tmp_path.glob("cadf.log")) == []
    add_backup(service, A)
    Notifications(service.database, None).send_owed()
    assert len(owed(service)) == 1


def owed(service: Service) -> list[str]:
    with service.database.read() as connection:
        return [event.id for event in audit.owed(connection, limit=10_000)]


def is_any_owed(service: Service) -> bool:
    """Of all events, those among them that a worker has locked just now."""
    with service.database.read() as connection:
        return audit.is_any_owed(connection)


def test_what_the_file_does_not_take_stays_owed(service: Service, tmp_path: Path) -> None:
    add_backup(service, A)
    with pytest.raises(OSError, match="cadf"):
        Notifications(service.database, tmp_path / "missing" / "cadf.log").send_owed()
    with pytest.raises(OSError, match="No space left"):
        Notifications(service.database, Path("/dev/full")).send_owed()
    assert len(owed(service)) == 1
    file = tmp_path / "cadf.log"
    file.write_text('{"torn by the full di')
    Notifications(service.database, file).send_owed()
    _, whole = file.read_text().splitlines()
    assert json.loads(whole)["name"] == "backup.create"
    assert owed(service) == []


def test_several_workers_send_each_event_once(service: Service, tmp_path: Path) -> None:
    with service.database.write() as connection:
        add_backup_event = add_event(service)
        for number in range(AT_ONCE_MAX + 100):
            audit.insert(connection, replace(add_backup_event, id=f"00000000-0000-4000-8000-{number:012}"))
    # Workers that share an SQLite database are on one machine, with one file.
    count = 1 if service.database.is_sqlite else 4
    files = [tmp_path / f"cadf-{number % count}.log" for number in range(4)]
    threads = [threading.Thread(target=Notifications(service.database, file).send_owed) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Notifications(service.database, files[0]).send_owed()
    sent = [event["id"] for file in set(files) if file.exists() for event in lines(file)]
    assert len(sent) == len(set(sent)) == AT_ONCE_MAX + 100


def test_no_request_waits_while_the_file_is_synced(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_backup(service, A)
    changed = []
    sync = os.fsync

    def change_and_sync(descriptor: int) -> None:
        with service.database.write() as connection:  # waits for ever, up to its time-out, if a lock is held
            audit.insert(connection, add_event(service))
        changed.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr("openvbs.jobs.notifications.os.fsync", change_and_sync)
    file = tmp_path / "cadf.log"
    file.touch()
    Notifications(service.database, file).send_owed()
    monkeypatch.undo()
    assert len(changed) == 1
    assert len(lines(file)) == 1
    Notifications(service.database, file).send_owed()
    assert len(lines(file)) == 2  # what came meanwhile is not taken for sent


def test_who_has_the_file_keeps_no_worker_waiting(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_backup(service, A)
    file = tmp_path / "cadf.log"
    notifications = Notifications(service.database, file)
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sending = threading.Thread(target=notifications.send_owed, daemon=True)
        sending.start()
        sending.join(WAIT_SECONDS_MAX)
        assert not sending.is_alive()
        notifications.send_owed()
        assert caplog.messages == []
        monkeypatch.setattr("openvbs.jobs.notifications.BUSY_SECONDS_MAX", 0)
        notifications.send_owed()
        assert "cadf.log locked for a while" in caplog.text
        assert len(owed(service)) == 1
    notifications.send_owed()
    assert len(lines(file)) == 1


def test_a_disk_that_hangs_keeps_no_worker_from_its_other_duties(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.service = replace(site.service, audit_rules=AuditRules(notifies=True))
    with site.database.write() as connection:
        audit.insert(connection, add_event(site.service))
    file = tmp_path / "cadf.log"
    file.touch()
    hangs, goes_on = threading.Event(), threading.Event()
    sync = os.fsync

    def hang_and_sync(descriptor: int) -> None:
        if os.path.sameopenfile(descriptor, watched.fileno()):
            hangs.set()
            goes_on.wait(WAIT_SECONDS_MAX)
        sync(descriptor)

    with file.open() as watched:
        monkeypatch.setattr("openvbs.jobs.notifications.os.fsync", hang_and_sync)
        with site.worker(notify_file=file):  # on return it has been through all its duties
            assert hangs.wait(WAIT_SECONDS_MAX)
            assert file.stat().st_size > 0
            assert is_any_owed(site.service)
            goes_on.set()
            until(lambda: not is_any_owed(site.service), what="the event is sent")


def test_a_crash_after_the_sync_lets_the_line_be_written_again(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_backup(service, A)
    file = tmp_path / "cadf.log"

    def crash(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(audit, "mark_sent", crash)
        with pytest.raises(KeyboardInterrupt):
            Notifications(service.database, file).send_owed()
    assert len(owed(service)) == 1
    Notifications(service.database, file).send_owed()
    first, second = lines(file)
    assert first["id"] == second["id"]
    assert owed(service) == []


def add_event(service: Service) -> Any:
    return make_event(service, ALPHA, "backup.create", owner=A, backup_id="3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3")


@pytest.mark.parametrize("action", ["policy.run", "backup.administer", "share.restore_end", "job.cancel"])
def test_every_event_is_valid_cadf(service: Service, action: str) -> None:
    event = replace(add_event(service), action=action, outcome="cancelled", source_address=None, backup_id=None)
    told = cadf_of(event)
    assert told["outcome"] == ("failure" if action.endswith("_end") else "success")
    assert (told["target"]["id"], told["target"]["typeURI"]) == (A, "data/security/project")
    assert told["eventTime"].endswith("+0000")
