"""Policies and a clock that was wrong for a moment."""

from datetime import datetime

import pytest

from openvbs.actions.service import Service
from tests.support.actions import add_volume, caller
from tests.support.policies import DAY, DUE, HOUR, START, Workers, add_policy, tasks_of, utc

ALPHA = caller("alpha")


@pytest.mark.parametrize("wrong", [START + 100 * DAY, utc("2038-01-19T03:14")])
def test_a_look_with_a_clock_far_ahead_silences_no_policy(
    service: Service, workers: Workers, wrong: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"))
    workers.run_at(wrong)
    workers.at(START + HOUR)
    assert "a clock was wrong" in caplog.text
    for day in range(20):
        workers.run_at(DUE + day * DAY)
    ran = {task.due_at for task in tasks_of(service, ALPHA, policy.id) if task.status == "EXECUTE_SUCCESS"}
    assert ran >= {DUE + day * DAY for day in range(20)}
