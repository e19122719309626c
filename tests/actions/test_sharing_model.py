"""Sharing against a plain model: whatever is shared, cancelled, deleted and restored, or expires, in whatever order,
the database shows exactly the live grants, each party sees its own, and a use is accepted while the grant is live."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from openvbs.actions import audit, backups, restores, shares
from openvbs.domain.audit import AuditQuery
from openvbs.domain.backup import NewRestore
from openvbs.domain.errors import (
    BackupNotDeletable,
    BackupNotFound,
    BackupNotUsable,
    RecipientForbidden,
    SharedWithItself,
    ShareNotFound,
)
from openvbs.domain.share import ShareQuery
from tests.support.actions import add_backup, caller, end_job, made_service

PROJECTS = ["alpha", "beta", "gamma"]
projects = st.sampled_from(PROJECTS)
FAR = datetime.max.replace(tzinfo=UTC)


class Sharing(RuleBasedStateMachine):
    """The model: owner and state of each backup, and the live grants by id."""

    backup_ids = Bundle("backup_ids")
    share_ids = Bundle("share_ids")
    new_url: ClassVar[Callable[[], str]]

    def __init__(self) -> None:
        super().__init__()
        self.context = made_service(type(self).new_url())
        self.service = self.context.__enter__()
        self.owner: dict[str, str] = {}
        self.deleting: set[str] = set()
        self.live: dict[str, tuple[str, str]] = {}  # share id -> (backup id, recipient)
        self.ends: dict[str, datetime] = {}  # share id -> when it expires
        self.cancels = 0
        self.expired = 0

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)

    def party(self, backup_id: str, project: str) -> str:
        if self.owner[backup_id] == project:
            return "owner"
        return "recipient" if (backup_id, project) in self.live.values() else "stranger"

    def end(self, share_ids: list[str]) -> None:
        for share_id in share_ids:
            del self.live[share_id]
            self.cancels += 1

    @initialize(target=backup_ids)
    def begin_with_backups(self) -> MultipleResults[str]:
        return multiple(*[self.make_backup(project) for project in PROJECTS])

    def make_backup(self, project: str) -> str:
        backup_id = add_backup(self.service, project)
        self.owner[backup_id] = project
        return backup_id

    @rule(target=backup_ids, project=projects)
    def another_backup(self, project: str) -> str:
        return self.make_backup(project)

    @rule(
        target=share_ids,
        backup_id=backup_ids,
        to=st.lists(st.integers(1, 2), min_size=1, max_size=3),
        days=st.sampled_from([None, None, 0, 1, 2]),
    )
    def share(self, backup_id: str, to: list[int], days: int | None) -> MultipleResults[str]:
        """As the owner, with the first and second project after it, some named twice, for ever or until some noon.

        The clock ticks by seconds, and noon comes only as time_passes has it.
        """
        noon = self.service.clock.now.replace(hour=12, minute=0, second=0, microsecond=0)
        expires_at = None if days is None else noon + timedelta(days=days)
        owner = self.owner[backup_id]
        wanted = [PROJECTS[(PROJECTS.index(owner) + step) % len(PROJECTS)] for step in to]
        if backup_id in self.deleting:
            with pytest.raises(BackupNotUsable):
                shares.share_backup(self.service, caller(owner), backup_id, wanted)
            return multiple()
        granted = shares.share_backup(self.service, caller(owner), backup_id, wanted, expires_at=expires_at)
        assert [share.to_project_id for share in granted] == list(dict.fromkeys(wanted))
        before = {grant: share_id for share_id, grant in self.live.items()}
        for share in granted:
            assert share.id == before.get((backup_id, share.to_project_id), share.id)
            self.live[share.id] = (backup_id, share.to_project_id)
            if expires_at is not None:
                self.ends[share.id] = expires_at
            assert share.expires_at == self.ends.get(share.id)
        return multiple(*[share.id for share in granted])

    @rule(days=st.integers(1, 2))
    def time_passes(self, days: int) -> None:
        self.service.clock.now += timedelta(days=days)
        over = [share_id for share_id in self.live if self.ends.get(share_id, FAR) <= self.service.clock.now]
        for share_id in over:
            del self.live[share_id]
            self.expired += 1

    @rule()
    def write_down_what_expired(self) -> None:
        shares.end_all_expired(self.service)
        assert self.told("expired") == self.expired

    @rule(backup_id=backup_ids, project=projects)
    def share_what_is_not_ones_own(self, backup_id: str, project: str) -> None:
        refusals = {"stranger": BackupNotFound, "recipient": RecipientForbidden, "owner": SharedWithItself}
        to = project if self.owner[backup_id] == project else "delta"
        with pytest.raises(refusals[self.party(backup_id, project)]):
            shares.share_backup(self.service, caller(project), backup_id, ["delta", to])

    @rule(share_id=share_ids, project=projects)
    def cancel_one(self, share_id: str, project: str) -> None:
        grant = self.live.get(share_id)
        if grant is not None and project in {self.owner[grant[0]], grant[1]}:
            shares.cancel_share(self.service, caller(project), share_id)
            self.end([share_id])
        else:
            with pytest.raises(ShareNotFound):
                shares.cancel_share(self.service, caller(project), share_id)

    @rule(backup_id=backup_ids, project=projects)
    def cancel_all(self, backup_id: str, project: str) -> None:
        party = self.party(backup_id, project)
        if party == "owner":
            shares.cancel_shares_of_backup(self.service, caller(project), backup_id)
            self.end([share_id for share_id, (of, _) in self.live.items() if of == backup_id])
        else:
            with pytest.raises(BackupNotFound if party == "stranger" else RecipientForbidden):
                shares.cancel_shares_of_backup(self.service, caller(project), backup_id)

    @rule(backup_id=backup_ids, project=projects)
    def delete(self, backup_id: str, project: str) -> None:
        party = self.party(backup_id, project)
        refusals = {"stranger": BackupNotFound, "recipient": RecipientForbidden}
        refusal = refusals.get(party) or (BackupNotDeletable if backup_id in self.deleting else None)
        if refusal is None:
            backups.delete_backup(self.service, caller(project), backup_id)
            self.deleting.add(backup_id)
            self.end([share_id for share_id, (of, _) in self.live.items() if of == backup_id])
        else:
            with pytest.raises(refusal):
                backups.delete_backup(self.service, caller(project), backup_id)

    @rule(backup_id=backup_ids, project=projects)
    def restore(self, backup_id: str, project: str) -> None:
        if self.party(backup_id, project) == "stranger":
            with pytest.raises(BackupNotFound):
                restores.restore_backup(self.service, caller(project), backup_id, NewRestore())
        elif backup_id in self.deleting:
            with pytest.raises(BackupNotUsable):
                restores.restore_backup(self.service, caller(project), backup_id, NewRestore())
        else:
            _, volume, job = restores.restore_backup(self.service, caller(project), backup_id, NewRestore())
            assert volume.project_id == project
            grant = None if job.share_id is None else self.live[job.share_id]
            assert grant == (None if self.party(backup_id, project) == "owner" else (backup_id, project))
            end_job(self.service, job)

    @invariant()
    def each_project_sees_exactly_its_grants(self) -> None:
        for project in PROJECTS:
            given = shares.list_shares(self.service, caller(project), ShareQuery()).items
            taken = shares.list_shares(self.service, caller(project), ShareQuery(share_to_me=True)).items
            assert {s.share.id for s in given} == {s for s, (b, _) in self.live.items() if self.owner[b] == project}
            assert {s.share.id for s in taken} == {s for s, (_, to) in self.live.items() if to == project}
            assert shares.count_shares(self.service, caller(project), ShareQuery(share_to_me=True)) == len(taken)

    @invariant()
    def each_cancel_is_told_to_the_owner_once(self) -> None:
        assert self.told("cancelled") == self.cancels
        assert self.told("expired") <= self.expired

    def told(self, outcome: str) -> int:
        found = [audit.list_events(self.service, caller(project), AuditQuery()).items for project in PROJECTS]
        return sum(event.outcome == outcome for events in found for event in events)


def test_any_order_of_sharing_cancelling_deleting_and_restoring(new_database_url: Callable[[], str]) -> None:
    Sharing.new_url = staticmethod(new_database_url)
    run_state_machine_as_test(
        Sharing,
        settings=settings(
            max_examples=12,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
