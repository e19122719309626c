"""The checks of ``openvbs doctor``. Each looks at one thing and says what it found and what to do about it."""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from cryptography import x509

from openvbs.cli.settings import sqlite_file
from openvbs.clock import utc_now
from openvbs.config import Config
from openvbs.db.health import look
from openvbs.db.session import Database
from openvbs.engine.keys import load_root_key
from openvbs.errors import OpenVbsError
from openvbs.identity.authtoken import authtoken_conf
from openvbs.identity.catalog import entries, trap
from openvbs.service.child import answers
from openvbs.stores.urls import folder_of, open_store
from openvbs.units import GIB

Level = Literal["ok", "warn", "FAIL"]

_CLOCKS_APART_WARN = timedelta(seconds=5)
_CLOCKS_APART_FAIL = timedelta(seconds=60)
_HEARTBEAT_AGE_MAX = timedelta(seconds=60)
_CERTIFICATE_DAYS_WARN = 30
_FREE_BYTES_WARN = 10 * GIB
_FREE_BYTES_FAIL = GIB
_REQUEST_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``advice`` says what to do unless all is well."""

    check: str
    level: Level
    message: str
    advice: str = ""


def check_data_dir(config: Config) -> Iterator[Finding]:
    """The data directory is private and writable."""
    folder = config.data_dir
    if not folder.is_dir():
        yield Finding("data directory", "FAIL", f"{folder} is not there", "start openvbs serve, which makes it")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield Finding("data directory", "warn", f"{folder} has mode {mode:04o}", f"chmod 700 {folder}")
    elif not os.access(folder, os.W_OK):
        yield Finding("data directory", "FAIL", f"{folder} is not writable", "run this as the service's own user")
    else:
        yield Finding("data directory", "ok", str(folder))


def check_public_url(config: Config) -> Iterator[Finding]:
    """Clients can use the URL that the catalog gives them."""
    if (reason := trap(config.public_url)) is not None:
        yield Finding("public URL", "warn", reason, "set public_url")
    else:
        yield Finding("public URL", "ok", config.public_url)


def check_certificate(config: Config) -> Iterator[Finding]:
    """The certificate is valid for some time to come."""
    if config.tls is None:
        return
    until = x509.load_pem_x509_certificate(config.tls.cert.read_bytes()).not_valid_after_utc
    days = (until - utc_now()).days
    level: Level = "FAIL" if days < 0 else "warn" if days < _CERTIFICATE_DAYS_WARN else "ok"
    yield Finding("certificate", level, f"valid until {until:%Y-%m-%d}", "renew it and restart the service")


def check_root_key(config: Config) -> Iterator[Finding]:
    """The key is there, readable by us alone."""
    load_root_key(config.root_key_file)
    yield Finding(
        "root key", "ok", f"{config.root_key_file}, mode 0600; is there a copy elsewhere? (openvbs key export)"
    )


def check_database(config: Config) -> Iterator[Finding]:
    """Reachable, of this release, writable; its clock agrees with ours; a worker is alive."""
    file = sqlite_file(config)
    if file is not None and not file.exists():
        yield Finding("database", "FAIL", f"{file} is not there", "start openvbs serve, which makes it")
        return
    database = Database(config.database_url)
    try:
        before = utc_now()
        health = look(database)
    finally:
        database.close()
    if not health.is_current:
        yield Finding("database", "FAIL", "has the schema of another release", "stop the service, run openvbs migrate")
        return
    yield Finding("database", "ok", "reachable, of this release, writable")
    yield _clocks("database", health.now, before)
    for project_id, reason in health.failed_checks.items():
        yield Finding("backups", "FAIL", f"project {project_id}: {reason}", "openvbs repo check --full, then repair")
    if health.last_heartbeat_at is None:
        yield Finding("worker", "warn", "no worker has ever run", "start openvbs serve or openvbs worker")
        return
    age = utc_now() - health.last_heartbeat_at
    seconds = f"last heard of {age.total_seconds():.0f} s ago"
    if age > _HEARTBEAT_AGE_MAX:
        yield Finding("worker", "FAIL", seconds, "no job runs: start openvbs serve or openvbs worker, read its log")
    else:
        yield Finding("worker", "ok", seconds)


def check_store(config: Config) -> Iterator[Finding]:
    """An object can be written, read back and removed; there is room for more."""
    folder = folder_of(config.store_url)
    if folder is not None and not folder.is_dir():
        yield Finding("store", "FAIL", f"{folder} is not there", "mount it, or make it if there are no backups yet")
        return
    store = open_store(config.store_url)
    name, data = f"doctor-{secrets.token_hex(8)}", secrets.token_bytes(4096)
    try:
        store.create(name, data)
        try:
            same = bytes(store.get(name)) == data
        finally:
            store.delete(name)
    finally:
        store.close()
    if not same:
        yield Finding("store", "FAIL", f"{config.store_url} gave back other bytes than written", "check the medium")
        return
    yield Finding("store", "ok", f"{config.store_url}: wrote, read and removed an object")
    if folder is not None:
        yield _room("store", folder)


def _room(check: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    level: Level = "FAIL" if free < _FREE_BYTES_FAIL else "warn" if free < _FREE_BYTES_WARN else "ok"
    return Finding(f"{check} space", level, f"{free / GIB:.1f} GiB free in {folder}", "delete backups or add space")


def check_api(config: Config) -> Iterator[Finding]:
    """The API answers where it listens."""
    if answers(config.listen, "/healthcheck", tls=config.tls is not None)():
        yield Finding("API", "ok", f"answers on {config.listen}")
    else:
        yield Finding("API", "warn", f"does not answer on {config.listen}", "start openvbs serve, or read its log")


def check_keystone(config: Config) -> Iterator[Finding]:
    """Reachable, its clock agrees, our service user is accepted, the catalog leads to us."""
    settings = authtoken_conf(config)
    exceptions: Any = import_module("keystoneauth1.exceptions")
    try:
        session = _keystone_session(settings)
        before = utc_now()
        response = session.get(settings["auth_url"], authenticated=False)
        yield Finding("Keystone", "ok", f"{settings['auth_url']} answers")
        theirs = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
        yield _clocks("Keystone", theirs, before, resolution=timedelta(seconds=1))
        token = session.get_token()
        headers = {"X-Subject-Token": token}
        catalog = session.get(f"{settings['auth_url']}/auth/tokens", headers=headers).json()["token"]["catalog"]
    except exceptions.Unauthorized as error:
        advice = f"take the user out of {config.passwords_file} (it must stay JSON) and restart, or correct"
        advice += " [keystone_authtoken]"
        yield Finding("service user", "FAIL", f"is not accepted: {error}", advice)
    except exceptions.Forbidden as error:
        yield Finding("service user", "FAIL", f"may not validate tokens: {error}", "give it the role service or admin")
    except exceptions.ClientException as error:
        yield Finding("Keystone", "FAIL", f"{settings['auth_url']}: {error}", "start it; nobody can log in meanwhile")
    else:
        yield Finding("service user", "ok", f"{settings.get('username', 'the configured user')} may validate tokens")
        yield from _catalog(config, catalog)


def _keystone_session(settings: dict[str, str]) -> Any:
    """A keystoneauth1 session of the service user."""
    loading: Any = import_module("keystoneauth1.loading")
    session: Any = import_module("keystoneauth1.session")
    loader = loading.get_plugin_loader(settings["auth_type"])
    names = {option.dest for option in loader.get_options()}
    auth = loader.load_from_options(**{name: value for name, value in settings.items() if name in names})
    insecure = settings.get("insecure", "false").lower() in {"true", "1", "yes", "on"}
    verify = False if insecure else settings.get("cafile") or True
    return session.Session(auth=auth, verify=verify, timeout=_REQUEST_SECONDS)


def _catalog(config: Config, catalog: list[dict[str, Any]]) -> Iterator[Finding]:
    known = {
        (service["type"], e["url"]) for service in catalog for e in service["endpoints"] if e["interface"] == "public"
    }
    expected = {(entry.type, _prefix(entry.url)) for entry in entries(config) if entry.type != "identity"}
    missing = sorted(kind for kind, prefix in expected if not any(k == kind and u.startswith(prefix) for k, u in known))
    if missing:
        advice = f"make endpoints of these types that lead to {config.public_url}; see docs/operations.md"
        yield Finding("catalog", "warn", f"nothing of type {', '.join(missing)} leads to {config.public_url}", advice)
    else:
        yield Finding("catalog", "ok", f"all service types lead to {config.public_url}")


def _prefix(url: str) -> str:
    return url.partition("$(")[0]


def _clocks(whose: str, theirs: datetime, before: datetime, *, resolution: timedelta = timedelta(0)) -> Finding:
    """Their clock was read between ``before`` and now, and is rounded down to ``resolution``."""
    after = utc_now()
    apart = max(before - theirs - resolution, theirs - after, timedelta(0))
    level: Level = "FAIL" if apart > _CLOCKS_APART_FAIL else "warn" if apart > _CLOCKS_APART_WARN else "ok"
    message = f"{apart.total_seconds():.1f} s from ours"
    return Finding(f"clock of {whose}", level, message, "let both machines follow a time server")


CHECKS: tuple[tuple[str, Callable[[Config], Iterator[Finding]]], ...] = (
    ("data directory", check_data_dir),
    ("public URL", check_public_url),
    ("certificate", check_certificate),
    ("root key", check_root_key),
    ("database", check_database),
    ("store", check_store),
    ("Keystone", check_keystone),
    ("API", check_api),
)


def examine(config: Config) -> Iterator[Finding]:
    """All findings, as they come. An error that we foresaw, or the system's, fails its own check and no other."""
    for name, check in CHECKS:
        try:
            yield from check(config)
        except (OpenVbsError, OSError) as error:
            yield Finding(name, "FAIL", str(error), "see docs/operations.md")
