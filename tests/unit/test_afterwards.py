"""Work behind requests: in order, not in the caller's way, and never silent about a bug."""

import logging
import threading

import pytest

from openvbs.actions.afterwards import Afterwards
from tests.support.waiting import until


def test_nobody_waits_and_the_order_stays() -> None:
    afterwards, gate, done = Afterwards(), threading.Event(), []
    afterwards.do(lambda: done.append(gate.wait(60)))
    for number in range(5):
        afterwards.do(lambda number=number: done.append(number))
    assert done == []
    gate.set()
    until(lambda: len(done) == 6, what="all is done")
    assert done == [True, 0, 1, 2, 3, 4]


def test_a_bug_is_logged_and_the_rest_is_done(caplog: pytest.LogCaptureFixture) -> None:
    afterwards, done = Afterwards(), threading.Event()

    def broken() -> None:
        raise RuntimeError("a bug")

    with caplog.at_level(logging.ERROR):
        afterwards.do(broken)
        afterwards.do(done.set)
        assert done.wait(60)
    assert "a bug" in caplog.text
