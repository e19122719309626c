"""The application with something wrong about it: no room, no identity service, no database, a bug."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import Authenticate, IdentityUnavailable, read_identity
from openvbs.db.session import Database
from tests.api.conftest import ALPHA, BODY_BYTES_MAX, PUBLIC_URL
from tests.support.wsgi import Answer, Client

Request = Callable[[Client, Service], Answer]
"""What meets one code: made by a client of project alpha, on whose service anything may be done before."""


def client_of(service: Service, authenticate: Authenticate = read_identity) -> Client:
    """A member of alpha at another application on the same records."""
    settings = Settings(public_url=PUBLIC_URL, body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    return Client(create_app(service, settings, authenticate), ALPHA)


def limited(service: Service, **limits: int) -> Client:
    """With other limits."""
    return client_of(replace(service, limits=replace(service.limits, **limits)))


def without_identity(service: Service) -> Client:
    """While nobody can say whose a token is."""

    def fail(_environ: dict[str, Any]) -> NoReturn:
        raise IdentityUnavailable("Keystone does not answer.")

    return client_of(service, fail)


def without_database(service: Service) -> Client:
    """While the database does not answer."""
    return client_of(replace(service, database=Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")))


def with_a_bug(service: Service) -> Client:
    """Of which every request ends in an exception that nobody foresaw."""

    def fail(_environ: dict[str, Any]) -> NoReturn:
        raise ZeroDivisionError

    return client_of(service, fail)
