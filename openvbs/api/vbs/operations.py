"""The handlers of the VBS dialect, described."""

from openvbs.api.operation import Items, Operation, Page, Query, Schema, Under
from openvbs.api.query import INTEGER, LIMIT, MARKER, OFFSET, SORT_DIR
from openvbs.api.vbs import audit, backups, body_schemas, jobs, policies, policy_tags, shares, shown
from openvbs.api.wire import Handler
from openvbs.domain.policy import TaskStatus

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_BACKUP_ID = Query("backup_id", _TEXT)
_VOLUME_ID = Query("volume_id", _TEXT)

_SHARE_FILTERS = (
    Query("share_to_me", _FLAG, "What the project was given, instead of what it gave."),
    Query("name", _TEXT, "Part of the backup's name."),
    Query("status", _TEXT, "Of the backup."),
    _VOLUME_ID,
    _BACKUP_ID,
    Query("from_project_id", _TEXT),
    Query("to_project_id", _TEXT),
    Query("availability_zone", _TEXT, "Also as avalilability_zone, as the contract spells it."),
)
_SHARE_PAGE = (
    Query("sort_key", {"enum": list(shares.SORT_KEYS)}, "name, status and size are the backup's."),
    SORT_DIR,
    LIMIT,
    OFFSET,
    MARKER,
)
_TASK_QUERY = (
    Query("sort_key", {"enum": ["created_at"]}),
    SORT_DIR,
    Query("limit", INTEGER, "20 when it is not given."),
    OFFSET,
    MARKER,
    Query("job_id", _TEXT, "Of the task."),
    Query("status", {"enum": list(TaskStatus)}),
)
_TAGS_CHANGED = Operation(summary="Remove a tag of a policy.", answers={204: None})

OPERATIONS: dict[Handler, Operation] = {
    jobs.show: Operation(summary="Show a job.", answers={200: shown.Job}),
    jobs.cancel: Operation(
        summary="Cancel a backup or restore that has not ended. It ends as FAIL within seconds.",
        answers={202: shown.Job},
        refusals=(409,),
    ),
    jobs.list_page: Operation(
        summary="List the project's jobs, the newest first.",
        answers={200: Page("jobs", shown.Job)},
        query=(Query("status", _TEXT), Query("job_type", _TEXT), _BACKUP_ID, _VOLUME_ID, LIMIT, MARKER),
    ),
    audit.list_page: Operation(
        summary="List what was done with the project's backups, shares and policies, the newest first.",
        answers={200: Page("audit_events", shown.AuditEvent)},
        query=(_BACKUP_ID, Query("share_id", _TEXT), Query("policy_id", _TEXT), LIMIT, MARKER),
    ),
    backups.create: Operation(
        summary="Back up a volume, or a snapshot of it.",
        body=body_schemas.CREATE_BACKUP,
        answers={200: shown.JobAccepted},
        refusals=(409,),
    ),
    backups.delete: Operation(
        summary="Delete a backup. Its shares end with it.", answers={200: shown.JobAccepted}, refusals=(409,)
    ),
    backups.restore: Operation(
        summary="Restore a backup, own or shared, into a volume of the project.",
        body=body_schemas.RESTORE_TARGET,
        answers={200: shown.JobAccepted},
        refusals=(409,),
    ),
    backups.show_tags: Operation(summary="List the tags of a backup.", answers={200: shown.Tags}),
    backups.copy: Operation(
        summary="Keep a copy of a backup, own or shared, that survives the share.",
        body=body_schemas.COPY,
        body_required=False,
        answers={200: shown.CopyAccepted},
        refusals=(409,),
    ),
    backups.quota: Operation(summary="Show the quotas for backups.", answers={200: Under("quotas", shown.Quotas)}),
    backups.usage: Operation(summary="Show what the backups take up.", answers={200: Under("usage", shown.Usage)}),
    shares.share: Operation(
        summary="Share a backup with other projects. It copies nothing.",
        body=body_schemas.SHARE,
        answers={200: Under("shared", Items(shown.Share))},
        refusals=(409,),
    ),
    shares.cancel_without_id: Operation(summary="Always refused: an id is needed. This never means all."),
    shares.list_detail: Operation(
        summary="List the shares that the project gave, or was given.",
        answers={200: Page("shared", shown.ShareWithBackup)},
        query=(*_SHARE_FILTERS, *_SHARE_PAGE),
    ),
    shares.count: Operation(
        summary="Count the shares that the project gave, or was given.",
        answers={200: shown.CountOnly},
        query=_SHARE_FILTERS,
    ),
    shares.show: Operation(
        summary="Show a share and its backup.", answers={200: Under("shared", shown.ShareWithBackup)}
    ),
    shares.cancel: Operation(
        summary="Cancel one share; or, with is_backup_id=true, all shares of a backup.",
        answers={200: None},
        query=(
            Query("is_backup_id", _FLAG, "The id in the path is a backup's."),
            Query("abort_running", _FLAG, "Stop what the recipient is restoring."),
        ),
    ),
    policies.create: Operation(
        summary="Create a backup policy.", body=body_schemas.CREATE_POLICY, answers={200: shown.PolicyAccepted}
    ),
    policies.list_all: Operation(summary="List the project's policies.", answers={200: shown.Policies}),
    policies.update: Operation(
        summary="Change what is given of a policy.",
        body=body_schemas.CHANGE_POLICY,
        answers={200: shown.PolicyAccepted},
    ),
    policies.delete: Operation(summary="Delete a policy. Its backups stay.", answers={204: None}, refusals=(409,)),
    policies.run: Operation(summary="Run a policy now.", answers={204: None}, refusals=(409,)),
    policies.list_tasks: Operation(
        summary="List the runs of a policy, disk by disk.", answers={200: shown.Tasks}, query=_TASK_QUERY
    ),
    policies.preview_retention: Operation(
        summary="Show which backups a policy will delete, when, and why it keeps each other one.",
        answers={200: shown.RetentionPreview},
    ),
    policies.associate: Operation(
        summary="Put volumes on a policy; the answer says what became of each.",
        body=body_schemas.ASSOCIATION,
        answers={200: shown.Associations},
    ),
    policies.disassociate: Operation(
        summary="Take volumes off a policy; the answer says what became of each.",
        body=body_schemas.DISASSOCIATION,
        answers={200: shown.Disassociations},
    ),
    policy_tags.list_all: Operation(summary="List all tags of the project's policies.", answers={200: shown.AllTags}),
    policy_tags.list_of_policy: Operation(summary="List the tags of a policy.", answers={200: shown.Tags}),
    policy_tags.add: Operation(summary="Set a tag of a policy.", body=body_schemas.ONE_TAG, answers={204: None}),
    policy_tags.change: Operation(
        summary="Set or remove tags of a policy, all or none.", body=body_schemas.BATCH, answers={204: None}
    ),
    policy_tags.remove: _TAGS_CHANGED,
    policy_tags.find: Operation(
        summary="Find or count policies by their tags and names.",
        body=body_schemas.SEARCH,
        answers={200: shown.FoundPolicies},
    ),
}
