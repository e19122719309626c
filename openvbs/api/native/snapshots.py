"""Snapshots of volumes, the part of Cinder's API that backup clients use."""

from openvbs.actions import snapshots as actions
from openvbs.api import query
from openvbs.api.ids import uuid_or_none
from openvbs.api.native import bodies, lists, views
from openvbs.api.wire import Answer, Call, with_job
from openvbs.domain.errors import SnapshotNotFound
from openvbs.domain.volume import Snapshot, VolumeQuery


def create(call: Call) -> Answer:
    snapshot, job = actions.create_snapshot(call.service, call.caller, **bodies.snapshot(call))
    return with_job(202, {"snapshot": views.snapshot_summary(snapshot)}, job.id)


def list_summary(call: Call) -> Answer:
    return _list(call, detailed=False)


def list_detail(call: Call) -> Answer:
    return _list(call, detailed=True)


def show(call: Call) -> Answer:
    snapshot = actions.get_snapshot(call.service, call.caller, _snapshot_id(call))
    return Answer(200, {"snapshot": views.snapshot_detail(snapshot, call.version)})


def update(call: Call) -> Answer:
    changes = bodies.change(call, "snapshot")
    snapshot = actions.update_snapshot(call.service, call.caller, _snapshot_id(call), **changes)
    return Answer(200, {"snapshot": views.snapshot_summary(snapshot)})


def delete(call: Call) -> Answer:
    job = actions.delete_snapshot(call.service, call.caller, _snapshot_id(call))
    return with_job(202, None, job.id)


def _list(call: Call, *, detailed: bool) -> Answer:
    values = query.parse(call.request.query_string)
    page = actions.list_snapshots(
        call.service, call.caller, VolumeQuery(**lists.arguments(call, lists.SNAPSHOTS, values))
    )

    def view(snapshot: Snapshot) -> dict[str, object]:
        return views.snapshot_detail(snapshot, call.version) if detailed else views.snapshot_summary(snapshot)

    return lists.answer(call, lists.SNAPSHOTS, values, page, view)


def _snapshot_id(call: Call) -> str:
    given_id = call.params["snapshot_id"]
    snapshot_id = uuid_or_none(given_id)
    if snapshot_id is None:
        raise SnapshotNotFound(given_id)
    return snapshot_id
