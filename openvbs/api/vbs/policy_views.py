"""Policies, their tasks and what their retention will do, as the VBS dialect shows them."""

from typing import Any

from openvbs.api.times import t3, t3_or_none, t6, t6_or_none
from openvbs.api.vbs.views import tag_list
from openvbs.domain.policy import Associated, ListedPolicy, Policy, PolicyTask, Refusal, RetentionPreview
from openvbs.domain.retention import Forecast, Why
from openvbs.domain.schedule import DEFAULT_TIME_ZONE

_RESOURCE_TYPE = "volume"
_POD = "pod01."
_REFUSALS = {
    Refusal.UNKNOWN: ("AutoBackup.1400", "The disk cannot be {}: there is none of this id {}."),
    Refusal.BAD_STATE: ("AutoBackup.0206", "The disk cannot be {}: its state does not allow it."),
}
_WHY = {
    Why.MANUAL: "Made by hand; policies never delete such backups.",
    Why.OTHER_POLICY: "Made by another policy.",
    Why.BEING_MADE: "Still being made.",
    Why.BEING_DELETED: "Being deleted already.",
    Why.NEWEST: "The newest whole backup of the disk always stays.",
    Why.WITHIN_NUMBER: "Among the {number} newest.",
    Why.WITHIN_DAYS: "Younger than {days} days.",
    Why.FIRST_OF_MONTH: "The first of the current month, which stays during that month.",
    Why.RESTORING: "A restore of yours reads it; the run after the restore takes it.",
    Why.ONLY_FAILED: "It failed, and stays until a newer one is whole.",
    Why.FAILED: "It failed and a newer one is whole.",
    Why.DAMAGED: "It was whole and is damaged; it goes when a whole one of its age would.",
    Why.BEYOND_NUMBER: "Not among the {number} newest.",
    Why.BEYOND_DAYS: "Not younger than {days} days.",
}


def policy(listed: ListedPolicy) -> dict[str, Any]:
    """A policy. Of the alternatives only those that are set; texts as they were given. Ours: share_with."""
    record = listed.policy
    return {
        "backup_policy_id": record.id,
        "backup_policy_name": record.name,
        "scheduled_policy": _schedule(record),
        "policy_resource_count": listed.volumes_count,
        "time_zone": record.time_zone or DEFAULT_TIME_ZONE,
        **({"share_with": record.share_with} if record.share_with else {}),
    }


def _schedule(record: Policy) -> dict[str, Any]:
    values = {
        "start_time": record.start_time,
        "frequency": record.every_days,
        "week_frequency": record.weekdays,
        "rentention_num": record.keep_number,
        "rentention_day": record.keep_days,
        "remain_first_backup_of_curMonth": "Y" if record.keep_first_of_month else "N",
        "status": "ON" if record.is_on else "OFF",
    }
    return {key: value for key, value in values.items() if value is not None}


def associated(answers: list[Associated]) -> dict[str, Any]:
    """What became of each disk. Clients tell success from failure by the presence of a code."""
    shown = [(answer, _resource(answer) | _refusal(answer, "associated", "in this project")) for answer in answers]
    return _by_outcome(shown)


def disassociated(answers: list[Associated]) -> dict[str, Any]:
    """What became of each disk."""
    shown = [
        (answer, {"resource_id": answer.volume_id} | _refusal(answer, "disassociated", "on this policy"))
        for answer in answers
    ]
    return _by_outcome(shown)


def _by_outcome(shown: list[tuple[Associated, dict[str, Any]]]) -> dict[str, Any]:
    return {
        "success_resources": [item for answer, item in shown if answer.refusal is None],
        "fail_resources": [item for answer, item in shown if answer.refusal is not None],
    }


def _resource(answer: Associated) -> dict[str, Any]:
    zone = None if answer.volume is None else answer.volume.availability_zone
    return {
        "resource_id": answer.volume_id,
        "resource_type": _RESOURCE_TYPE,
        "availability_zone": zone,
        "os_vol_host_attr": None if zone is None else f"{_POD}{zone}",
    }


def _refusal(answer: Associated, verb: str, where: str) -> dict[str, str]:
    if answer.refusal is None:
        return {}
    code, message = _REFUSALS[answer.refusal]
    return {"code": code, "message": message.format(verb, where)}


def task(record: PolicyTask) -> dict[str, Any]:
    """A task. ``fail_reason`` is an extension of ours: why it failed, waited in vain or was skipped."""
    return {
        "job_id": record.id,
        "status": record.status,
        "created_at": t3(record.created_at),
        "finished_at": t3_or_none(record.finished_at),
        "backup_name": record.backup_name,
        "resource_id": record.volume_id,
        "resource_type": _RESOURCE_TYPE,
        "vbs_job_id": record.job_id,
        "fail_reason": record.reason,
    }


def tagged(record: Policy, tags: dict[str, str]) -> dict[str, Any]:
    """A policy that a query found."""
    return {"resource_id": record.id, "resource_name": record.name, "resource_detail": None, "tags": tag_list(tags)}


def retention_preview(preview: RetentionPreview) -> dict[str, Any]:
    """For each disk what will become of every backup. An extension of ours."""
    return {
        "backup_policy_id": preview.policy.id,
        "as_of": t6(preview.as_of),
        "next_run_at": t6_or_none(preview.next_run_at),
        "resources": [
            {
                "resource_id": volume_id,
                "resource_type": _RESOURCE_TYPE,
                "associated": volume_id in preview.associated,
                "backups": [_forecast(forecast, preview) for forecast in forecasts],
            }
            for volume_id, forecasts in preview.disks.items()
        ],
    }


def _forecast(forecast: Forecast, preview: RetentionPreview) -> dict[str, Any]:
    backup = forecast.backup
    goes_next = forecast.goes_at is not None and forecast.goes_at == preview.next_run_at
    return {
        "backup_id": backup.id,
        "name": backup.name,
        "status": backup.status,
        "created_at": t6(backup.created_at),
        "action": "delete" if goes_next else "keep",
        "delete_at": t6_or_none(forecast.goes_at),
        "why": forecast.why,
        "explanation": _explanation(forecast, preview),
    }


def _explanation(forecast: Forecast, preview: RetentionPreview) -> str:
    policy_record = preview.policy
    text = _WHY[forecast.why].format(number=policy_record.keep_number, days=policy_record.keep_days)
    if forecast.goes_at is None and forecast.backup.policy_id == policy_record.id:
        if not policy_record.is_on:
            return f"{text} The policy is off, so it deletes nothing."
        if forecast.backup.volume_id not in preview.associated:
            return f"{text} The disk is no longer on the policy, so it deletes nothing."
    return text
