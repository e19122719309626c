"""The application called as a server would, without a socket: for tests of the HTTP layer."""

import json
from dataclasses import dataclass, field
from typing import Any

from falcon import testing

from tests.support import openapi


@dataclass(frozen=True)
class Answer:
    """What the application answered. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The contract's code of an error."""
        error = self.json().get("error")
        return error["code"] if error else self.headers.get("x-vbs-error-code")


@dataclass
class Client:
    """Calls the application as one user of one project, whose token counts as checked."""

    app: Any
    project_id: str
    roles: str = "member,reader"
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, target: str, *, body: object = None, **headers: str) -> Answer:
        """One request, whose answer must be as the OpenAPI document says.

        ``{p}`` in the target is the project; a body that is not bytes is sent as JSON.
        """
        path, _, query = target.replace("{p}", self.project_id).partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        identity = {
            "X-Identity-Status": "Confirmed",
            "X-Auth-Token": "a token",
            "X-Project-Id": self.project_id,
            "X-User-Id": f"user-of-{self.project_id}",
            "X-Roles": self.roles,
        }
        content = {"Content-Type": "application/json"} if raw else {}
        sent = {**identity, **content, **self.headers, **given}
        environ = testing.create_environ(
            path=path,
            query_string=query,
            method=method,
            headers={name: value for name, value in sent.items() if value},
            body=raw,
        )
        start_response = testing.StartResponseMock()
        # Not through wsgiref's validator: it wants a Content-Type on empty answers, which the contract forbids.
        chunks = self.app(environ, start_response)
        answer = Answer(
            status=int(start_response.status.split()[0]),
            headers={name.lower(): value for name, value in start_response.headers},
            body=b"".join(chunks),
        )
        openapi.check(method, path, answer.status, answer.headers, answer.body)
        return answer

    def get(self, target: str, **headers: str) -> Any:
        """The document at the target, which must be there."""
        answer = self.send("GET", target, **headers)
        assert answer.status == 200, answer
        return answer.json()
