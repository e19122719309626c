"""People say names, the API wants ids: find the one thing that a name means, or say why there is none."""

import re
from typing import Any

from openstack.config import OpenStackConfig
from openstack.exceptions import ForbiddenException, SDKException

from openvbs.cli.cloud import Cloud, CloudUnreachable
from openvbs.errors import OpenVbsError

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PROJECT_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


class NameUnknown(OpenVbsError):
    """Nothing that this user may see has the name."""


class NameAmbiguous(OpenVbsError):
    """Several things have the name; say the id instead."""

    def __init__(self, kind: str, name: str, choices: list[str]) -> None:
        super().__init__(f"{len(choices)} {kind}s are called {name}; say which by its id:\n  " + "\n  ".join(choices))


def find_backup_id(cloud: Cloud, name_or_id: str) -> str:
    """The id of the project's backup of that name, or else of the one shared with the project.

    An id is taken as it is. Raises NameUnknown, NameAmbiguous.
    """
    if _UUID.fullmatch(name_or_id):
        return name_or_id
    found: list[dict[str, Any]] = list(cloud.pages("backups/detail", "backups", name=name_or_id))
    if not found:
        rows = cloud.pages("os-vendor-backup-sharing/detail", "shared", share_to_me="true", name=name_or_id)
        found = [row["backup"] for row in rows if row["backup"]["name"] == name_or_id]  # the filter is a substring
    if not found:
        raise NameUnknown(f"no backup called {name_or_id}, neither of this project nor shared with it")
    if len(found) > 1:
        raise NameAmbiguous("backup", name_or_id, [f"{row['id']}  made {row['created_at']}" for row in found])
    return str(found[0]["id"])


def find_project_id(cloud: Cloud, name_or_id: str) -> str:
    """The id of a project. An id is taken as it is: only Keystone's administrators may ask whether it exists.

    A name is looked for where this user may look: all projects for an administrator, else the projects the user can
    enter, else the other entries of clouds.yaml for the same Keystone. Raises NameUnknown, NameAmbiguous.
    """
    if _PROJECT_ID.fullmatch(name_or_id) or _UUID.fullmatch(name_or_id):
        return name_or_id
    found = _projects_in_keystone(cloud, name_or_id) or _projects_in_clouds_file(cloud, name_or_id)
    if not found:
        raise NameUnknown(
            f"no project called {name_or_id} that this user may look up; give its id instead. Its members see it with\n"
            "  openstack token issue -f value -c project_id\n"
            "and an administrator with\n"
            f"  openstack project show {name_or_id} -f value -c id"
        )
    if len(found) > 1:
        raise NameAmbiguous("project", name_or_id, [f"{key}  in domain {domain}" for key, domain in found.items()])
    return next(iter(found))


def _projects_in_keystone(cloud: Cloud, name: str) -> dict[str, str]:
    """Id -> domain id of the projects of that name which Keystone shows to this user."""
    try:
        identity = cloud.connection.identity
        try:
            rows = [project.to_dict() for project in identity.projects(name=name)]
        except ForbiddenException:  # not an administrator: the projects that the user has a role in
            rows = identity.get("/auth/projects").json()["projects"]
    except SDKException as error:
        raise CloudUnreachable(f"Keystone does not list projects: {error}") from error
    return {row["id"]: row["domain_id"] for row in rows if row["name"] == name}


def _projects_in_clouds_file(cloud: Cloud, name: str) -> dict[str, str]:
    """Id -> domain id of the projects of that name which other entries of clouds.yaml enter at the same Keystone."""
    here = cloud.connection.config.config["auth"].get("auth_url")
    found = {}
    for entry in OpenStackConfig().get_cloud_names():
        auth = OpenStackConfig().get_one(cloud=entry).config["auth"]
        if auth.get("auth_url") == here and auth.get("project_name") == name:
            found[Cloud(entry).project_id] = str(auth.get("project_domain_id") or auth.get("project_domain_name"))
    return found
