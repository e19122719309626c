"""What a service needs on disk before its first process starts."""

import click

from openvbs.config import Config, ConfigError
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.identity.accounts import ensure_passwords, wanted
from openvbs.stores.urls import folder_of, open_store

_FIRST_START = """\
A root key was made: {file}
Without a copy of it NO BACKUP CAN BE READ. Keep one away from this machine:
    openvbs key export --data-dir {data_dir} FILE
"""


def ensure_root_key(config: Config) -> None:
    """The root key is there and readable; made at the first start, with the store's folder, and told of.

    Raises KeyUnusable, and ConfigError when the key is missing though the store holds backups: a new one would only
    hide that none of them can be read.
    """
    file = config.root_key_file
    if file.exists():
        load_root_key(file)
        return
    if _store_in_use(config):
        rule = f"{file} is missing, but the store {config.store_url} holds backups made with it; copy the key back"
        raise ConfigError("[store] root_key_file", rule)
    if folder := folder_of(config.store_url):
        folder.mkdir(parents=True, exist_ok=True)  # so that one that is missing later is not mounted
    create_root_key(file)
    click.echo(_FIRST_START.format(file=file, data_dir=config.data_dir))


def ensure_accounts(config: Config) -> None:
    """The passwords that the API and Keystone share are there before either of them asks."""
    if config.identity_embedded:
        ensure_passwords(config.passwords_file, wanted(demo=config.with_demo_projects))


def _store_in_use(config: Config) -> bool:
    store = open_store(config.store_url)
    try:
        return next(iter(store.list("")), None) is not None
    finally:
        store.close()
