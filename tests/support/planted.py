"""Bugs to plant in collecting, each of which loses data or space: the model must find every one of them."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest

from openvbs.engine import collect, verdicts
from openvbs.engine.condemned import CandidatesContent, pack_texts
from openvbs.engine.format import LEASES
from openvbs.engine.ids import new_object_id
from openvbs.engine.index import Index
from openvbs.engine.leases import Lease, holding, survey_leases
from openvbs.engine.marking import Marking
from openvbs.engine.parent import ParentTree
from openvbs.engine.repository import Repository
from tests.support import processes

Plant = Callable[[pytest.MonkeyPatch], None]


def writer_relies_on_condemned_packs(patch: pytest.MonkeyPatch) -> None:
    """I6."""
    patch.setattr(Index, "find_lasting", Index.find)


def index_is_read_before_the_lease(patch: pytest.MonkeyPatch) -> None:
    """I6."""

    @contextmanager
    def working(self, purpose):
        self.refresh()
        with holding(self.store, self.codec, purpose) as lease:
            yield lease

    patch.setattr(Repository, "working", working)


def hints_are_trusted_while_something_is_condemned(patch: pytest.MonkeyPatch) -> None:
    """I7."""
    init = ParentTree.__init__

    def trusting(self, repository, tree, shape):
        init(self, repository, tree, shape)
        self.may_trust = True

    patch.setattr(ParentTree, "__init__", trusting)


def nothing_is_spared(patch: pytest.MonkeyPatch) -> None:
    """I8: what became needed after the plan."""
    patch.setattr(
        collect,
        "decide",
        lambda repository, undecided, _needed, living: verdicts.decide(repository, undecided, set(), living),
    )


def leases_are_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """I8."""

    def survey(store, codec, *, own, now):
        return replace(survey_leases(store, codec, own=own, now=now), living={})

    patch.setattr(verdicts, "survey_leases", survey)


def leases_are_listed_before_the_candidates_are_stored(patch: pytest.MonkeyPatch) -> None:
    """I8."""

    def condemn(repository, packs):
        living = sorted(info.name[len(LEASES) :] for info in repository.store.list(LEASES))
        packs = frozenset(packs) - repository.index.condemned
        if packs:
            content = CandidatesContent(pack_texts(packs), living)
            verdicts._put_candidates(repository, new_object_id(), content)

    patch.setattr(collect, "condemn", condemn)


def backups_are_walked_before_the_leases_are_gone(patch: pytest.MonkeyPatch) -> None:
    """I8."""
    early: dict[int, Marking] = {}
    copy_needed = collect._copy_needed

    def copy(repository, plan, checkpoint):
        early[id(repository)] = Marking(repository, checkpoint)
        return copy_needed(repository, plan, checkpoint)

    def marking(repository, checkpoint):
        return early.pop(id(repository), None) or Marking(repository, checkpoint)

    def planned(repository):
        early.pop(id(repository), None)
        return plan(repository)

    plan = processes.plan_collection
    patch.setattr(processes, "plan_collection", planned)
    patch.setattr(collect, "_copy_needed", copy)
    patch.setattr(collect, "Marking", marking)


def a_condemned_copy_counts_as_a_good_one(patch: pytest.MonkeyPatch) -> None:
    """I8: of two copies of a block, both condemned, both go."""
    mark = Marking._mark

    def marked(self, block_id):
        before = self.needed_condemned.copy()
        is_new = mark(self, block_id)
        if len({place.pack_id for run in self._runs for _, place in run.find(block_id)}) > 1:
            self.needed_condemned = before
        return is_new

    patch.setattr(Marking, "_mark", marked)


def a_lapsed_writer_commits(patch: pytest.MonkeyPatch) -> None:
    """I10."""
    patch.setattr(Lease, "check_stored", Lease.check)


def a_renewal_brings_a_deleted_lease_back(patch: pytest.MonkeyPatch) -> None:
    """I10."""

    def renew(self):
        self._store.put(self._name, self._sealed())
        return self._store.stat(self._name).modified_at

    patch.setattr(Lease, "_renew_once", renew)


def a_writer_does_not_look_again_after_its_commit(patch: pytest.MonkeyPatch) -> None:
    """I10: it stood still just before."""
    check_stored = Lease.check_stored
    looked: set[str] = set()

    def only_once(self):
        if self.lease_id not in looked:
            looked.add(self.lease_id)
            check_stored(self)

    patch.setattr(Lease, "check_stored", only_once)


def restores_hold_no_lease(patch: pytest.MonkeyPatch) -> None:
    """I8."""
    working = Repository.working

    @contextmanager
    def without(self, purpose):
        with working(self, purpose) as lease:
            if purpose == "restore":
                self.store.delete(lease._name)
                with patch.context() as only_here:
                    only_here.setattr(lease, "check_stored", lambda: None)
                    yield lease
            else:
                yield lease

    patch.setattr(Repository, "working", without)


def a_verdict_waits_for_nobody(patch: pytest.MonkeyPatch) -> None:
    """I8: a restore reads a backup that relied on condemned packs and was deleted before the verdict."""
    patch.setattr(
        collect,
        "decide",
        lambda repository, undecided, needed, _living: verdicts.decide(repository, undecided, needed, []),
    )


def expired_leases_are_kept(patch: pytest.MonkeyPatch) -> None:
    """Space: who died keeps everything for ever."""

    def survey(store, codec, *, own, now):
        return survey_leases(store, codec, own=own, now=0.0)

    patch.setattr(verdicts, "survey_leases", survey)


def packs_go_before_the_segments(patch: pytest.MonkeyPatch) -> None:
    """I11: the index names what is gone."""
    patch.setattr(verdicts, "_replace_segments", lambda _repository, _segments, _without: None)


PLANTED: list[Plant] = [
    writer_relies_on_condemned_packs,
    hints_are_trusted_while_something_is_condemned,
    index_is_read_before_the_lease,
    nothing_is_spared,
    leases_are_not_waited_for,
    leases_are_listed_before_the_candidates_are_stored,
    backups_are_walked_before_the_leases_are_gone,
    a_condemned_copy_counts_as_a_good_one,
    a_lapsed_writer_commits,
    a_renewal_brings_a_deleted_lease_back,
    a_writer_does_not_look_again_after_its_commit,
    restores_hold_no_lease,
    a_verdict_waits_for_nobody,
    expired_leases_are_kept,
    packs_go_before_the_segments,
]
