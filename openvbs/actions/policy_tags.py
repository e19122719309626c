"""Tags of policies: set, remove, list, and find policies by them."""

from collections.abc import Mapping, Sequence

from openvbs.actions.policies import note, policy_to_change, policy_to_read
from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import policies
from openvbs.domain.audit import AuditAction
from openvbs.domain.errors import PolicyTagNotFound, PolicyTagsExceeded
from openvbs.domain.policy import TAGS_MAX, Policy
from openvbs.domain.tags import TagQuery


def set_tags(service: Service, caller: Caller, policy_id: str, tags: Mapping[str, str]) -> None:
    """Add the tags, replacing values of those that are there; all or none.

    Raises TargetPolicyNotFound, PolicyTagsExceeded.
    """
    service.permissions.require(caller, "policy:tag")
    with service.database.write() as connection:
        policy_to_change(connection, caller, policy_id)
        count = len(policies.tags_of(connection, policy_id).keys() | tags.keys())
        if count > TAGS_MAX:
            raise PolicyTagsExceeded(TAGS_MAX, count)
        policies.put_tags(connection, policy_id, tags)
        if tags:
            note(service, connection, caller, AuditAction.POLICY_TAG, policy_id, details={"set": dict(tags)})


def remove_tags(service: Service, caller: Caller, policy_id: str, keys: Sequence[str]) -> None:
    """Remove those of the tags that are there. Raises TargetPolicyNotFound."""
    service.permissions.require(caller, "policy:tag")
    with service.database.write() as connection:
        policy_to_change(connection, caller, policy_id)
        if policies.remove_tags(connection, policy_id, keys):
            note(service, connection, caller, AuditAction.POLICY_TAG, policy_id, details={"removed": list(keys)})


def remove_tag(service: Service, caller: Caller, policy_id: str, key: str) -> None:
    """Remove one tag. Raises TargetPolicyNotFound, PolicyTagNotFound."""
    service.permissions.require(caller, "policy:tag")
    with service.database.write() as connection:
        policy_to_change(connection, caller, policy_id)
        if not policies.remove_tags(connection, policy_id, [key]):
            raise PolicyTagNotFound(key)
        note(service, connection, caller, AuditAction.POLICY_TAG, policy_id, details={"removed": [key]})


def list_tags(service: Service, caller: Caller, policy_id: str) -> dict[str, str]:
    """The policy's tags by key. Raises PolicyNotFound."""
    service.permissions.require(caller, "policy:show")
    with service.database.read() as connection:
        policy_to_read(connection, caller, policy_id)
        return policies.tags_of(connection, policy_id)


def list_all_tags(service: Service, caller: Caller) -> dict[str, list[str]]:
    """The keys of all tags in the project, each with its distinct values; all in order."""
    service.permissions.require(caller, "policy:list")
    with service.database.read() as connection:
        found = policies.tags_of_project(connection, project_id=caller.project_id)
    values: dict[str, set[str]] = {}
    for tags in found.values():
        for key, value in tags.items():
            values.setdefault(key, set()).add(value)
    return {key: sorted(values[key]) for key in sorted(values)}


def find_policies(service: Service, caller: Caller, query: TagQuery) -> list[tuple[Policy, dict[str, str]]]:
    """The project's policies that match, newest first, each with its tags."""
    service.permissions.require(caller, "policy:list")
    with service.database.read() as connection:
        listed = policies.list_all(connection, project_id=caller.project_id)
        tags = policies.tags_of_project(connection, project_id=caller.project_id)
    found = ((row.policy, tags.get(row.policy.id, {})) for row in listed)
    return [(policy, its) for policy, its in found if query.matches(policy.name, its)]
