"""Tokens are checked by keystonemiddleware, as in every OpenStack service."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

from cachetools import TTLCache
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import loading
from keystonemiddleware.auth_token import AuthProtocol, InvalidToken, ServiceError
from keystonemiddleware.auth_token import list_opts as authtoken_opts
from keystonemiddleware.auth_token._request import _AuthTokenRequest
from oslo_config import cfg

from openvbs.auth.identity import Environ, IdentityUnavailable

_GROUP = "keystone_authtoken"
_CACHE = "openvbs.token_cache"
_CACHED_TOKENS_MAX = 10_000
# Not every exception of the client's: NotFound is Keystone's answer for a token that it does not know.
_UNREACHABLE = (
    ksa_exceptions.ConnectFailure,
    ksa_exceptions.DiscoveryFailure,
    ksa_exceptions.RequestTimeout,
    ServiceError,
)


class TokenCache:
    """What keystonemiddleware keeps of validated tokens: bounded, shared by all threads of the process."""

    def __init__(self, seconds: int) -> None:
        self._lock = Lock()
        self._entries: TTLCache[str, bytes] = TTLCache(_CACHED_TOKENS_MAX, seconds)

    def get(self, key: str) -> bytes | None:
        with self._lock:
            return self._entries.get(key)

    def set(self, key: str, value: bytes, *, time: int) -> None:  # noqa: ARG002 - the interface is keystonemiddleware's
        """Keep value. The time is that of the whole cache, which is the same setting."""
        with self._lock:
            self._entries[key] = value


class KeystoneTokens(AuthProtocol):  # type: ignore[misc]
    """Called with a request's environment it checks the token there: see ``identity.Authenticate``.

    Used as a function rather than as a layer around the application, since the contract checks route and method before
    the token, and asks for another answer (503) when Keystone is away than when the token is bad (401).
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Take [keystone_authtoken] options as texts. Talks to nobody yet."""
        conf = _own_conf(settings)
        super().__init__(None, {"oslo_config_config": conf})
        # The library's own cache in memory knows no bound, and takes 0 seconds for "for ever".
        own_cache = not conf[_GROUP].memcached_servers
        self._tokens = TokenCache(max(0, conf[_GROUP].token_cache_time)) if own_cache else None

    def __call__(self, environ: Environ) -> None:
        if self._tokens is not None:
            environ[_CACHE] = self._tokens
        try:
            self.process_request(_AuthTokenRequest(environ))
        except (ksa_exceptions.ClientException, ServiceError) as error:
            raise IdentityUnavailable("The identity service cannot be asked; try again later.") from error

    def fetch_token(self, token: str, **options: Any) -> Any:
        """The token's data. InvalidToken only when Keystone said so."""
        try:
            return super().fetch_token(token, **options)
        except InvalidToken as error:
            # With delay_auth_decision the library calls a token invalid when Keystone did not answer.
            cause = error.__context__
            if isinstance(cause, _UNREACHABLE):
                raise cause from None
            raise


def _own_conf(settings: Mapping[str, str]) -> cfg.ConfigOpts:
    """An oslo.config instance of our own: the global one belongs to nobody."""
    conf = cfg.ConfigOpts()
    conf([], project="openvbs", default_config_files=[], default_config_dirs=[])
    for group, options in authtoken_opts():
        conf.register_opts(options, group=group)
    plugin = settings.get("auth_type", "password")
    loader = loading.get_plugin_loader(plugin)
    conf.register_opts(loading.get_auth_common_conf_options(), group=_GROUP)
    conf.register_opts(loading.get_auth_plugin_conf_options(loader), group=_GROUP)
    conf.set_default("cache", _CACHE, group=_GROUP)
    names = {
        deprecated.name.replace("-", "_"): option.dest
        for _, options in [*authtoken_opts(), (_GROUP, loading.get_auth_plugin_conf_options(loader))]
        for option in options
        for deprecated in option.deprecated_opts
        if deprecated.name
    }
    known = {option.dest for _, options in authtoken_opts() for option in options}
    known |= {option.dest for option in loading.get_auth_plugin_conf_options(loader)}
    for name, value in settings.items():
        conf.set_override(name if name in known else names.get(name, name), value, group=_GROUP)
    return conf
