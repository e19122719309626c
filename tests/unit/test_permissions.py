"""What each role may do, and how an operator changes that."""

import os
from pathlib import Path

import pytest
from oslo_config import cfg

from openvbs.auth.caller import Caller
from openvbs.auth.permissions import ACTIONS, ADMIN, Permissions
from openvbs.domain.errors import Forbidden

READS = {name for name in ACTIONS if name.split(":")[1] in {"list", "show"}}
ADMINISTERS = {name for name, (rule, _, _) in ACTIONS.items() if rule == ADMIN}
WRITES = set(ACTIONS) - READS - ADMINISTERS


def caller(*roles: str) -> Caller:
    return Caller(
        project_id="p",
        token_project_id="p",
        user_id="u",
        roles=frozenset(roles),
        is_admin="admin" in roles,
        request_id="r",
    )


def allowed(permissions: Permissions, who: Caller, action: str) -> bool:
    try:
        permissions.require(who, action)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("roles", "may"),
    [
        (("reader",), READS),
        (("backup_readonly",), READS),
        (("anything",), READS),
        (("member",), READS | WRITES),
        (("member", "reader"), READS | WRITES),
        (("admin",), READS | WRITES | ADMINISTERS),
    ],
)
def test_roles(roles: tuple[str, ...], may: set[str]) -> None:
    permissions = Permissions()
    assert {action for action in ACTIONS if allowed(permissions, caller(*roles), action)} == may


def test_an_operators_file_wins_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"share:create": "role:sharer"\n')
    permissions = Permissions(file)
    assert not allowed(permissions, caller("member"), "share:create")
    assert allowed(permissions, caller("sharer"), "share:create")
    assert allowed(permissions, caller("member"), "backup:create"), "the rest keeps its default"
    file.write_text('"share:create": "@"\n')
    later = file.stat().st_mtime + 10
    os.utime(file, (later, later))
    assert allowed(permissions, caller("reader"), "share:create")


def test_a_file_that_is_missing_or_broken_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(cfg.ConfigFilesNotFoundError):
        Permissions(tmp_path / "nothing.yaml")
    broken = tmp_path / "policy.yaml"
    broken.write_text("{ not: [yaml")
    with pytest.raises(ValueError, match="yaml"):
        Permissions(broken)


def test_no_policy_file_lying_about_is_picked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oslo.policy would look here, if it were let."""
    (tmp_path / ".openvbs").mkdir()
    (tmp_path / ".openvbs" / "policy.yaml").write_text('"backup:delete": "@"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not allowed(Permissions(), caller("reader"), "backup:delete")


def test_beside_an_operators_file_nothing_is_picked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oslo.policy adds what is in a folder policy.d, unless it is told otherwise."""
    (tmp_path / ".openvbs" / "policy.d").mkdir(parents=True)
    (tmp_path / ".openvbs" / "policy.d" / "more.yaml").write_text('"backup:delete": "@"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "policy.yaml").write_text('"share:create": "role:sharer"\n')
    assert not allowed(Permissions(tmp_path / "policy.yaml"), caller("reader"), "backup:delete")
