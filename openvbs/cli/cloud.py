"""The service as a signed-in client reaches it: clouds.yaml, a Keystone session, the catalog entry ``vbs``.

Used by the commands that any tenant can run from any machine. They decide nothing: every rule is the server's, and
what it says is shown as it is.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import click
import openstack
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from openvbs.errors import OpenVbsError

SERVICE_TYPE = "vbs"
_Answer = TypeVar("_Answer")


class CloudUnreachable(OpenVbsError):
    """There is no such cloud, it does not let us in, or it does not answer."""


class Refused(OpenVbsError):
    """The server understood and said no; ``message`` is its own text, ``code`` its own code if it gave one."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(f"{message} ({f'{status} {code}' if code else status})")
        self.status = status
        self.code = code
        self.message = message


class Cloud:
    """One cloud of clouds.yaml, entered as its user in its project. Nothing is asked before the first call."""

    def __init__(self, name: str | None) -> None:
        self.name = name

    @functools.cached_property
    def connection(self) -> Any:
        """An openstacksdk connection. Raises CloudUnreachable."""
        try:
            return openstack.connect(cloud=self.name)
        except (ClientException, SDKException) as error:
            raise CloudUnreachable(f"{error} (choose a cloud with --os-cloud or OS_CLOUD)") from error

    @functools.cached_property
    def project_id(self) -> str:
        """The project that the token is for."""
        project_id = self._ask(self.connection.session.get_project_id)
        if not project_id:
            raise CloudUnreachable(f"cloud {self._label} is not entered in a project; name one in clouds.yaml")
        return str(project_id)

    @functools.cached_property
    def project_name(self) -> str | None:
        """Its name, where Keystone tells."""
        session = self.connection.session
        name = self._ask(lambda: session.auth.get_access(session).project_name)
        return str(name) if name else None

    @functools.cached_property
    def url(self) -> str:
        """The service's address for this project: ``.../v2/{project_id}``."""
        config = self.connection.config
        found = config.get_endpoint(SERVICE_TYPE) or self._ask(
            lambda: self.connection.session.get_endpoint(
                service_type=SERVICE_TYPE,
                interface=config.get_interface(SERVICE_TYPE) or "public",
                region_name=config.get_region_name(SERVICE_TYPE),
                skip_discovery=True,
            )
        )
        if not found:
            raise CloudUnreachable(f"the catalog of cloud {self._label} has no service of type {SERVICE_TYPE}")
        base = str(found).rstrip("/")
        return base if base.endswith(self.project_id) else f"{base}/{self.project_id}"

    def call(self, method: str, path: str, *, body: Any = None, params: Mapping[str, str] | None = None) -> Any:
        """Send one request and give the ``requests`` answer. ``path`` is below the project, or a whole URL.

        Raises Refused for any status from 400 on, CloudUnreachable when there was no answer.
        """
        url = path if path.startswith(("http://", "https://")) else f"{self.url}/{path}"
        answer = self._ask(
            lambda: self.connection.session.request(
                url,
                method,
                json=body,
                params=dict(params or {}),
                raise_exc=False,
                headers={"Accept": "application/json"},
            )
        )
        if answer.status_code >= 400:
            raise refusal(answer)
        return answer

    def get(self, path: str, **params: str) -> Any:
        """The JSON of one GET."""
        return self.call("GET", path, params=params).json()

    def pages(self, path: str, key: str, **params: str) -> Iterator[Any]:
        """Every row of a list, page after page."""
        answer = self.get(path, **params)
        while True:
            yield from answer[key]
            following = [link["href"] for link in answer.get(f"{key}_links", ()) if link["rel"] == "next"]
            if not following:
                return
            answer = self.get(following[0])

    @property
    def _label(self) -> str:
        return self.name or "(from the environment)"

    def _ask(self, ask: Callable[[], _Answer]) -> _Answer:
        try:
            return ask()
        except (ClientException, SDKException) as error:
            raise CloudUnreachable(f"cloud {self._label}: {error}") from error


def refusal(answer: Any) -> Refused:
    """What an error answer says, in either of the two shapes that OpenStack services use."""
    code = None
    message = answer.text.strip() or str(answer.reason)
    try:
        body = answer.json()
    except ValueError:
        body = None  # a proxy's page, not the service's words; show the text
    if isinstance(body, dict):
        for said in body.values():
            if isinstance(said, dict) and isinstance(said.get("message"), str):
                message = said["message"]
                code = said["code"] if isinstance(said.get("code"), str) else None
    return Refused(answer.status_code, code or answer.headers.get("X-VBS-Error-Code"), message)


def examples(*lines: str) -> str:
    """The end of a command's --help: lines to copy, kept as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def cloud_command(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --os-cloud and --json, and hand it a Cloud first and ``as_json`` by name."""

    @click.option("--os-cloud", envvar="OS_CLOUD", metavar="NAME", help="Entry of clouds.yaml (or set OS_CLOUD).")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, exactly as the server sent it.")
    @functools.wraps(command)
    def with_cloud(*args: Any, os_cloud: str | None, **kwargs: Any) -> Any:
        return command(Cloud(os_cloud), *args, **kwargs)

    return with_cloud
