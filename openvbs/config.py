"""One frozen ``Config``, read once from command line, environment and files, in that order of authority.

INI files and ``OS_<GROUP>__<OPTION>`` variables as every OpenStack service has them. A key that nobody knows
is refused, since a misspelt option that silently does nothing is how a service runs unprotected.
"""

import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from oslo_config import cfg

from openvbs.config_options import AUTHTOKEN_GROUP, OPTIONS, authtoken_options
from openvbs.domain.audit import AuditRules
from openvbs.domain.limits import Limits
from openvbs.domain.policy import Missed, RunRules
from openvbs.errors import OpenVbsError

REGION = "RegionOne"
_PORT_MAX = 65535


class ConfigError(OpenVbsError):
    """The operator must change a setting; the text names the option and the rule."""

    def __init__(self, option: str, rule: str) -> None:
        super().__init__(f"{option}: {rule}")
        self.option = option


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    """An IP address."""
    port: int

    def __str__(self) -> str:
        return _with_port(self.host, self.port)

    @property
    def is_wildcard(self) -> bool:
        """True for 0.0.0.0 and ::, which no client can connect to by that name."""
        return ipaddress.ip_address(self.host).is_unspecified

    @property
    def from_here(self) -> "Address":
        """How a process on this machine reaches it."""
        if not self.is_wildcard:
            return self
        return Address("::1" if ":" in self.host else "127.0.0.1", self.port)


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate chain and key as PEM files; ``ca`` is what clients must be given to trust it, if any."""

    cert: Path
    key: Path
    ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings, checked. Its repr holds no secret."""

    data_dir: Path
    listen: Address
    public_url: str
    """The base that clients see, without a trailing slash."""
    identity_listen: Address
    identity_public_url: str
    """Base of the embedded Keystone, or the configured auth_url of an external one; without ``/v3``."""
    tls: Tls | None
    log_level: str
    with_demo_projects: bool
    database_url: str = field(repr=False)
    store_url: str
    root_key_file: Path
    jobs_at_once: int
    token_cache_seconds: int
    limits: Limits
    run_rules: RunRules
    audit_rules: AuditRules
    notify_file: Path | None
    policy_file: Path | None
    authtoken: Mapping[str, str] = field(repr=False)
    """[keystone_authtoken] as configured; empty when the embedded Keystone is used."""
    config_files: tuple[Path, ...]

    @property
    def identity_embedded(self) -> bool:
        """True when ``serve`` starts a Keystone of its own."""
        return not self.authtoken

    @property
    def identity_dir(self) -> Path:
        """Everything that the embedded Keystone keeps."""
        return self.data_dir / "keystone"

    @property
    def passwords_file(self) -> Path:
        """The passwords of the accounts that we make in the embedded Keystone."""
        return self.data_dir / "passwords.json"

    @property
    def clouds_file(self) -> Path:
        return self.data_dir / "clouds.yaml"

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


def read_config(
    config_files: Sequence[Path] = (),
    overrides: Mapping[str, str | None] | None = None,
    *,
    with_demo_projects: bool = False,
) -> Config:
    """The settings, or ConfigError. ``overrides`` are [DEFAULT] options of the command line, or None."""
    for file in config_files:
        if not file.is_file():
            raise ConfigError("--config-file", f"{file} does not exist or is not a file")
    in_files = _parse(config_files)
    authtoken = _authtoken(in_files)
    _refuse_unknown(in_files)
    conf = cfg.ConfigOpts()
    for group, options in OPTIONS.items():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)
    try:
        conf(
            args=[],
            project="openvbs",
            default_config_files=[str(f) for f in config_files],
            default_config_dirs=[],
        )
        for name, value in (overrides or {}).items():
            if value is not None:
                conf.set_override(name, value)
        return _build(
            conf, authtoken, tuple(file.absolute() for file in config_files), with_demo_projects=with_demo_projects
        )
    except (cfg.Error, ValueError) as error:
        raise ConfigError("configuration", str(error)) from error


def _build(
    conf: Any, authtoken: Mapping[str, str], config_files: tuple[Path, ...], *, with_demo_projects: bool
) -> Config:
    if not conf.data_dir:
        raise ConfigError("data_dir", "is not set; give --data-dir DIR, or data_dir in [DEFAULT] of a --config-file")
    data_dir = Path(conf.data_dir).expanduser().absolute()
    listen = parse_address("listen", conf.listen)
    identity_listen = (
        parse_address("identity_listen", conf.identity_listen)
        if conf.identity_listen
        else Address(listen.host, _next_port(listen.port))
    )
    if identity_listen == listen and not authtoken:
        raise ConfigError("identity_listen", f"{listen} is already used by listen; choose another port")
    tls = _tls(conf)
    public_url = _public_url(conf.public_url, listen, tls)
    if authtoken:
        identity_public_url = authtoken["auth_url"].rstrip("/").removesuffix("/v3")
    elif conf.identity_public_url:
        identity_public_url = _checked_url("identity_public_url", conf.identity_public_url, tls).removesuffix("/v3")
    else:
        public = urlsplit(public_url)
        identity_public_url = f"{public.scheme}://{_with_port(public.hostname or '', identity_listen.port)}"
    if with_demo_projects and authtoken:
        raise ConfigError("--with-demo-projects", "works with the embedded Keystone only; make accounts in yours")
    notify_file = _path(conf.audit.notify_file)
    return Config(
        data_dir=data_dir,
        listen=listen,
        public_url=public_url,
        identity_listen=identity_listen,
        identity_public_url=identity_public_url,
        tls=tls,
        log_level=conf.log_level,
        with_demo_projects=with_demo_projects,
        database_url=conf.database.connection or f"sqlite:///{data_dir}/openvbs.db",
        store_url=conf.store.url or str(data_dir / "store"),
        root_key_file=Path(conf.store.root_key_file or data_dir / "root.key").expanduser().absolute(),
        jobs_at_once=conf.worker.jobs_at_once,
        token_cache_seconds=conf.limits.token_cache_time,
        limits=Limits(**{o.dest: conf.limits[o.dest] for o in OPTIONS["limits"] if o.dest != "token_cache_time"}),
        run_rules=RunRules(
            missed=Missed(conf.policies.missed),
            wait_seconds_max=conf.policies.wait_seconds_max,
            tasks_kept_days=conf.policies.tasks_kept_days,
        ),
        audit_rules=AuditRules(keep_days=conf.audit.keep_days, notifies=notify_file is not None),
        notify_file=notify_file,
        policy_file=_readable("[oslo_policy] policy_file", conf.oslo_policy.policy_file),
        authtoken=authtoken,
        config_files=config_files,
    )


def parse_address(option: str, text: str) -> Address:
    """``ADDRESS:PORT``, with IPv6 addresses in brackets; of all names only localhost, which is 127.0.0.1."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
        rule = f"{text!r} is not ADDRESS:PORT with a port from 1 to {_PORT_MAX}, like 127.0.0.1:8776"
        raise ConfigError(option, rule)
    if ":" in host and not bracketed:
        raise ConfigError(option, f"{text!r}: an IPv6 address is written in brackets, like [::1]:8776")
    if host.lower() == "localhost" and not bracketed:
        return Address("127.0.0.1", int(port))
    try:
        is_address = "%" not in str(ipaddress.IPv6Address(host) if bracketed else ipaddress.IPv4Address(host))
    except ValueError:
        is_address = False
    # The servers take nothing else: they look up no names, and know no scopes of IPv6.
    if not is_address:
        rule = (
            f"{text!r}: {host!r} is not an IP address of this machine; write one, like 192.0.2.1:{port} or"
            f" [2001:db8::1]:{port}, or 0.0.0.0:{port} for all of them; names for clients go into public_url"
        )
        raise ConfigError(option, rule)
    return Address(host, int(port))


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _next_port(port: int) -> int:
    if port == _PORT_MAX:
        raise ConfigError("identity_listen", f"must be set, since there is no port after {port}")
    return port + 1


def _tls(conf: Any) -> Tls | None:
    cert, key, ca = (_readable(option, conf[option]) for option in ("tls_cert", "tls_key", "tls_ca"))
    if (cert is None) != (key is None):
        raise ConfigError("tls_cert, tls_key", "must be set together")
    return None if cert is None or key is None else Tls(cert, key, ca)


def _readable(option: str, text: str | None) -> Path | None:
    """The file that an option names. ConfigError if it cannot be read, which would show only once it is needed."""
    path = _path(text)
    if path is not None and not os.access(path, os.R_OK):
        raise ConfigError(option, f"{text} cannot be read")
    if path is not None and not path.is_file():
        raise ConfigError(option, f"{text} is not a file")
    return path


def _path(text: str | None) -> Path | None:
    """None also for an empty text: "option =" takes back what an earlier file set, and means no current directory."""
    return Path(text).expanduser().absolute() if text else None


def _public_url(text: str | None, listen: Address, tls: Tls | None) -> str:
    if text:
        return _checked_url("public_url", text, tls)
    if listen.is_wildcard:
        raise ConfigError(
            "public_url", f"is required when listening on {listen.host}: clients need a name to connect to"
        )
    return f"{'https' if tls else 'http'}://{listen}"


def _checked_url(option: str, text: str, tls: Tls | None) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment or url.username:
        raise ConfigError(option, f"{text!r} is not a URL like https://vbs.example.com:8776")
    if tls and url.scheme != "https":
        raise ConfigError(option, f"{text!r} must start with https:// since tls_cert is set")
    return text.rstrip("/")


def _parse(config_files: Sequence[Path]) -> dict[str, dict[str, list[str]]]:
    sections: dict[str, dict[str, list[str]]] = {}
    for file in config_files:
        try:
            cfg.ConfigParser(str(file), sections).parse()
        except cfg.ParseError as error:
            # Not the text of the line, which may be a password.
            raise ConfigError("--config-file", f"{file}, line {error.lineno}: {error.msg}") from None
        except (OSError, ValueError) as error:
            raise ConfigError("--config-file", f"{file}: {error}") from error
    return sections


def _refuse_unknown(in_files: Mapping[str, Mapping[str, list[str]]]) -> None:
    known = {group: {option.dest for option in options} for group, options in OPTIONS.items()}
    for section, keys in in_files.items():
        if section == AUTHTOKEN_GROUP:
            continue
        if section not in known:
            raise ConfigError(
                f"[{section}]", f"is not a section; the sections are {_listed([*known, AUTHTOKEN_GROUP])}"
            )
        for key in keys:
            if key not in known[section]:
                raise ConfigError(f"[{section}] {key}", f"is not an option; there are {_listed(known[section])}")
    for name in os.environ:
        group, separator, option = name.removeprefix("OS_").lower().partition("__")
        section = "DEFAULT" if group == "default" else group
        if name.startswith("OS_") and separator and section in known and option not in known[section]:
            raise ConfigError(name, f"is not an option of [{section}]; there are {_listed(known[section])}")


def _authtoken(in_files: Mapping[str, Mapping[str, list[str]]]) -> dict[str, str]:
    """What is configured for an external Keystone; the last file wins, the environment over all."""
    prefix = f"OS_{AUTHTOKEN_GROUP.upper()}__"
    values = {key: texts[-1] for key, texts in in_files.get(AUTHTOKEN_GROUP, {}).items()}
    values |= {n.removeprefix(prefix).lower(): v for n, v in os.environ.items() if n.startswith(prefix)}
    if not values:
        return {}
    known = authtoken_options()
    for key in values:
        if key not in known:
            raise ConfigError(f"[{AUTHTOKEN_GROUP}] {key}", "is not an option of keystonemiddleware")
    if not values.get("auth_url"):
        raise ConfigError(f"[{AUTHTOKEN_GROUP}] auth_url", "is required once anything is set in this section")
    return values


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names))
