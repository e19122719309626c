"""Bring the embedded Keystone's folder to what this start needs: schema, keys, accounts, catalog.

Runs in a process of its own, because Keystone keeps its configuration and its drivers in module globals: whoever
serves it afterwards must start from untouched ones. Writes through Keystone's own managers, as ``keystone-manage
bootstrap`` does, so that no client ever meets a Keystone without the accounts that clouds.yaml promises.
"""

import os
import shutil
import sys
import uuid
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from openvbs import logs
from openvbs.config import Config
from openvbs.files import sync_folder
from openvbs.identity.accounts import ADMIN, DOMAIN, Account, Passwords, ensure_passwords, passwords_are_set, wanted
from openvbs.identity.catalog import INTERFACES, REGION, Entry, entries
from openvbs.identity.settings import write_settings

# Random passwords of 256 bits gain nothing from a slow hash; accounts that people make get Keystone's own default.
_HASH_ROUNDS = 4
_CREDENTIAL_KEYS_MAX = 3
_DOMAIN_ROLE = "domain-login"
"""Gives no power, but without any role on the domain nobody gets the domain-scoped token that Terraform asks for."""


def load_keystone() -> None:
    """Import Keystone: most of the time of a start. Processes forked afterwards have it already."""
    sys.argv = ["keystone"]  # Keystone parses it while it configures itself
    warnings.simplefilter("ignore")  # deprecations inside Keystone concern Keystone's developers
    for name in ("keystone.server.wsgi", "keystone.cmd.bootstrap", "keystone.common.sql.upgrades"):
        import_module(name)


def prepare(config: Config) -> None:
    """Make DIR/keystone complete and up to date. Repeatable; a crash at any moment is repaired by running it again.

    The first time everything is made in a folder beside it, and only the finished one gets its name.
    """
    folder = config.identity_dir
    accounts = wanted(demo=config.with_demo_projects)
    passwords = ensure_passwords(config.passwords_file, accounts)
    if folder.exists():
        _bring_up_to_date(config, folder, accounts, passwords)
    else:
        unfinished = folder.with_name(folder.name + ".new")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        _bring_up_to_date(config, unfinished, accounts, passwords)
        _sync_tree(unfinished)
        unfinished.rename(folder)
        sync_folder(folder.parent)
        write_settings(config, folder)
    passwords_are_set(config.passwords_file, passwords)


def _bring_up_to_date(config: Config, folder: Path, accounts: Sequence[Account], passwords: Passwords) -> None:
    first_time = not (folder / "keystone.db").exists()
    conf = import_module("keystone.conf").CONF
    import_module("keystone.server").configure(config_files=[str(write_settings(config, folder))])
    logs.configure_process("keystone", config.log_level)  # Keystone has just set up its own
    conf.set_override("password_hash_rounds", _HASH_ROUNDS, group="identity")
    import_module("keystone.common.sql.upgrades").offline_sync_database_to_version()
    _ensure_keys(conf.fernet_tokens.key_repository, conf.fernet_tokens.max_active_keys, "fernet_tokens")
    _ensure_keys(conf.credential.key_repository, _CREDENTIAL_KEYS_MAX, "credential")
    bootstrapper = import_module("keystone.cmd.bootstrap").Bootstrapper()  # loads the drivers, too
    keystone = _Keystone()
    if first_time:
        # Not later: it would set the admin's password back to ours after the operator changed it.
        _bootstrap(bootstrapper, passwords.of[ADMIN.user], f"{config.identity_public_url}/v3")
    for account in accounts:
        keystone.ensure_account(account, passwords.of[account.user], reset=account.user in passwords.pending)
    for entry in entries(config):
        keystone.ensure_endpoints(entry)


def _ensure_keys(repository: str, keys_max: int, group: str) -> None:
    keys = import_module("keystone.common.fernet_utils").FernetUtils(repository, keys_max, group)
    owner = (os.geteuid(), os.getegid())
    keys.create_key_directory(*owner)
    if keys.validate_key_repository(requires_write=True):
        keys.initialize_key_repository(*owner)


def _bootstrap(bootstrapper: Any, password: str, url: str) -> None:
    bootstrapper.admin_username = ADMIN.user
    bootstrapper.admin_password = password
    bootstrapper.project_name = ADMIN.project
    bootstrapper.admin_role_name = "admin"
    bootstrapper.immutable_roles = True
    bootstrapper.region_id = REGION
    bootstrapper.service_name = "keystone"
    bootstrapper.public_url = bootstrapper.internal_url = bootstrapper.admin_url = url
    bootstrapper.bootstrap()


def _sync_tree(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(parent))


class _Keystone:
    """Keystone's managers, asked for what must exist; makes what is missing and changes nothing else."""

    def __init__(self) -> None:
        self._providers: Any = import_module("keystone.common.provider_api").ProviderAPIs
        self._missing: Any = import_module("keystone.exception").NotFound
        self._hints: Any = import_module("keystone.common.driver_hints").Hints

    def ensure_account(self, account: Account, password: str, *, reset: bool) -> None:
        """User, project and roles exist. An existing user keeps its password unless it is to be reset."""
        project_id = self._project(account.project)
        user_id = self._user(account.user, password, reset=reset)
        for role in account.roles:
            self._grant(user_id, self._role(role), project_id=project_id)
        domain_role = "admin" if account is ADMIN else _DOMAIN_ROLE
        self._grant(user_id, self._role(domain_role), domain_id=DOMAIN)
        if account.reads_everything:
            self._providers.assignment_api.create_system_grant_for_user(user_id, self._role("reader"))

    def ensure_endpoints(self, entry: Entry) -> None:
        """The service and the URL of each interface in our region; what else the catalog holds stays."""
        service_id = self._service(entry)
        there = {
            endpoint["interface"]: endpoint
            for endpoint in self._providers.catalog_api.list_endpoints(self._hints())
            if endpoint["service_id"] == service_id and endpoint["region_id"] == REGION
        }
        for interface in INTERFACES:
            endpoint = there.get(interface)
            if endpoint is None:
                fields = {"interface": interface, "service_id": service_id, "region_id": REGION, "enabled": True}
                made = {"id": uuid.uuid4().hex, "url": entry.url, **fields}
                self._providers.catalog_api.create_endpoint(made["id"], made)
            elif endpoint["url"] != entry.url:
                self._providers.catalog_api.update_endpoint(endpoint["id"], {**endpoint, "url": entry.url})

    def _service(self, entry: Entry) -> str:
        for service in self._providers.catalog_api.list_services(self._hints()):
            if service["type"] == entry.type and service.get("name") == entry.name:
                return str(service["id"])
        made = {"id": uuid.uuid4().hex, "type": entry.type, "name": entry.name, "enabled": True}
        self._providers.catalog_api.create_service(made["id"], made)
        return str(made["id"])

    def _project(self, name: str) -> str:
        try:
            return str(self._providers.resource_api.get_project_by_name(name, DOMAIN)["id"])
        except self._missing:
            made = {"id": uuid.uuid4().hex, "name": name, "domain_id": DOMAIN, "enabled": True, "description": ""}
            self._providers.resource_api.create_project(made["id"], made)
            return str(made["id"])

    def _user(self, name: str, password: str, *, reset: bool) -> str:
        users = self._providers.identity_api
        try:
            user_id = str(users.get_user_by_name(name, DOMAIN)["id"])
        except self._missing:
            wanted_user = {"name": name, "domain_id": DOMAIN, "enabled": True, "password": password}
            return str(users.create_user(wanted_user)["id"])
        if reset:
            users.update_user(user_id, {"password": password})
        return user_id

    def _role(self, name: str) -> str:
        for role in self._providers.role_api.list_roles(self._hints()):
            if role["name"] == name and role["domain_id"] is None:
                return str(role["id"])
        made = {"id": uuid.uuid4().hex, "name": name}
        self._providers.role_api.create_role(made["id"], made)
        return str(made["id"])

    def _grant(self, user_id: str, role_id: str, **where: str) -> None:
        self._providers.assignment_api.create_grant(role_id, user_id=user_id, **where)
