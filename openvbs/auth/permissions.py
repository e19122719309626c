"""What a role may do: oslo.policy rules with defaults in code, which the operator's policy.yaml may override."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from oslo_config import cfg
from oslo_policy import policy

from openvbs.auth.caller import Caller
from openvbs.domain.errors import Forbidden

ANYONE = "rule:project_reader"
WRITER = "rule:project_writer"
ADMIN = "rule:admin_required"

_BASE = (
    policy.RuleDefault("admin_required", "role:admin", "A cloud administrator."),
    # A project-scoped token always carries a role, so whoever got here may read.
    policy.RuleDefault("project_reader", "@", "Any role in the project."),
    policy.RuleDefault("project_writer", "role:member or role:admin", "Who may change what the project owns."),
)

_ANSWERS_KEPT_MAX = 1024

_V2 = "/v2/{project_id}"
_V3 = "/v3/{project_id}"
_POLICY = f"{_V2}/backuppolicy/{{id}}"

# action: (rule, what it allows, ((method, path), ...))
ACTIONS: Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "backup:list": (ANYONE, "List backups.", (("GET", f"{_V3}/backups"), ("GET", f"{_V3}/backups/detail"))),
        "backup:show": (
            ANYONE,
            "Show a backup or its tags.",
            (("GET", f"{_V3}/backups/{{id}}"), ("GET", f"{_V2}/cloudbackups/{{id}}/tags")),
        ),
        "backup:create": (
            WRITER,
            "Create a backup.",
            (("POST", f"{_V3}/backups"), ("POST", f"{_V2}/cloudbackups")),
        ),
        "backup:update": (WRITER, "Rename or describe a backup.", (("PUT", f"{_V3}/backups/{{id}}"),)),
        "backup:delete": (
            WRITER,
            "Delete a backup.",
            (
                ("DELETE", f"{_V3}/backups/{{id}}"),
                ("POST", f"{_V2}/cloudbackups/{{id}}"),
                ("DELETE", f"{_V2}/cloudbackups/{{id}}"),
            ),
        ),
        "backup:restore": (
            WRITER,
            "Restore a backup.",
            (("POST", f"{_V3}/backups/{{id}}/restore"), ("POST", f"{_V2}/cloudbackups/{{id}}/restore")),
        ),
        "backup:copy": (WRITER, "Keep a copy of a backup.", (("POST", f"{_V2}/cloudbackups/{{id}}/copy"),)),
        "backup:export": (
            ADMIN,
            "Export the record of a backup.",
            (("GET", f"{_V3}/backups/{{id}}/export_record"),),
        ),
        "backup:import": (ADMIN, "Import the record of a backup.", (("POST", f"{_V3}/backups/import_record"),)),
        "backup:administer": (
            ADMIN,
            "Reset the status of a backup, or delete it whatever its status.",
            (("POST", f"{_V3}/backups/{{id}}/action"),),
        ),
        "share:list": (
            ANYONE,
            "List and count shares.",
            (
                ("GET", f"{_V2}/os-vendor-backup-sharing/detail"),
                ("GET", f"{_V2}/os-vendor-backup-sharing/count"),
            ),
        ),
        "share:show": (ANYONE, "Show a share.", (("GET", f"{_V2}/os-vendor-backup-sharing/{{id}}"),)),
        "share:create": (WRITER, "Share a backup.", (("POST", f"{_V2}/os-vendor-backup-sharing"),)),
        "share:cancel": (
            WRITER,
            "Cancel a share, or give one up.",
            (("DELETE", f"{_V2}/os-vendor-backup-sharing/{{id}}"),),
        ),
        "job:list": (ANYONE, "List jobs.", (("GET", f"{_V2}/jobs"),)),
        "job:show": (
            ANYONE,
            "Show a job.",
            (("GET", "/v1/{project_id}/jobs/{id}"), ("GET", f"{_V2}/jobs/{{id}}")),
        ),
        "job:cancel": (WRITER, "Cancel a running backup or restore.", (("DELETE", f"{_V2}/jobs/{{id}}"),)),
        "audit:list": (ANYONE, "Read the project's audit events.", (("GET", f"{_V2}/audit-events"),)),
        "quota:show": (
            ANYONE,
            "Show the project's quotas, limits and usage.",
            (
                ("GET", f"{_V2}/cloudbackups/quota"),
                ("GET", f"{_V2}/usage"),
                ("GET", f"{_V3}/os-quota-sets/{{id}}"),
                ("GET", f"{_V3}/os-quota-sets/{{id}}/defaults"),
                ("GET", f"{_V3}/limits"),
            ),
        ),
        "quota:update": (
            ADMIN,
            "Set a project's quotas, or let it have the defaults again.",
            (("PUT", f"{_V3}/os-quota-sets/{{id}}"), ("DELETE", f"{_V3}/os-quota-sets/{{id}}")),
        ),
        "policy:list": (
            ANYONE,
            "List backup policies and their tags, and find them by tags.",
            (
                ("GET", f"{_V2}/backuppolicy"),
                ("GET", f"{_V2}/backuppolicy/tags"),
                ("POST", f"{_V2}/backuppolicy/resource_instances/action"),
            ),
        ),
        "policy:show": (
            ANYONE,
            "Show the tags, the tasks and the coming retention of a backup policy.",
            (
                ("GET", f"{_POLICY}/tags"),
                ("GET", f"{_POLICY}/backuptasks"),
                ("GET", f"{_POLICY}/retention-preview"),
            ),
        ),
        "policy:create": (WRITER, "Create a backup policy.", (("POST", f"{_V2}/backuppolicy"),)),
        "policy:update": (WRITER, "Change, enable or disable a backup policy.", (("PUT", _POLICY),)),
        "policy:delete": (WRITER, "Delete a backup policy.", (("DELETE", _POLICY),)),
        "policy:associate": (
            WRITER,
            "Put volumes on a backup policy.",
            (("POST", f"{_V2}/backuppolicyresources"),),
        ),
        "policy:disassociate": (
            WRITER,
            "Take volumes off a backup policy.",
            (("POST", f"{_V2}/backuppolicyresources/{{id}}/deleted_resources"),),
        ),
        "policy:run": (WRITER, "Run a backup policy now.", (("POST", f"{_POLICY}/action"),)),
        "policy:tag": (
            WRITER,
            "Change the tags of a backup policy.",
            (
                ("POST", f"{_POLICY}/tags"),
                ("POST", f"{_POLICY}/tags/action"),
                ("DELETE", f"{_POLICY}/tags/{{key:path}}"),
            ),
        ),
        "volume:list": (ANYONE, "List volumes.", (("GET", f"{_V3}/volumes"), ("GET", f"{_V3}/volumes/detail"))),
        "volume:show": (
            ANYONE,
            "Show a volume, or its tags.",
            (("GET", f"{_V3}/volumes/{{id}}"), ("GET", f"{_V2}/os-vendor-tags/volumes/{{id}}")),
        ),
        "volume:create": (WRITER, "Create a volume.", (("POST", f"{_V3}/volumes"),)),
        "volume:update": (
            WRITER,
            "Rename, describe or tag a volume.",
            (("PUT", f"{_V3}/volumes/{{id}}"), ("PUT", f"{_V2}/os-vendor-tags/volumes/{{id}}")),
        ),
        "volume:delete": (WRITER, "Delete a volume.", (("DELETE", f"{_V3}/volumes/{{id}}"),)),
        "volume:extend": (WRITER, "Extend a volume.", (("POST", f"{_V3}/volumes/{{id}}/action"),)),
        "snapshot:list": (
            ANYONE,
            "List snapshots.",
            (("GET", f"{_V3}/snapshots"), ("GET", f"{_V3}/snapshots/detail")),
        ),
        "snapshot:show": (ANYONE, "Show a snapshot.", (("GET", f"{_V3}/snapshots/{{id}}"),)),
        "snapshot:create": (WRITER, "Create a snapshot.", (("POST", f"{_V3}/snapshots"),)),
        "snapshot:update": (WRITER, "Rename or describe a snapshot.", (("PUT", f"{_V3}/snapshots/{{id}}"),)),
        "snapshot:delete": (WRITER, "Delete a snapshot.", (("DELETE", f"{_V3}/snapshots/{{id}}"),)),
    }
)


def defaults() -> list[policy.RuleDefault]:
    """Every rule with its default, as oslo.policy's sample generator and the enforcer take them."""
    return [
        *_BASE,
        *(
            policy.DocumentedRuleDefault(name, rule, text, [{"method": m, "path": p} for m, p in operations])
            for name, (rule, text, operations) in ACTIONS.items()
        ),
    ]


class Permissions:
    """Answers whether a caller's roles allow an action. The policy file is read again when it changes."""

    def __init__(self, policy_file: Path | None = None) -> None:
        """Raises what oslo.policy raises when the file is missing or malformed."""
        if policy_file is not None and not policy_file.is_file():
            raise cfg.ConfigFilesNotFoundError([str(policy_file)])
        conf = cfg.ConfigOpts()
        conf([], project="openvbs", default_config_files=[], default_config_dirs=[])
        rules = defaults()
        self._enforcer = policy.Enforcer(
            conf,
            policy_file=str(policy_file) if policy_file else None,
            # Without a file nothing may be picked up from the folders that oslo.policy would search.
            use_conf=policy_file is not None,
            rules=None if policy_file else {rule.name: rule.check for rule in rules},
        )
        conf.set_override("policy_dirs", [], group="oslo_policy")
        self._enforcer.register_defaults(rules)
        self._enforcer.load_rules()
        # Our own rules look at roles only, so an answer holds for ever. The operator's may look at anything.
        self._by_roles = None if policy_file else lru_cache(_ANSWERS_KEPT_MAX)(self._ask_by_roles)

    def require(self, caller: Caller, action: str) -> None:
        """Nothing if the caller may do it, else Forbidden. An unknown action is our own bug."""
        assert action in ACTIONS, action
        allowed = self._by_roles(action, caller.roles) if self._by_roles else self._ask(action, caller)
        if not allowed:
            raise Forbidden(f"None of your roles in this project allows {action}.")

    def _ask(self, action: str, caller: Caller) -> bool:
        creds = {
            "roles": sorted(caller.roles),
            "user_id": caller.user_id,
            "project_id": caller.project_id,
            "is_admin": caller.is_admin,
        }
        return bool(self._enforcer.enforce(action, {"project_id": caller.project_id}, creds))

    def _ask_by_roles(self, action: str, roles: frozenset[str]) -> bool:
        return bool(self._enforcer.enforce(action, {}, {"roles": sorted(roles)}))
