"""clouds.yaml: how every OpenStack tool on this machine finds and enters the service."""

from typing import Any

import yaml

from openvbs.config import REGION, Config
from openvbs.files import write_private
from openvbs.identity.accounts import DOMAIN, load_passwords, wanted
from openvbs.identity.trust import trusted_ca

_HEADER = """\
# Written at every start of openvbs serve; changes here are lost. Use it with
#   OS_CLIENT_CONFIG_FILE={file} openstack --os-cloud openvbs-admin ...
"""


def clouds(config: Config) -> dict[str, Any]:
    """The clouds of the accounts that have one, with their passwords."""
    passwords = load_passwords(config.passwords_file).of
    ca = trusted_ca(config)
    return {
        account.cloud: {
            "auth_type": "password",
            "auth": {
                "auth_url": f"{config.identity_public_url}/v3",
                "username": account.user,
                "password": passwords[account.user],
                "project_name": account.project,
                "user_domain_id": DOMAIN,
                "project_domain_id": DOMAIN,
            },
            "region_name": REGION,
            "identity_api_version": "3",
            "volume_api_version": "3",
            **({"cacert": str(ca)} if ca else {}),
        }
        for account in wanted(demo=config.with_demo_projects)
        if account.cloud
    }


def write_clouds(config: Config) -> None:
    """Replace clouds.yaml, mode 0600."""
    text = _HEADER.format(file=config.clouds_file) + yaml.safe_dump({"clouds": clouds(config)}, sort_keys=False)
    write_private(config.clouds_file, text)
