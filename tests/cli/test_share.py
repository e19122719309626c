"""``openvbs share``: names become ids, the server's words are shown, and nothing is decided here."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from openvbs.actions.restores import restore_backup
from openvbs.actions.service import Service
from openvbs.actions.share_ends import ABORTED_BY
from openvbs.db import backups, jobs
from openvbs.domain.backup import NewRestore
from tests.cli.conftest import PROJECTS
from tests.support.actions import add_backup, caller
from tests.support.cloud import SmallCloud

Run = Callable[..., Result]
ALPHA, BETA, GAMMA = PROJECTS["alpha"], PROJECTS["beta"], PROJECTS["gamma"]


@pytest.fixture
def monday(service: Service) -> str:
    return add_named(service, "monday")


def add_named(service: Service, name: str, project_id: str = ALPHA, **more: Any) -> str:
    backup_id = add_backup(service, project_id, **more)
    with service.database.write() as connection:
        backups.update(connection, backup_id, now=service.clock(), name=name)
    return backup_id


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_share_by_names(openvbs: Run, monday: str) -> None:
    made = printed(openvbs("share", "create", "monday", "--with", "beta", "--with", "gamma", "--json"))
    assert [(share["backup_id"], share["to_project_id"]) for share in made] == [(monday, BETA), (monday, GAMMA)]


def test_share_by_ids_asks_nobody_for_names(openvbs: Run, cloud: SmallCloud, monday: str) -> None:
    made = printed(openvbs("share", "create", monday, "--with", "f" * 32, "--json"))
    assert made[0]["to_project_id"] == "f" * 32
    assert cloud.requests == [f"POST /v2/{ALPHA}/os-vendor-backup-sharing"]


def test_the_table_holds_whole_ids_where_nobody_looks(openvbs: Run, monday: str) -> None:
    result = openvbs("share", "create", "monday", "--with", "beta")
    assert result.exit_code == 0
    assert monday in result.stdout
    assert BETA in result.stdout


def test_an_administrator_finds_every_project(openvbs: Run, service: Service) -> None:
    add_named(service, "theirs", PROJECTS["admin"])
    made = printed(openvbs("share", "create", "theirs", "--with", "faraway", "--json", project="admin"))
    assert made[0]["to_project_id"] == "e" * 32


def test_an_unknown_project_name_says_how_to_find_the_id(openvbs: Run, cloud: SmallCloud, monday: str) -> None:
    result = openvbs("share", "create", "monday", "--with", "faraway")
    assert result.exit_code == 1
    assert "no project called faraway" in result.stderr
    assert "openstack project show faraway" in result.stderr
    assert not [request for request in cloud.requests if request.startswith("POST")]


def test_an_ambiguous_backup_name_lists_the_choices(openvbs: Run, service: Service, monday: str) -> None:
    second = add_named(service, "monday")
    third = add_named(service, "monday")  # more than a page
    result = openvbs("share", "create", "monday", "--with", "beta")
    assert result.exit_code == 1
    assert "3 backups are called monday" in result.stderr
    assert all(backup_id in result.stderr for backup_id in (monday, second, third))


def test_an_unknown_backup_name(openvbs: Run) -> None:
    result = openvbs("share", "create", "nothing", "--with", "beta")
    assert result.exit_code == 1
    assert "no backup called nothing" in result.stderr


def test_list_given_and_received(openvbs: Run, service: Service, monday: str) -> None:
    openvbs("share", "create", "monday", "--with", "beta", "--with", "gamma", "--with", "f" * 32)
    add_named(service, "other")
    openvbs("share", "create", "other", "--with", "beta")
    given = printed(openvbs("share", "list", "--json"))
    assert len(given) == 4  # two to a page
    assert len(printed(openvbs("share", "list", "--backup", "monday", "--json"))) == 3
    received = printed(openvbs("share", "list", "--to-me", "--json", project="beta"))
    assert [share["from_project_id"] for share in received] == [ALPHA, ALPHA]
    assert printed(openvbs("share", "list", "--json", project="beta")) == []


def test_a_recipient_says_the_shared_backup_by_its_exact_name(openvbs: Run, service: Service, monday: str) -> None:
    add_named(service, "monday-again")
    for name in ("monday", "monday-again"):
        openvbs("share", "create", name, "--with", "beta")
    received = printed(openvbs("share", "list", "--to-me", "--backup", "monday", "--json", project="beta"))
    assert [share["backup_id"] for share in received] == [monday]


def test_a_recipient_is_refused_in_the_servers_words(openvbs: Run, monday: str) -> None:
    openvbs("share", "create", "monday", "--with", "beta")
    result = openvbs("share", "create", "monday", "--with", "gamma", project="beta")
    assert result.exit_code == 1
    assert "only the project that owns it may do this. (403 VolumeBackup.0042)" in result.stderr


def test_show(openvbs: Run, monday: str) -> None:
    share = printed(openvbs("share", "create", "monday", "--with", "beta", "--json"))[0]
    shown = printed(openvbs("share", "show", share["id"], "--json", project="beta"))
    assert shown["backup"]["name"] == "monday"
    assert "monday" in openvbs("share", "show", share["id"]).stdout
    result = openvbs("share", "show", share["id"], project="gamma")
    assert result.exit_code == 1
    assert "(404 VolumeBackup.0110)" in result.stderr


def test_cancel_one_share(openvbs: Run, monday: str) -> None:
    beta, gamma = printed(openvbs("share", "create", "monday", "--with", "beta", "--with", "gamma", "--json"))
    assert openvbs("share", "cancel", beta["id"]).exit_code == 0
    assert [share["id"] for share in printed(openvbs("share", "list", "--json"))] == [gamma["id"]]
    again = openvbs("share", "cancel", beta["id"])
    assert again.exit_code == 1
    assert "(404 VolumeBackup.0110)" in again.stderr


def test_cancel_all_shares_of_a_backup(openvbs: Run, monday: str) -> None:
    openvbs("share", "create", "monday", "--with", "beta", "--with", "gamma")
    assert printed(openvbs("share", "cancel", "--backup", "monday", "--json")) == {"cancelled": {"backup_id": monday}}
    assert printed(openvbs("share", "list", "--json")) == []
    assert printed(openvbs("share", "list", "--to-me", "--json", project="beta")) == []


@pytest.mark.parametrize("arguments", [[], ["a94d07c2-8b36-41fe-b2c9-5d160e7f83ab", "--backup", "monday"]])
def test_cancel_needs_exactly_one_of_id_and_backup(openvbs: Run, cloud: SmallCloud, arguments: list[str]) -> None:
    result = openvbs("share", "cancel", *arguments)
    assert result.exit_code == 2
    assert cloud.requests == []


def test_an_unknown_cloud_is_a_sentence(openvbs: Run) -> None:
    result = openvbs("share", "list", project="nowhere")
    assert result.exit_code == 1
    assert "Cloud nowhere was not found" in result.stderr
    assert "--os-cloud" in result.stderr


def test_a_wrong_password_is_a_sentence(openvbs: Run, cloud: SmallCloud) -> None:
    cloud.clouds_file.write_text(cloud.clouds_file.read_text().replace("password: secret", "password: guessed"))
    result = openvbs("share", "list")
    assert result.exit_code == 1
    assert "cloud alpha: wrong password" in result.stderr


def test_aborting_and_expiring_are_passed_on(openvbs: Run, service: Service, cloud: SmallCloud, monday: str) -> None:
    until = "2099-01-01T00:00:00"
    made = printed(openvbs("share", "create", "monday", "--with", "beta", "--expires", until, "--json"))
    assert made[0]["expires_at"] == f"{until}.000000"
    assert "2099-01-01" in openvbs("share", "show", made[0]["id"]).stdout
    restore_backup(service, caller(BETA), monday, NewRestore())
    assert openvbs("share", "cancel", made[0]["id"], "--abort-running").exit_code == 0
    assert _cancels(service) == [ABORTED_BY]
    made = printed(openvbs("share", "create", "monday", "--with", "beta", "--json"))
    restore_backup(service, caller(BETA), monday, NewRestore())
    assert openvbs("share", "cancel", "--backup", monday, "--abort-running").exit_code == 0
    assert _cancels(service) == [ABORTED_BY] * 2


def _cancels(service: Service) -> list[str]:
    with service.database.read() as connection:
        return [str(job.cancel_requested_by) for job in jobs.list_open(connection) if job.share_id]
