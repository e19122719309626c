"""Volumes, the part of Cinder's API that backup clients use."""

from typing import Any

from openvbs.actions import metadata
from openvbs.actions import volumes as actions
from openvbs.api import query
from openvbs.api.ids import uuid_or_none
from openvbs.api.native import bodies, lists, views
from openvbs.api.wire import Answer, Call, with_job
from openvbs.domain.errors import VolumeNotFound
from openvbs.domain.volume import Volume, VolumeQuery


def create(call: Call) -> Answer:
    volume, job = actions.create_volume(call.service, call.caller, bodies.volume(call))
    return with_job(202, {"volume": views.volume(call, volume)}, job.id)


def list_summary(call: Call) -> Answer:
    return _list(call, detailed=False)


def list_detail(call: Call) -> Answer:
    return _list(call, detailed=True)


def show(call: Call) -> Answer:
    volume = actions.get_volume(call.service, call.caller, _volume_id(call))
    return Answer(200, {"volume": views.volume_detail(call, volume)})


def update(call: Call) -> Answer:
    changes = bodies.change(call, "volume")
    volume = actions.update_volume(call.service, call.caller, _volume_id(call), **changes)
    return Answer(200, {"volume": views.volume(call, volume)})


def delete(call: Call) -> Answer:
    cascade = query.qbool(query.parse(call.request.query_string), "cascade")
    job = actions.delete_volume(call.service, call.caller, _volume_id(call), cascade=cascade)
    return with_job(202, None, job.id)


def show_tags(call: Call) -> Answer:
    return Answer(
        200, {"tags": metadata.get_metadata(call.service, call.caller, metadata.VOLUME_TAGS, _volume_id(call))}
    )


def set_tags(call: Call) -> Answer:
    """What is not given goes: clients remove all by giving none."""
    given = bodies.tags(call)
    metadata.change_metadata(call.service, call.caller, metadata.VOLUME_TAGS, _volume_id(call), lambda _present: given)
    return Answer(200, {"tags": given})


def act(call: Call) -> Answer:
    """The actions of a volume that backup clients use."""
    name, value = bodies.action(call, _ACTIONS)
    return _ACTIONS[name](call, value)


def _extend(call: Call, value: Any) -> Answer:
    job = actions.extend_volume(call.service, call.caller, _volume_id(call), bodies.extend(call, value))
    return with_job(202, None, job.id)


def _set_bootable(call: Call, value: Any) -> Answer:
    actions.update_volume(call.service, call.caller, _volume_id(call), bootable=bodies.bootable(call, value))
    return Answer(200)


_ACTIONS = {"os-extend": _extend, "os-set_bootable": _set_bootable}


def _list(call: Call, *, detailed: bool) -> Answer:
    values = query.parse(call.request.query_string)
    page = actions.list_volumes(call.service, call.caller, VolumeQuery(**lists.arguments(call, lists.VOLUMES, values)))

    def view(volume: Volume) -> dict[str, object]:
        return views.volume_detail(call, volume) if detailed else views.volume_summary(call, volume)

    return lists.answer(call, lists.VOLUMES, values, page, view)


def _volume_id(call: Call) -> str:
    given_id = call.params["volume_id"]
    volume_id = uuid_or_none(given_id)
    if volume_id is None:
        raise VolumeNotFound(given_id)
    return volume_id
