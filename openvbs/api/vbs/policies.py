"""backuppolicy and backuppolicyresources: policies, their disks, runs and retention."""

from openvbs.actions import policies as actions
from openvbs.actions import policy_tasks
from openvbs.api import query
from openvbs.api.ids import uuid_or_none
from openvbs.api.vbs import policy_bodies as bodies
from openvbs.api.vbs import policy_views as views
from openvbs.api.vbs.tag_bodies import tags_to_create
from openvbs.api.wire import Answer, Call
from openvbs.domain.errors import PolicyNotFound, TargetPolicyNotFound
from openvbs.domain.policy import TaskQuery, TaskStatus

_TASKS_DEFAULT = 20


def create(call: Call) -> Answer:
    wanted, tags = bodies.policy_to_create(call)
    policy = actions.create_policy(call.service, call.caller, wanted, tags_to_create(tags))
    return Answer(200, {"backup_policy_id": policy.id})


def list_all(call: Call) -> Answer:
    found = actions.list_policies(call.service, call.caller)
    return Answer(200, {"backup_policies": [views.policy(listed) for listed in found]})


def update(call: Call) -> Answer:
    wanted = bodies.policy_to_change(call)
    policy = actions.update_policy(call.service, call.caller, policy_to_change(call), wanted)
    return Answer(200, {"backup_policy_id": policy.id})


def delete(call: Call) -> Answer:
    actions.delete_policy(call.service, call.caller, policy_to_change(call))
    return Answer(204)


def associate(call: Call) -> Answer:
    given_id, volume_ids = bodies.association(call)
    policy_id = uuid_or_none(given_id)
    if policy_id is None:
        raise TargetPolicyNotFound(given_id)
    return Answer(200, views.associated(actions.associate(call.service, call.caller, policy_id, volume_ids)))


def disassociate(call: Call) -> Answer:
    volume_ids = bodies.disassociation(call)
    answers = actions.disassociate(call.service, call.caller, policy_to_change(call), volume_ids)
    return Answer(200, views.disassociated(answers))


def run(call: Call) -> Answer:
    """Whatever the body is; there is nothing to say in it."""
    policy_tasks.run_policy(call.service, call.caller, policy_to_change(call))
    return Answer(204)


def list_tasks(call: Call) -> Answer:
    values = query.parse(call.request.query_string)
    query.qchoice(values, "sort_key", ("created_at",), default="created_at")
    status = values.get("status")
    wanted = TaskQuery(
        task_id=query.lowered(values, "job_id"),
        status=None if status is None else query.qchoice(values, "status", tuple(TaskStatus), default=status),
        sort_dir=query.qchoice(values, "sort_dir", ("asc", "desc"), default="desc"),
        limit=min(query.qint(values, "limit", default=_TASKS_DEFAULT), call.settings.page_items_max),
        offset=query.qint(values, "offset", default=0),
        marker=query.lowered(values, "marker"),
    )
    page = policy_tasks.list_tasks(call.service, call.caller, policy_to_read(call), wanted)
    return Answer(200, {"count": page.total, "tasks": [views.task(task) for task in page.items]})


def preview_retention(call: Call) -> Answer:
    preview = policy_tasks.preview_retention(call.service, call.caller, policy_to_read(call))
    return Answer(200, views.retention_preview(preview))


def policy_to_change(call: Call) -> str:
    """The policy's id in the path; one that is none names no policy. TargetPolicyNotFound."""
    given_id = call.params["policy_id"]
    policy_id = uuid_or_none(given_id)
    if policy_id is None:
        raise TargetPolicyNotFound(given_id)
    return policy_id


def policy_to_read(call: Call) -> str:
    """The same for reading, where the contract gives another code. PolicyNotFound."""
    given_id = call.params["policy_id"]
    policy_id = uuid_or_none(given_id)
    if policy_id is None:
        raise PolicyNotFound(given_id)
    return policy_id
