"""Tokens are checked by keystonemiddleware, as in every OpenStack service."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

import msgspec
from cachetools import TTLCache
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import loading
from keystonemiddleware.auth_token import AuthProtocol, InvalidToken, ServiceError
from keystonemiddleware.auth_token import list_opts as authtoken_opts
from keystonemiddleware.auth_token._request import _AuthTokenRequest
from oslo_config import cfg

from openvbs.auth.identity import Environ, Identity, IdentityUnavailable, read_identity
from openvbs.clock import Clock, utc_now

_GROUP = "keystone_authtoken"
_CACHE = "openvbs.token_cache"
_FACTS = "keystone.token_info"
_CACHED_TOKENS_MAX = 10_000
# Not every exception of the client's: NotFound is Keystone's answer for a token that it does not know.
_UNREACHABLE = (
    ksa_exceptions.ConnectFailure,
    ksa_exceptions.DiscoveryFailure,
    ksa_exceptions.RequestTimeout,
    ServiceError,
)


@dataclass(slots=True)
class Kept:
    """What Keystone said of a token."""

    document: bytes
    known: tuple[Identity, datetime] | None = None
    """Who every request is that brings this token alone, and until when; None before that was found out."""


class TokenCache:
    """Tokens that Keystone has checked: bounded, each for so many seconds, shared by all threads of the process."""

    def __init__(self, seconds: int) -> None:
        self._lock = Lock()
        self._entries: TTLCache[bytes, Kept] = TTLCache(_CACHED_TOKENS_MAX, seconds)

    def get(self, token: str) -> Kept | None:
        with self._lock:
            return self._entries.get(_key(token))

    def put(self, token: str, kept: Kept) -> None:
        with self._lock:
            self._entries[_key(token)] = kept


def _key(token: str) -> bytes:
    # Whoever sees our memory should not find tokens ready for use.
    return hashlib.sha256(token.encode()).digest()


class _NoCache:
    """What the library keeps of tokens when we keep them: nothing."""

    def get(self, _key: str) -> None:
        return None

    def set(self, key: str, value: bytes, *, time: int) -> None:
        """Forget it."""


_NO_CACHE = _NoCache()


class KeystoneTokens(AuthProtocol):  # type: ignore[misc]
    """Called with a request's environment it checks the token there: an ``identity.Authenticate``.

    Used as a function rather than as a layer around the application, since the contract checks route and method before
    the token, and asks for another answer (503) when Keystone is away than when the token is bad (401).
    """

    def __init__(self, settings: Mapping[str, str], clock: Clock = utc_now) -> None:
        """Take [keystone_authtoken] options as texts. Talks to nobody yet."""
        conf = _own_conf(settings)
        super().__init__(None, {"oslo_config_config": conf})
        self._clock = clock
        # The library's own cache in memory knows no bound, takes 0 seconds for "for ever", and remembers what Keystone
        # said but not what that means, which takes longer to find out than most answers take.
        own_cache = not conf[_GROUP].memcached_servers
        self._tokens = TokenCache(max(0, conf[_GROUP].token_cache_time)) if own_cache else None

    def __call__(self, environ: Environ) -> Identity | None:
        token = environ.get("HTTP_X_AUTH_TOKEN", "").strip()
        alone = token and "HTTP_X_SERVICE_TOKEN" not in environ
        kept = self._tokens.get(token) if self._tokens and alone else None
        if kept is not None and kept.known is not None:
            identity, expires_at = kept.known
            if self._clock() < expires_at:
                return identity
        environ[_CACHE] = _NO_CACHE
        try:
            self.process_request(_AuthTokenRequest(environ))
        except (ksa_exceptions.ClientException, ServiceError) as error:
            raise IdentityUnavailable("The identity service cannot be asked; try again later.") from error
        found = read_identity(environ)
        # Not in an entry that came to be meanwhile: it would outlive what we know.
        if kept is not None and found is not None and not _depends_on_request(environ[_FACTS]["token"]):
            kept.known = found, datetime.fromisoformat(environ[_FACTS]["token"]["expires_at"])
        return found

    def _create_session(self, **options: Any) -> Any:
        """The library tries again when a connection breaks while it checks a token, but not while it gets its own.

        So of the first requests after a start, on a busy machine, one might be answered 503. Once is enough: while
        Keystone is away for longer, each try makes callers wait.
        """
        return super()._create_session(connect_retries=min(1, self._conf.get("http_request_max_retries")), **options)

    def fetch_token(self, token: str, **options: Any) -> Any:
        """The token's data. InvalidToken only when Keystone said so."""
        kept = self._tokens.get(token) if self._tokens else None
        if kept is not None:
            return msgspec.json.decode(kept.document)
        try:
            data = super().fetch_token(token, **options)
        except InvalidToken as error:
            # With delay_auth_decision the library calls a token invalid when Keystone did not answer.
            cause = error.__context__
            if isinstance(cause, _UNREACHABLE):
                raise cause from None
            raise
        if self._tokens is not None:
            self._tokens.put(token, Kept(msgspec.json.encode(data)))
        return data


def _depends_on_request(said: Mapping[str, Any]) -> bool:
    """Is the token good for some requests only: those of one kerberos user, or those that its access rules name?"""
    rules = said.get("application_credential", {}).get("access_rules")
    return bool(said.get("bind")) or rules is not None


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
