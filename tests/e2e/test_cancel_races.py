"""Cancelling at the same time as something else: rows C1 to C14 of the decision table."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import pytest

from tests.support.parties import Answer, Party
from tests.support.steps import (
    SHARING,
    cancel,
    cancel_all,
    delete_backup,
    events,
    gone,
    new_backup,
    new_volume,
    share,
    start_delete,
    succeeded,
)

T = TypeVar("T")
ROUNDS = 8
"""How often two requests are sent at once; which of them comes first differs from round to round."""


def at_once(actions: Sequence[Callable[[], T]]) -> list[T]:
    """What each of them returned, all begun at the same moment in threads of their own."""
    start = threading.Barrier(len(actions))
    results: dict[int, T] = {}

    def run(number: int, action: Callable[[], T]) -> None:
        start.wait()
        results[number] = action()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(actions))]


@pytest.fixture(scope="module")
def volume(alpha: Party) -> str:
    return new_volume(alpha)


@pytest.fixture
def backup(alpha: Party, volume: str) -> Iterator[str]:
    backup_id = new_backup(alpha, volume, "raced")
    yield backup_id
    if alpha.send("GET", f"/v2/{{p}}/backups/{backup_id}").status == 200:
        delete_backup(alpha, backup_id)


def ends_of(alpha: Party, share_id: str) -> list[str]:
    """The audit events that say that this share ended."""
    return [e["action"] for e in events(alpha, share_id=share_id) if e["action"] in {"share.cancel", "share.decline"}]


def live(owner: Party, backup_id: str) -> set[str]:
    return {row["id"] for row in owner.get(f"{SHARING}/detail?backup_id={backup_id}")["shared"]}


def received(recipient: Party, backup_id: str) -> list[str]:
    rows = recipient.get(f"{SHARING}/detail?share_to_me=true&backup_id={backup_id}")["shared"]
    return [row["id"] for row in rows]


def is_gone(answer: Answer) -> bool:
    return answer.status == 404 and answer.code == "VolumeBackup.0110"


def test_c1_hundred_cancels_of_one_share(alpha: Party, beta: Party, backup: str) -> None:
    (share_id,) = share(alpha, backup, beta)
    answers = at_once([partial(cancel, alpha, share_id)] * 100)
    assert Counter((answer.status, answer.code) for answer in answers) == {
        (200, None): 1,
        (404, "VolumeBackup.0110"): 99,
    }
    assert ends_of(alpha, share_id) == ["share.cancel"]
    assert live(alpha, backup) == set()


def test_c1_owner_and_recipient(alpha: Party, beta: Party, backup: str) -> None:
    for _ in range(ROUNDS):
        (share_id,) = share(alpha, backup, beta)
        answers = at_once([partial(cancel, alpha, share_id), partial(cancel, beta, share_id)])
        assert sorted(answer.status for answer in answers) == [200, 404]
        winner = "share.cancel" if answers[0].status == 200 else "share.decline"
        assert ends_of(alpha, share_id) == [winner]


def test_c2_two_cancels_of_all(alpha: Party, beta: Party, backup: str) -> None:
    for _ in range(ROUNDS):
        shares = share(alpha, backup, beta, "r2", "r3")
        answers = at_once([partial(cancel, alpha, backup, "?is_backup_id=true")] * 2)
        assert [answer.status for answer in answers] == [200, 200]
        assert [ends_of(alpha, share_id) for share_id in shares] == [["share.cancel"]] * 3
        assert live(alpha, backup) == set()


def test_c3_one_against_all(alpha: Party, beta: Party, backup: str) -> None:
    for _ in range(ROUNDS):
        shares = share(alpha, backup, beta, "r2")
        one, every = at_once([partial(cancel, alpha, shares[0]), partial(cancel, alpha, backup, "?is_backup_id=true")])
        assert every.status == 200
        assert one.status == 200 or is_gone(one)
        assert [ends_of(alpha, share_id) for share_id in shares] == [["share.cancel"]] * 2
        assert live(alpha, backup) == set()


def test_c4_cancel_all_against_sharing(alpha: Party, beta: Party, backup: str) -> None:
    """A share committed before the cancel ends with it, one committed after survives; there is no third way."""
    body = {"shared": {"backup_id": backup, "to_project_ids": [beta.project_id, "r2", "r3"]}}
    for _ in range(ROUNDS):
        shared, every = at_once(
            [
                partial(alpha.send, "POST", SHARING, json_body=body),
                partial(cancel, alpha, backup, "?is_backup_id=true"),
            ]
        )
        assert (shared.status, every.status) == (200, 200)
        made = {row["id"] for row in shared.json()["shared"]}
        left = live(alpha, backup)
        assert left in (set(), made), "a cancel by backup id left a part of one request's shares"
        assert [len(ends_of(alpha, share_id)) for share_id in made] == [0 if left else 1] * 3
        cancel_all(alpha, backup)


@pytest.mark.parametrize("flag", [False, True], ids=["C5-share", "C5-backup"])
def test_cancel_against_deletion(alpha: Party, beta: Party, volume: str, flag: bool) -> None:
    for _ in range(4):
        backup_id = new_backup(alpha, volume, "raced")
        (share_id,) = share(alpha, backup_id, beta)
        job_id, answer = at_once(
            [
                partial(start_delete, alpha, backup_id),
                partial(cancel, alpha, *((backup_id, "?is_backup_id=true") if flag else (share_id,))),
            ]
        )
        assert isinstance(answer, Answer)
        assert answer.status == 200 or is_gone(answer)
        succeeded(alpha, str(job_id))
        gone(alpha, f"/v2/{{p}}/backups/{backup_id}")
        assert ends_of(alpha, share_id) == ["share.cancel"]
        assert beta.get(f"{SHARING}/detail?share_to_me=true&backup_id={backup_id}") == {"shared": []}


def test_c6_reads_are_before_or_after(alpha: Party, beta: Party, backup: str) -> None:
    """From the answer on no reader meets the share again, whatever way it looks."""
    for _ in range(ROUNDS):
        (share_id,) = share(alpha, backup, beta)
        answers = at_once(
            [
                partial(cancel, alpha, share_id),
                partial(beta.send, "GET", f"{SHARING}/{share_id}"),
                partial(beta.send, "GET", f"/v3/{{p}}/backups/{backup}"),
            ]
        )
        assert answers[0].status == 200
        assert {answer.status for answer in answers[1:]} <= {200, 404}
        for target in (f"{SHARING}/{share_id}", f"/v2/{{p}}/backups/{backup}", f"/v3/{{p}}/backups/{backup}"):
            assert beta.send("GET", target).status == 404
        assert beta.get(f"{SHARING}/count?share_to_me=true&backup_id={backup}") == {"count": 0}


def test_c7_restore_is_admitted_before_the_cancel_or_refused(alpha: Party, beta: Party, backup: str) -> None:
    target = new_volume(beta)
    for _ in range(ROUNDS):
        (share_id,) = share(alpha, backup, beta)
        body = {"restore": {"volume_id": target}}
        cancelled, restore = at_once(
            [
                partial(cancel, alpha, share_id),
                partial(beta.send, "POST", f"/v2/{{p}}/cloudbackups/{backup}/restore", json_body=body),
            ]
        )
        assert cancelled.status == 200
        if restore.status == 200:
            succeeded(beta, restore.json()["job_id"])
        else:
            assert (restore.status, restore.code) == (404, "VolumeBackup.0111")
        late = beta.send("POST", f"/v2/{{p}}/cloudbackups/{backup}/restore", json_body=body)
        assert (late.status, late.code) == (404, "VolumeBackup.0111")


def test_c9_repeated(alpha: Party, beta: Party, backup: str) -> None:
    (share_id,) = share(alpha, backup, beta)
    assert [cancel(alpha, share_id).status for _ in range(4)] == [200, 404, 404, 404]
    assert [cancel(alpha, backup, "?is_backup_id=true").status for _ in range(4)] == [200] * 4
    assert ends_of(alpha, share_id) == ["share.cancel"]


def test_c13_shared_again(alpha: Party, beta: Party, backup: str) -> None:
    """Share, cancel, share ends shared: under a new id, and the old one is dead for ever."""
    (first,) = share(alpha, backup, beta)
    assert cancel(alpha, first).status == 200
    assert beta.send("GET", f"/v2/{{p}}/backups/{backup}").status == 404
    (second,) = share(alpha, backup, beta)
    assert second != first
    assert is_gone(cancel(alpha, first))
    assert is_gone(cancel(beta, first))
    assert is_gone(alpha.send("GET", f"{SHARING}/{first}"))
    assert live(alpha, backup) == {second}
    assert received(beta, backup) == [second]
    assert beta.send("GET", f"/v2/{{p}}/backups/{backup}").status == 200


def test_c13_share_asked_for_twice_keeps_its_id(alpha: Party, beta: Party, backup: str) -> None:
    (first,) = share(alpha, backup, beta)
    assert share(alpha, backup, "r2", beta, beta)[1] == first
    answers = at_once([partial(share, alpha, backup, "r3", "r4")] * 6)
    assert len({tuple(ids) for ids in answers}) == 1
    assert len(live(alpha, backup)) == 4


def test_c14_shares_of_two_backups_are_independent(alpha: Party, beta: Party, volume: str, backup: str) -> None:
    other = new_backup(alpha, volume, "other")
    share(alpha, backup, beta)
    (kept,) = share(alpha, other, beta)
    cancel_all(alpha, backup)
    assert live(alpha, other) == {kept}
    assert (received(beta, backup), received(beta, other)) == ([], [kept])
    delete_backup(alpha, other)
