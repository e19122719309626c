"""Collections beside everything else, in any order, against a plain model: a dictionary of backups.

Work can stand still with its lease held, and one operation can be carried out in the middle of another one, before any
call of its store: every order of writes that two processes can come to is an order of these steps.
"""

import contextlib

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openvbs.engine.leases import EXPIRE_SECONDS
from openvbs.engine.repository import open_repository
from openvbs.engine.verdicts import VERDICT_KEPT_SECONDS
from openvbs.stores.base import StoreError
from tests.support.processes import Processes
from tests.support.repositories import ROOT_KEY

CONTENTS = ["a", "ab", "abcd", "d0"]
"""Volumes with much in common, so that work often relies on what other work stored."""
FEATURES = ["clock", "deaths", "hints", "interrupts", "plans", "restores"]

BETWEEN = ["back up", "begin", "finish", "delete", "collect", "condemn", "sleep"]
BEGINNINGS = [
    [],
    [(0, "back up")],
    # All that is stored is condemned, and a backup that relies on it has not ended...
    [(0, "back up"), (1, "begin"), (0, "delete"), (0, "collect")],
    # ... or has ended just now.
    [(0, "back up"), (1, "begin"), (0, "delete"), (0, "collect"), (1, "finish")],
    # The same, and the next backup of that volume takes it over by hints.
    [
        (0, "back up"),
        (1, "begin"),
        (0, "delete"),
        (0, "collect"),
        (1, "finish"),
        (0, "begin with hints"),
    ],
    # Or has ended, and is being restored.
    [(0, "back up"), (1, "begin"), (0, "delete"), (0, "collect"), (1, "finish"), (0, "begin restore")],
    # Two copies of every block, condemned one after the other, while somebody works who relies on one of them.
    [(0, "store twice"), (0, "finish"), (1, "begin"), (0, "collect"), (0, "delete"), (0, "collect")],
]
"""Where what goes wrong begins: got there by the same steps as any other state."""
WHICH = st.integers(0, 11)
"""Which of what there is, counted around."""


class Collecting(Processes, RuleBasedStateMachine):
    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Processes.__init__(self)

    @initialize(
        features=st.frozensets(st.sampled_from([*FEATURES, "interrupts"]), max_size=3),
        contents=st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=3, unique=True),
        beginning=st.sampled_from(BEGINNINGS),
    )
    def choose(self, features, contents, beginning):
        """A run with few kinds of steps and volumes gets further with them than one with all."""
        self.features, self.contents = features, contents
        for process, what in beginning:
            self._do(process, what, 0)

    def teardown(self) -> None:
        try:
            self._end_all()
            self._see_that_nothing_is_left()
        finally:
            self.close()

    @invariant()
    def every_backup_is_whole(self):
        self.see_that_every_backup_is_whole()

    # In which order. Rules whose turn it is not do nothing: which ones there are must not depend on how threads ran.

    @rule(process=st.integers(0, 1), which=WHICH)
    def back_up(self, process, which):
        self._back_up(process, self._letters(which), hints="hints" in self.features)

    @rule(process=st.integers(0, 1), which=WHICH)
    def begin(self, process, which):
        self._begin(process, self._letters(which), hints="hints" in self.features)

    @rule(which=WHICH)
    def finish(self, which):
        self._finish(which)

    @rule(process=st.integers(0, 1), which=WHICH, alike=st.booleans())
    def delete(self, process, which, alike):
        if alike:
            self._delete_alike(process, which)
        else:
            self._delete(process, which)

    @rule(process=st.integers(0, 1))
    def collect(self, process):
        self._collect(process)

    @rule(process=st.integers(0, 1))
    def condemn(self, process):
        self._condemn(process)

    @rule(process=st.integers(0, 1))
    def let_go(self, process):
        self._let_go(process)

    @precondition(lambda self: "restores" in self.features)
    @rule(process=st.integers(0, 1), which=WHICH)
    def begin_restore(self, process, which):
        self._begin_restore(process, which)

    @precondition(lambda self: "plans" in self.features)
    @rule(process=st.integers(0, 1))
    def plan(self, process):
        self._plan(process)

    @precondition(lambda self: "plans" in self.features)
    @rule(process=st.integers(0, 1))
    def apply(self, process):
        self._apply(process)

    @precondition(lambda self: "clock" in self.features)
    @rule(seconds=st.sampled_from([EXPIRE_SECONDS + 1, VERDICT_KEPT_SECONDS + 1]), noticed=st.booleans())
    def step_clock(self, seconds, noticed):
        self._step_clock(seconds, noticed=noticed)

    @precondition(lambda self: "clock" in self.features)
    @rule(process=st.integers(0, 1))
    def collect_while_all_others_sleep(self, process):
        self._step_clock(EXPIRE_SECONDS + 1, noticed=False)
        self._delete_all(process)
        self._collect(process)
        for which in range(len(self.standing)):
            self._renew(which)

    @precondition(lambda self: "clock" in self.features)
    @rule(which=WHICH)
    def renew(self, which):
        self._renew(which)

    @precondition(lambda self: "interrupts" in self.features)
    @rule(
        first=st.sampled_from(["collect", "collect", "back up", "begin"]),
        calls=st.integers(0, 5) | st.integers(0, 30),
        only_writes=st.booleans(),
        between=st.lists(st.sampled_from(BETWEEN), min_size=1, max_size=3),
        which=WHICH,
    )
    def do_in_the_middle(self, first, calls, only_writes, between, which):
        """One process does something, and before a call of its store others do something else."""
        self._do_in_the_middle(first, calls // 2 if only_writes else calls, between, which, only_writes=only_writes)

    @precondition(lambda self: "interrupts" in self.features)
    @rule(calls=st.integers(0, 3), which=WHICH)
    def begin_while_all_is_being_condemned(self, calls, which):
        self._finish_all()
        self._back_up(0, self._letters(which // 3), hints=False)
        self._do_in_the_middle("begin", calls, ["condemn"], which, only_writes=True)

    @precondition(lambda self: "interrupts" in self.features)
    @rule(calls=st.integers(3, 8), what=st.sampled_from(["begin", "begin", "back up"]), which=WHICH)
    def collect_while_others_begin(self, calls, what, which):
        self._finish_all()
        self._back_up(0, self._letters(which), hints=False)
        self._delete_all(0)
        self._do_in_the_middle("collect", calls, [what], which, only_writes=True)

    @precondition(lambda self: "interrupts" in self.features)
    @rule(calls=st.integers(0, 5), which=WHICH)
    def stand_still_while_all_is_collected(self, calls, which):
        self._do_in_the_middle("back up", calls, ["sleep", "delete", "collect"], which, only_writes=True)

    @precondition(lambda self: "deaths" in self.features)
    @rule(first=st.sampled_from(["collect", "back up"]), calls=st.integers(0, 40), which=WHICH)
    def die(self, first, calls, which):
        """A process dies before a call; whether its backup became one is for the store to say."""
        store, repository = self.stores[2], self.processes[2]

        def die() -> None:
            raise StoreError("dead")

        store.at_call(calls, die, only_writes=False)
        with contextlib.suppress(StoreError):
            self._do(2, first, which // 3)
        store.disarm()
        with contextlib.suppress(KeyError, ValueError):
            repository.close()
        self.processes[2] = open_repository(store, ROOT_KEY)
        for standing in [standing for standing in self.standing if standing.process == 2]:
            self.standing.remove(standing)
            standing.lease._stop.set()
        for record in self.processes[2].list_backups():
            if record.facts.backup_id not in self.stored.backups:
                self._record(record.facts.backup_id, self._letters(which // 3))
