"""Every option with its default, range and help. docs/operations.md lists the same; a test compares them."""

from importlib import import_module

from oslo_config import cfg

from openvbs.domain.audit import AuditRules
from openvbs.domain.limits import Limits
from openvbs.domain.policy import Missed, RunRules
from openvbs.units import KIB, MIB

AUTHTOKEN_GROUP = "keystone_authtoken"
_LIMITS = Limits()
_RUN_RULES = RunRules()
_AUDIT_RULES = AuditRules()

_DEFAULT = [
    cfg.StrOpt("data_dir", help="Folder of everything that the service keeps on this machine. Made with mode 0700."),
    cfg.StrOpt("listen", default="127.0.0.1:8776", help="ADDRESS:PORT of the API."),
    cfg.StrOpt(
        "public_url",
        help="Base URL that clients use, for the catalog and for links. Default: that of listen."
        " Required when that is 0.0.0.0 or [::].",
    ),
    cfg.StrOpt(
        "identity_listen",
        help="ADDRESS:PORT of the embedded Keystone. Default: the host of listen, its next port.",
    ),
    cfg.StrOpt(
        "identity_public_url",
        help="Base URL of the embedded Keystone as clients and the API itself reach it."
        " Default: the host of public_url with the port of identity_listen.",
    ),
    cfg.StrOpt("tls_cert", help="PEM file with the certificate chain. With it both servers speak TLS only."),
    cfg.StrOpt("tls_key", help="PEM file with the private key of tls_cert."),
    cfg.StrOpt(
        "tls_ca",
        help="PEM file that clients check the certificate with. Default: tls_cert itself when it is"
        " self-signed, else the system's authorities.",
    ),
    cfg.StrOpt("log_level", default="info", choices=["debug", "info", "warning", "error"], help="Least level logged."),
]
_DATABASE = [
    cfg.StrOpt(
        "connection",
        secret=True,
        help="SQLAlchemy URL: sqlite:////path or postgresql+psycopg://user:password@host/name."
        " Default: openvbs.db in data_dir.",
    ),
]
_STORE = [
    cfg.StrOpt("url", help="Where backups lie: a folder or s3://bucket/prefix. Default: store in data_dir."),
    cfg.StrOpt("root_key_file", help="The key that all backups depend on. Default: root.key in data_dir."),
]
_WORKER = [
    cfg.IntOpt("jobs_at_once", default=4, min=1, max=64, help="Jobs that one worker runs side by side."),
]
_LIMIT_OPTIONS = [
    cfg.IntOpt(
        "token_cache_time",
        default=60,
        min=0,
        help="Seconds that a validated token is trusted; a revoked one is refused after at most this time.",
    ),
    cfg.IntOpt(
        "body_bytes_max",
        default=_LIMITS.body_bytes_max,
        min=KIB,
        max=64 * MIB,
        help="Size of a request body.",
    ),
    cfg.IntOpt(
        "page_items_max",
        default=_LIMITS.page_items_max,
        min=1,
        max=10000,
        help="Items on one page of a list.",
    ),
    cfg.IntOpt(
        "backups_per_volume_max",
        default=_LIMITS.backups_per_volume_max,
        min=-1,
        help="Backups of one volume made by hand; -1: any.",
    ),
    cfg.IntOpt(
        "shares_per_request_max",
        default=_LIMITS.shares_per_request_max,
        min=1,
        max=1000,
        help="Projects that one request shares with.",
    ),
    cfg.IntOpt(
        "shares_per_backup_max",
        default=_LIMITS.shares_per_backup_max,
        min=-1,
        help="Projects that one backup is shared with; -1: any number.",
    ),
    cfg.IntOpt("policies_max", default=_LIMITS.policies_max, min=-1, help="Policies of one project; -1: any number."),
    cfg.IntOpt(
        "volumes_per_policy_max",
        default=_LIMITS.volumes_per_policy_max,
        min=-1,
        help="Disks of one policy; -1: any number.",
    ),
    cfg.IntOpt("volume_gib_max", default=_LIMITS.volume_gib_max, min=1, help="Size of one volume in GiB."),
    cfg.IntOpt("volumes_max", default=_LIMITS.volumes_max, min=-1, help="Volumes of one project; -1: any number."),
    cfg.IntOpt("snapshots_max", default=_LIMITS.snapshots_max, min=-1, help="Snapshots of one project; -1: any."),
    cfg.IntOpt(
        "gigabytes_max",
        default=_LIMITS.gigabytes_max,
        min=-1,
        help="GiB of the volumes and snapshots of one project; -1: any.",
    ),
    cfg.IntOpt("backups_max", default=_LIMITS.backups_max, min=-1, help="Backups of one project; -1: any number."),
    cfg.IntOpt(
        "backup_gigabytes_max",
        default=_LIMITS.backup_gigabytes_max,
        min=-1,
        help="GiB of the backed-up volumes of one project, counted once per backup; -1: any.",
    ),
]
_POLICIES = [
    cfg.StrOpt(
        "missed",
        default=_RUN_RULES.missed.value,
        choices=[choice.value for choice in Missed],
        help="What to do about due times that passed while no worker ran: run once for the newest of them and record"
        " the others as SKIP, or skip all.",
    ),
    cfg.IntOpt(
        "wait_seconds_max",
        default=_RUN_RULES.wait_seconds_max,
        min=0,
        help="Seconds that a run waits for a disk that is busy with something else than a backup.",
    ),
    cfg.IntOpt(
        "tasks_kept_days", default=_RUN_RULES.tasks_kept_days, min=1, max=3650, help="Days that tasks are kept."
    ),
]
_AUDIT = [
    cfg.IntOpt(
        "keep_days",
        default=_AUDIT_RULES.keep_days,
        min=0,
        max=36500,
        help="Days that audit events are kept; 0: for ever.",
    ),
    cfg.StrOpt("notify_file", help="File to which workers append each audit event as a line of CADF. Default: none."),
]
_POLICY = [
    cfg.StrOpt("policy_file", help="YAML file that overrides rules of authorization (oslo.policy). Default: none."),
]

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": _DEFAULT,
    "database": _DATABASE,
    "store": _STORE,
    "worker": _WORKER,
    "limits": _LIMIT_OPTIONS,
    "policies": _POLICIES,
    "audit": _AUDIT,
    "oslo_policy": _POLICY,
}


def authtoken_options() -> frozenset[str]:
    """What keystonemiddleware knows in [keystone_authtoken], with the options of its password plugin."""
    # Imported here: it takes half a second, and only an external Keystone needs it.
    loading = import_module("keystoneauth1.loading")
    opts = import_module("keystonemiddleware.opts")
    options = [option for _, group in opts.list_auth_token_opts() for option in group]
    options += loading.get_auth_common_conf_options() + loading.get_auth_plugin_conf_options("password")
    names = {option.dest for option in options}
    return frozenset(names | {d.name.replace("-", "_") for o in options for d in o.deprecated_opts if d.name})
