"""The scene of the tests of cancelling: a backup that is shared twice, and everybody who looks at it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.parties import Answer, Party
from tests.support.steps import SHARING, backup

NEVER_ISSUED = "0b51c7e2-93fd-4a06-8e1b-6c2f90d7a345"
R2 = "9ad3e6014b7f4d2c8e15c0f26b98d7a1"
"""A second recipient. That no project has this id is nobody's business (row S17)."""
NOTHING: frozenset[str] = frozenset()


@dataclass
class World:
    """O is alpha, R is beta, U is gamma, Adm is admin; a backup of alpha's is shared with R and with R2."""

    alpha: Party
    beta: Party
    gamma: Party
    reader: Party
    admin: Party
    backup: str
    share: str
    share2: str
    strangers_backup: str
    """A backup of U's, shared with a project that is nobody here."""
    strangers_share: str
    spare_volume: str
    betas_volume: str
    extra: dict[str, str] = field(default_factory=dict)
    """Further shares to keep an eye on, by name."""

    def party(self, letter: str) -> Party:
        return {"O": self.alpha, "R": self.beta, "X": self.beta, "U": self.gamma, "Adm": self.admin}[letter]

    def shares(self) -> set[str]:
        return {self.share, self.share2, self.strangers_share, *self.extra.values()}


def look(world: World) -> dict[str, set[str]]:
    """Which shares each party sees, its three ways of looking at them agreeing with each other."""
    seen = {}
    for name, party in (("O", world.alpha), ("R", world.beta), ("U", world.gamma)):
        ids: set[str] = set()
        for side in ("", "?share_to_me=true"):
            rows = party.get(f"{SHARING}/detail{side}")["shared"]
            assert party.get(f"{SHARING}/count{side}") == {"count": len(rows)}
            ids |= {row["id"] for row in rows}
        for share_id in world.shares():
            assert party.send("GET", f"{SHARING}/{share_id}").status == (200 if share_id in ids else 404), share_id
        seen[name] = ids
    return seen


def refused(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message"}
    assert document["error"]["code"] == code
    assert isinstance(document["error"]["message"], str)
    assert document["error"]["message"]
    assert answer.headers["x-request-id"]


def accepted(answer: Answer) -> None:
    assert (answer.status, answer.body) == (200, b""), answer
    assert answer.headers["content-length"] == "0"
    assert "content-type" not in answer.headers
    assert answer.headers["x-request-id"]


@contextlib.contextmanager
def only(world: World, ends: frozenset[str] = NOTHING) -> Iterator[None]:
    """What is done inside ends exactly these shares, for whoever looks."""
    before = look(world)
    status = backup(world.alpha, world.backup)["status"]
    yield
    assert look(world) == {party: ids - ends for party, ids in before.items()}
    assert backup(world.alpha, world.backup)["status"] == status


def allowed(answer: Answer) -> set[str]:
    return {method.strip() for method in answer.headers["allow"].split(",")}
