"""os-vendor-backup-sharing: share, list, count, show, cancel."""

from openvbs.actions import shares as actions
from openvbs.api import query
from openvbs.api.ids import uuid_or_none
from openvbs.api.paging import next_links
from openvbs.api.vbs import bodies, views
from openvbs.api.wire import BAD_REQUEST, Answer, Call, WireError
from openvbs.domain.errors import BackupNotFound, ShareNotFound
from openvbs.domain.share import ShareQuery

SORT_KEYS = ("name", "status", "size", "container_format", "disk_format", "id", "created_at", "updated_at")


def share(call: Call) -> Answer:
    backup_id, projects, expires_at = bodies.share(call, projects_max=call.service.limits.shares_per_request_max)
    shared = actions.share_backup(call.service, call.caller, backup_id, projects, expires_at=expires_at)
    return Answer(200, {"shared": [views.share(record) for record in shared]})


def list_detail(call: Call) -> Answer:
    values = query.parse(call.request.query_string)
    wanted = _share_query(values, call.settings.page_items_max)
    page = actions.list_shares(call.service, call.caller, wanted)
    viewer = call.caller.project_id
    body: dict[str, object] = {"shared": [views.shared_backup(found, viewer_project_id=viewer) for found in page.items]}
    last_id = page.items[-1].share.id if page.items else None
    if links := next_links(call, values, last_id, has_more=page.has_more):
        body["shared_links"] = links
    return Answer(200, body)


def count(call: Call) -> Answer:
    values = query.parse(call.request.query_string)
    paging = {"sort_key", "sort_dir", "limit", "offset", "marker"}
    wanted = _share_query({k: v for k, v in values.items() if k not in paging}, call.settings.page_items_max)
    return Answer(200, {"count": actions.count_shares(call.service, call.caller, wanted)})


def show(call: Call) -> Answer:
    found = actions.get_share(call.service, call.caller, _share_id(call))
    return Answer(200, {"shared": views.shared_backup(found, viewer_project_id=call.caller.project_id)})


def cancel(call: Call) -> Answer:
    """The flag alone decides what the id names; it is never guessed."""
    values = query.parse(call.request.query_string)
    is_backup_id = query.qbool(values, "is_backup_id")
    abort_running = query.qbool(values, "abort_running")
    wanted_id = _share_id(call)
    try:
        if is_backup_id:
            actions.cancel_shares_of_backup(call.service, call.caller, wanted_id, abort_running=abort_running)
        else:
            actions.cancel_share(call.service, call.caller, wanted_id, abort_running=abort_running)
    except (BackupNotFound, ShareNotFound) as error:
        message = f"No backup {'' if is_backup_id else 'sharing '}{wanted_id}."
        raise WireError(404, "VolumeBackup.0110", message) from error
    return Answer(200)


def cancel_without_id(_call: Call) -> Answer:
    """DELETE on the collection, which must never mean "cancel all"."""
    message = "The id of a sharing, or with is_backup_id=true of a backup, is required."
    raise WireError(400, "VolumeBackup.0203", message)


def _share_id(call: Call) -> str:
    given_id = call.params["share_id"]
    wanted_id = uuid_or_none(given_id)
    if wanted_id is None:
        if not given_id:
            cancel_without_id(call)
        raise WireError(400, "VolumeBackup.0204", "The id in the path must be a UUID.")
    return wanted_id


def _share_query(values: dict[str, str], items_max: int) -> ShareQuery:
    return ShareQuery(
        share_to_me=query.qbool(values, "share_to_me"),
        name_like=values.get("name") or None,
        status=values.get("status"),
        volume_id=query.lowered(values, "volume_id"),
        backup_id=query.lowered(values, "backup_id"),
        from_project_id=values.get("from_project_id"),
        to_project_id=values.get("to_project_id"),
        availability_zone=_availability_zone(values),
        sort_key=query.qchoice(values, "sort_key", SORT_KEYS, default="created_at"),
        sort_dir=query.qchoice(values, "sort_dir", ("asc", "desc"), default="desc"),
        limit=query.limit(values, items_max),
        offset=query.qint(values, "offset", default=0),
        marker=query.lowered(values, "marker"),
    )


def _availability_zone(values: dict[str, str]) -> str | None:
    """Clients send the name; the documents misspell it."""
    found = {values[key] for key in ("availability_zone", "avalilability_zone") if key in values}
    if len(found) > 1:
        raise WireError(400, BAD_REQUEST, "availability_zone and avalilability_zone are given with different values.")
    return next(iter(found), None)
