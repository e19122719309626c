"""The settings that keystonemiddleware needs, for our own Keystone or for the operator's."""

from openvbs.config import REGION, Config, ConfigError
from openvbs.identity.accounts import DOMAIN, SERVICE, load_passwords
from openvbs.identity.trust import trusted_ca


def authtoken_conf(config: Config) -> dict[str, str]:
    """[keystone_authtoken] as text values, for ``AuthProtocol(app, conf)``. Holds a password.

    What the operator configured wins, except that requests without a valid token reach our own layer, which answers
    them in the shape of the API that was asked.
    """
    defaults = {
        "auth_type": "password",
        "token_cache_time": str(config.token_cache_seconds),
        "service_token_roles_required": "true",
    }
    own = config.authtoken or _embedded(config)
    return {**defaults, **own, "delay_auth_decision": "true"}


def _embedded(config: Config) -> dict[str, str]:
    url = f"{config.identity_public_url}/v3"
    ca = trusted_ca(config)
    password = load_passwords(config.passwords_file).of.get(SERVICE.user)
    if password is None:
        rule = f"is not configured, and no Keystone was ever started in {config.data_dir}; run serve or identity first"
        raise ConfigError("[keystone_authtoken]", rule)
    return {
        "auth_url": url,
        "www_authenticate_uri": url,
        "username": SERVICE.user,
        "password": password,
        "project_name": SERVICE.project,
        "user_domain_id": DOMAIN,
        "project_domain_id": DOMAIN,
        "region_name": REGION,
        **({"cafile": str(ca)} if ca else {}),
    }
