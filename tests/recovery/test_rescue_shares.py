"""``openvbs rescue shares``: shares that were found in the store and wait for the operator."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from openvbs.actions.service import Service, new_id
from openvbs.actions.shares import share_backup
from openvbs.cli.main import main
from openvbs.clock import utc_now
from openvbs.db import backups, shares
from openvbs.domain.share import Share
from tests.support.actions import add_backup, caller, made_service


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    assert CliRunner().invoke(main, ["key", "create", "--data-dir", str(folder)]).exit_code == 0
    return folder


@pytest.fixture
def service(data_dir: Path) -> Iterator[Service]:
    with made_service(f"sqlite:///{data_dir / 'openvbs.db'}", clock=utc_now) as made:
        yield made


@pytest.fixture
def waiting(service: Service) -> list[Share]:
    """A live share with one project, and two that wait with others."""
    backup_id = add_backup(service, "alpha")
    (live,) = share_backup(service, caller("alpha"), backup_id, ["live"])
    found = [replace(live, id=new_id(), to_project_id=name) for name in ("beta", "gamma")]
    with service.database.write() as connection:
        for share in found:
            shares.suspend(connection, share, now=utc_now())
    return found


def run(data_dir: Path, *arguments: str, code: int = 0) -> list[dict[str, str]]:
    command = ["rescue", "shares", *arguments, "--json", "--data-dir", str(data_dir)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if code == 0 else []


def ids(rows: list[dict[str, str]]) -> set[str]:
    return {row["id"] for row in rows}


def live(service: Service, backup_id: str) -> set[str]:
    with service.database.read() as connection:
        return {share.to_project_id for share in shares.live_of_backup(connection, backup_id, now=utc_now())}


def test_all_that_wait_are_listed_and_accepted(data_dir: Path, service: Service, waiting: list[Share]) -> None:
    wanted = {share.id for share in waiting}
    assert ids(run(data_dir)) == wanted
    assert live(service, waiting[0].backup_id) == {"live"}
    assert ids(run(data_dir, "--accept-all")) == wanted
    assert live(service, waiting[0].backup_id) == {"live", "beta", "gamma"}
    assert run(data_dir) == run(data_dir, "--accept-all") == []


def test_all_that_wait_are_rejected(data_dir: Path, service: Service, waiting: list[Share]) -> None:
    assert ids(run(data_dir, "--reject-all")) == {share.id for share in waiting}
    assert run(data_dir) == []
    assert live(service, waiting[0].backup_id) == {"live"}


@pytest.mark.parametrize("other", ["--accept-all", "--accept=3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"])
def test_accepting_and_rejecting_exclude_each_other(
    data_dir: Path, service: Service, waiting: list[Share], other: str
) -> None:
    run(data_dir, "--reject-all", other, code=2)
    assert ids(run(data_dir)) == {share.id for share in waiting}


def test_a_share_that_was_accepted_and_ended_is_not_revived(service: Service, waiting: list[Share]) -> None:
    share = waiting[0]
    with service.database.write() as connection:
        assert shares.accept(connection, share, now=utc_now())
        assert shares.cancel(connection, [share.id], now=utc_now()) == [share.id]
        assert not shares.accept(connection, share, now=utc_now())
    assert live(service, share.backup_id) == {"live"}


def test_shares_of_a_deleted_backup_grant_nothing_and_do_not_wait(
    data_dir: Path, service: Service, waiting: list[Share]
) -> None:
    backup_id = waiting[0].backup_id
    with service.database.write() as connection:
        assert shares.live_to(connection, backup_id, to_project_id="live", now=utc_now()) is not None
        backups.mark_deleted(connection, backup_id, now=utc_now())
        assert shares.live_to(connection, backup_id, to_project_id="live", now=utc_now()) is None
    assert run(data_dir) == []
