"""Jobs: show at /v1 and /v2; list and cancel are extensions of ours at /v2."""

from openvbs.actions import jobs as actions
from openvbs.api import query
from openvbs.api.ids import job_id_or_none
from openvbs.api.paging import next_links
from openvbs.api.vbs import views
from openvbs.api.wire import Answer, Call
from openvbs.domain.errors import JobNotFound
from openvbs.domain.job import JobQuery


def show(call: Call) -> Answer:
    return Answer(200, views.job(actions.get_job(call.service, call.caller, _job_id(call))))


def cancel(call: Call) -> Answer:
    """The job as it is now; it ends as FAIL within seconds."""
    return Answer(202, views.job(actions.cancel_job(call.service, call.caller, _job_id(call))))


def list_page(call: Call) -> Answer:
    values = query.parse(call.request.query_string)
    wanted = JobQuery(
        status=values.get("status"),
        kind=values.get("job_type"),
        backup_id=query.lowered(values, "backup_id"),
        volume_id=query.lowered(values, "volume_id"),
        limit=query.limit(values, call.settings.page_items_max),
        marker=query.lowered(values, "marker"),
    )
    page = actions.list_jobs(call.service, call.caller, wanted)
    body: dict[str, object] = {"jobs": [views.job(job) for job in page.items]}
    if links := next_links(call, values, page.items[-1].id if page.items else None, has_more=page.has_more):
        body["jobs_links"] = links
    return Answer(200, body)


def _job_id(call: Call) -> str:
    given_id = call.params["job_id"]
    job_id = job_id_or_none(given_id)
    if job_id is None:
        raise JobNotFound(given_id)
    return job_id
