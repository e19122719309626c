"""The accounts of clouds.yaml as plain HTTP callers: nothing between a test and the wire."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support import openapi

ANSWER_SECONDS_MAX = 60


@dataclass(frozen=True)
class Answer:
    """What came back, untouched. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of an error: the contract's in the VBS shape, the header's in the native one; None otherwise."""
        if self.status < 400:
            return None
        error = self.json().get("error")
        return error["code"] if error else self.headers.get("x-vbs-error-code")


def send(
    method: str, base: str, target: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """One request, its target sent exactly as given."""
    url = urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.putrequest(method, url.path + target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


@dataclass(frozen=True)
class Party:
    """One user with a token of one project."""

    name: str
    base: str
    project_id: str
    token: str | None
    """None sends no token at all."""

    def send(
        self, method: str, target: str, *, json_body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """A request with this party's token; ``{p}`` in the target is its project."""
        body = None if json_body is None else json.dumps(json_body).encode()
        content = {} if body is None else {"Content-Type": "application/json"}
        token = {} if self.token is None else {"X-Auth-Token": self.token}
        target = target.replace("{p}", self.project_id)
        sent = {"Accept": "application/json", **token, **content, **(headers or {})}
        answer = send(method, self.base, target, headers=sent, body=body)
        openapi.check(method, target, answer.status, answer.headers, answer.body)
        return answer

    def get(self, target: str) -> Any:
        """The document at the target, which must be there."""
        answer = self.send("GET", target)
        assert answer.status == 200, (target, answer)
        return answer.json()


@dataclass(frozen=True)
class Login:
    """How to get tokens of one cloud of clouds.yaml."""

    auth: dict[str, str]

    @property
    def keystone(self) -> str:
        return self.auth["auth_url"]

    def token(self, scope: object = "project") -> tuple[str, dict[str, Any]]:
        """A new token and what Keystone says about it; scope: "project", or as Keystone takes it."""
        user = {
            "name": self.auth["username"],
            "password": self.auth["password"],
            "domain": {"id": self.auth["user_domain_id"]},
        }
        project = {"name": self.auth["project_name"], "domain": {"id": self.auth["project_domain_id"]}}
        wanted = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project} if scope == "project" else scope,
        }
        answer = send(
            "POST",
            self.keystone,
            "/auth/tokens",
            headers={"Content-Type": "application/json"},
            body=json.dumps({"auth": wanted}).encode(),
        )
        assert answer.status == 201, answer
        return answer.headers["x-subject-token"], answer.json()["token"]


def login(clouds_file: Path, cloud: str) -> Login:
    return Login(yaml.safe_load(clouds_file.read_text())["clouds"][cloud]["auth"])


def party(clouds_file: Path, cloud: str, base: str) -> Party:
    """Log in and be ready to call the service at base."""
    token, facts = login(clouds_file, cloud).token()
    return Party(name=cloud, base=base, project_id=facts["project"]["id"], token=token)


@dataclass(frozen=True)
class Parties:
    """The demo accounts: a member each in alpha, beta and gamma, a reader in alpha, and the cloud's admin."""

    alpha: Party
    beta: Party
    gamma: Party
    reader: Party
    admin: Party


def log_in_all(clouds_file: Path, base: str) -> Parties:
    clouds = {"alpha": "alpha", "beta": "beta", "gamma": "gamma", "reader": "alpha-reader", "admin": "admin"}
    return Parties(**{name: party(clouds_file, f"openvbs-{cloud}", base) for name, cloud in clouds.items()})
