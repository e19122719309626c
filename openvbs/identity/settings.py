"""keystone.conf of the embedded Keystone, written anew at every start."""

from pathlib import Path

from openvbs.config import Config
from openvbs.files import write_private

_CACHE_SECONDS = 600

# The cache is what makes validating a token take milliseconds instead of half a second. oslo_cache.dict, not
# dogpile.cache.memory: that one never forgets, so the process would grow with every token ever seen.
_TEMPLATE = """\
# Written at every start of openvbs serve; changes here are lost.
[DEFAULT]
public_endpoint = {public_url}
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet-keys
[fernet_receipts]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
[cache]
enabled = true
backend = oslo_cache.dict
backend_argument = expiration_time:{cache_seconds}
expiration_time = {cache_seconds}
[identity]
max_password_length = 72
[catalog]
driver = sql
"""


def write_settings(config: Config, folder: Path) -> Path:
    """Write ``folder``/keystone.conf, which keeps everything else in ``folder`` too; returns its path."""
    # oslo.config replaces $name in values; $$ is a plain dollar.
    text = _TEMPLATE.format(
        public_url=config.identity_public_url.replace("$", "$$"),
        folder=str(folder).replace("$", "$$"),
        cache_seconds=_CACHE_SECONDS,
    )
    file = folder / "keystone.conf"
    write_private(file, text)
    return file
