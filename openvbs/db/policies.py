"""Policy records, their tags, and which disks they have."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openvbs.db.rows import from_value, to_value
from openvbs.db.session import lock
from openvbs.db.tables import policies, policy_resources, policy_tags
from openvbs.domain.policy import ListedPolicy, Policy
from openvbs.domain.schedule import WAIT_MAX


def insert(connection: sa.Connection, policy: Policy, tags: Mapping[str, str]) -> None:
    connection.execute(policies.insert().values(from_value(policy)))
    put_tags(connection, policy.id, tags)


def find(
    connection: sa.Connection, policy_id: str, *, project_id: str | None, for_update: bool = False
) -> Policy | None:
    """The policy, if project_id is None or owns it.

    With for_update all who change the policy, its tags or disks, or make its tasks, wait until our commit.
    """
    query = sa.select(policies).where(policies.c.id == policy_id)
    if project_id is not None:
        query = query.where(policies.c.project_id == project_id)
    row = connection.execute(lock(connection, query) if for_update else query).first()
    return None if row is None else to_value(Policy, row)


def list_all(connection: sa.Connection, *, project_id: str) -> list[ListedPolicy]:
    """The project's policies, newest first."""
    disks = (
        sa.select(sa.func.count())
        .where(policy_resources.c.policy_id == policies.c.id)
        .correlate(policies)
        .scalar_subquery()
        .label("disks")
    )
    rows = connection.execute(
        sa.select(policies, disks)
        .where(policies.c.project_id == project_id)
        .order_by(policies.c.created_at.desc(), policies.c.id.desc())
    )
    return [ListedPolicy(to_value(Policy, row), row.disks) for row in rows]


def count(connection: sa.Connection, *, project_id: str) -> int:
    return connection.scalar(sa.select(sa.func.count()).where(policies.c.project_id == project_id)) or 0


def update(connection: sa.Connection, policy_id: str, **values: Any) -> None:
    connection.execute(policies.update().where(policies.c.id == policy_id).values(**values))


def delete(connection: sa.Connection, policy_id: str) -> None:
    """Remove the policy with its tags and associations; the tasks stay until they are forgotten."""
    for column in (policy_tags.c.policy_id, policy_resources.c.policy_id, policies.c.id):
        connection.execute(sa.delete(column.table).where(column == policy_id))


def due_ids(connection: sa.Connection, now: datetime, *, limit: int) -> list[str]:
    """Policies with a due time that no task was made for yet, the earliest first; then such as wait for too long."""
    query = sa.select(policies.c.id).order_by(policies.c.next_due_at)
    due = list(connection.scalars(query.where(policies.c.next_due_at <= now).limit(limit)))
    # Not by OR, which would read the whole index at every look.
    ahead = query.where(policies.c.next_due_at > now + WAIT_MAX).limit(limit - len(due))
    return [*due, *connection.scalars(ahead)]


def disks(connection: sa.Connection, policy_id: str) -> dict[str, datetime]:
    """The volumes of the policy and since when each is on it, in the order of their ids."""
    rows = connection.execute(
        sa.select(policy_resources.c.volume_id, policy_resources.c.created_at)
        .where(policy_resources.c.policy_id == policy_id)
        .order_by(policy_resources.c.volume_id)
    )
    return dict(rows.all())


def associate(connection: sa.Connection, policy_id: str, volume_ids: Collection[str], *, now: datetime) -> None:
    """Put the volumes on the policy, away from the one that each was on. Their rows must be locked."""
    if volume_ids:
        connection.execute(policy_resources.delete().where(policy_resources.c.volume_id.in_(volume_ids)))
        rows = [{"volume_id": i, "policy_id": policy_id, "created_at": now} for i in sorted(volume_ids)]
        connection.execute(policy_resources.insert(), rows)


def disassociate(connection: sa.Connection, policy_id: str, volume_ids: Collection[str]) -> set[str]:
    """Take the volumes off the policy; gives those that were on it."""
    ours = sa.and_(policy_resources.c.policy_id == policy_id, policy_resources.c.volume_id.in_(volume_ids))
    return set(connection.scalars(policy_resources.delete().where(ours).returning(policy_resources.c.volume_id)))


def release_volume(connection: sa.Connection, volume_id: str) -> None:
    """Take the volume off whatever policy it is on."""
    connection.execute(policy_resources.delete().where(policy_resources.c.volume_id == volume_id))


def tags_of(connection: sa.Connection, policy_id: str) -> dict[str, str]:
    """The policy's tags, by key."""
    rows = connection.execute(
        sa.select(policy_tags.c.key, policy_tags.c.value).where(policy_tags.c.policy_id == policy_id)
    )
    return dict(sorted(rows.all()))


def tags_of_project(connection: sa.Connection, *, project_id: str) -> dict[str, dict[str, str]]:
    """The tags of all policies of the project that have any, by policy and key."""
    rows = connection.execute(
        sa.select(policy_tags).join(policies, policies.c.id == policy_tags.c.policy_id).where(
            policies.c.project_id == project_id
        )
    )  # fmt: skip
    found: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: str(row.key)):
        found.setdefault(row.policy_id, {})[row.key] = row.value
    return found


def put_tags(connection: sa.Connection, policy_id: str, tags: Mapping[str, str]) -> None:
    """Set the tags, replacing values of those that are there. The policy's row must be locked or new."""
    remove_tags(connection, policy_id, list(tags))
    if tags:
        rows = [{"policy_id": policy_id, "key": key, "value": value} for key, value in tags.items()]
        connection.execute(policy_tags.insert(), rows)


def remove_tags(connection: sa.Connection, policy_id: str, keys: Sequence[str]) -> int:
    """Remove the tags of these keys; gives how many there were."""
    ours = sa.and_(policy_tags.c.policy_id == policy_id, policy_tags.c.key.in_(keys))
    return connection.execute(policy_tags.delete().where(ours)).rowcount
