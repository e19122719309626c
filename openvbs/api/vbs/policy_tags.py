"""backuppolicy/../tags, and the query for policies by their tags."""

from openvbs.actions import policy_tags as actions
from openvbs.api import query
from openvbs.api.vbs import policy_views as views
from openvbs.api.vbs import tag_bodies as bodies
from openvbs.api.vbs.policies import policy_to_change, policy_to_read
from openvbs.api.vbs.views import tag_list
from openvbs.api.wire import Answer, Call, WireError
from openvbs.domain.errors import PolicyTagNotFound


def add(call: Call) -> Answer:
    key, value = bodies.one_tag(call)
    actions.set_tags(call.service, call.caller, policy_to_change(call), {key: value})
    return Answer(204)


def remove(call: Call) -> Answer:
    """The word action is a key as any other here."""
    key = call.params.get("key", "action")
    if len(key) > bodies.OLD_KEY_CHARACTERS_MAX:
        raise WireError(400, bodies.TAG, f"A tag key has at most {bodies.OLD_KEY_CHARACTERS_MAX} characters.")
    policy_id = policy_to_change(call)
    if not query.is_storable(key):
        raise PolicyTagNotFound(key)
    actions.remove_tag(call.service, call.caller, policy_id, key)
    return Answer(204)


def list_of_policy(call: Call) -> Answer:
    tags = actions.list_tags(call.service, call.caller, policy_to_read(call))
    return Answer(200, {"tags": tag_list(tags)})


def list_all(call: Call) -> Answer:
    found = actions.list_all_tags(call.service, call.caller)
    return Answer(200, {"tags": [{"key": key, "values": values} for key, values in found.items()]})


def change(call: Call) -> Answer:
    """Many at once, all or none."""
    batch = bodies.batch(call)
    policy_id = policy_to_change(call)
    if batch.remove:
        actions.remove_tags(call.service, call.caller, policy_id, batch.remove)
    else:
        actions.set_tags(call.service, call.caller, policy_id, batch.set)
    return Answer(204)


def find(call: Call) -> Answer:
    search = bodies.search(call)
    found = actions.find_policies(call.service, call.caller, search.query)
    body: dict[str, object] = {"total_count": len(found)}
    if not search.only_count:
        page = found[search.offset : search.offset + search.limit]
        body["resources"] = [views.tagged(policy, tags) for policy, tags in page]
    return Answer(200, body)
