"""One of everything that a project can have, for tests of who may see and do what with it."""

from dataclasses import dataclass, field
from typing import Any

from openvbs.actions import snapshots
from openvbs.actions.policy_tags import set_tags
from openvbs.actions.service import Service, new_id
from openvbs.actions.shares import share_backup
from openvbs.db import volumes
from tests.support.actions import add_backup, add_volume, caller, end_job
from tests.support.policies import add_policy
from tests.support.wsgi import Answer, Client

NEVER_ISSUED = "4f7d20b6-6c1e-4b8a-9a35-e08d1c93f562"
ROLES = {"reader": "reader", "admin": "admin,member,reader"}


@dataclass
class World:
    """A project with a backup that is shared with a recipient, and three others, each with a volume and no more."""

    service: Service
    app: Any
    things: dict[str, str] = field(default_factory=dict)
    """Ids by their names in targets and bodies."""

    def __post_init__(self) -> None:
        self.owner, self.recipient, self.other, self.home = (new_id().replace("-", "") for _ in range(4))
        who, service = caller(self.owner), self.service
        self.own = {
            project: add_volume(service, project) for project in (self.owner, self.recipient, self.other, self.home)
        }
        backup = add_backup(service, self.owner, tags={"a": "b"}, metadata={"a": "b"})
        running = add_backup(service, self.owner, status="creating")
        job = service.queue.jobs[-1]
        (share,) = share_backup(service, who, backup, [self.recipient])
        volume = add_volume(service, self.owner)
        policy = add_policy(service, who, volume)
        set_tags(service, who, policy.id, {"a": "b"})
        snapshot, making = snapshots.create_snapshot(service, who, volume_id=add_volume(service, self.owner))
        end_job(service, making)
        with service.database.write() as connection:
            volumes.update_snapshot(
                connection,
                snapshot.id,
                from_status=["creating"],
                status="available",
                metadata={"a": "b"},
                now=service.clock(),
            )
        self.things = {
            "backup": backup,
            "running": running,
            "job": job.id,
            "share": share.id,
            "volume": volume,
            "policy": policy.id,
            "snapshot": snapshot.id,
        }

    def client(self, role: str) -> Client:
        project = {"recipient": self.recipient, "other": self.other, "admin": self.home}.get(role, self.owner)
        return Client(self.app, project, roles=ROLES.get(role, "member,reader"))

    def send(self, role: str, method: str, target: str, body: object, **instead: str) -> Answer:
        """The request as this role makes it: ``{thing}`` is an id, ``{mine}`` a volume of the caller's own."""
        client = self.client(role)
        words = {"p": client.project_id, "mine": self.own[client.project_id], **self.things, **instead}
        headers = {"OpenStack_API_Version": "volume 3.64"}
        if role == "no token":
            headers |= {"X_Identity_Status": "Invalid", "X_Auth_Token": ""}
        return client.send(method, filled(target, words), body=filled(body, words), **headers)


def filled(value: Any, words: dict[str, str]) -> Any:
    """The value with ``{word}`` in its texts replaced."""
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(f"{{{word}}}", text)
        return value
    if isinstance(value, dict):
        return {key: filled(inner, words) for key, inner in value.items()}
    return [filled(inner, words) for inner in value] if isinstance(value, list) else value
