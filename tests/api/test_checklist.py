"""Every route that clients of the field use is served: the checklist of the contract, route by route."""

from tests.support.wsgi import Client

ID = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"
V2 = (
    ("POST", "cloudbackups"),
    ("GET", "cloudbackups/quota"),
    ("POST", "cloudbackups/{id}/restore"),
    ("POST", "cloudbackups/{id}"),
    ("DELETE", "cloudbackups/{id}"),
    ("GET", "backups/detail"),
    ("GET", "backups"),
    ("GET", "backups/{id}"),
    ("POST", "backups"),
    ("POST", "backups/{id}/restore"),
    ("DELETE", "backups/{id}"),
    ("POST", "os-vendor-backup-sharing"),
    ("GET", "os-vendor-backup-sharing/detail"),
    ("GET", "os-vendor-backup-sharing/count"),
    ("GET", "os-vendor-backup-sharing/{id}"),
    ("DELETE", "os-vendor-backup-sharing/{id}"),
    ("POST", "backuppolicy"),
    ("GET", "backuppolicy"),
    ("GET", "backuppolicy/tags"),
    ("POST", "backuppolicy/resource_instances/action"),
    ("PUT", "backuppolicy/{id}"),
    ("DELETE", "backuppolicy/{id}"),
    ("POST", "backuppolicy/{id}/action"),
    ("GET", "backuppolicy/{id}/backuptasks"),
    ("GET", "backuppolicy/{id}/tags"),
    ("POST", "backuppolicy/{id}/tags"),
    ("POST", "backuppolicy/{id}/tags/action"),
    ("DELETE", "backuppolicy/{id}/tags/{key}"),
    ("POST", "backuppolicyresources"),
    ("GET", "os-vendor-tags/volumes/{id}"),
    ("PUT", "os-vendor-tags/volumes/{id}"),
    ("POST", "backuppolicyresources/{id}/deleted_resources"),
    ("GET", "jobs/{id}"),
)
V3 = (
    ("GET", "backups"),
    ("GET", "backups/detail"),
    ("POST", "backups"),
    ("GET", "backups/{id}"),
    ("PUT", "backups/{id}"),
    ("DELETE", "backups/{id}"),
    ("POST", "backups/{id}/restore"),
    ("POST", "backups/{id}/action"),
    ("GET", "backups/{id}/export_record"),
    ("POST", "backups/import_record"),
    ("POST", "volumes"),
    ("GET", "volumes"),
    ("GET", "volumes/detail"),
    ("GET", "volumes/{id}"),
    ("PUT", "volumes/{id}"),
    ("DELETE", "volumes/{id}"),
    ("POST", "snapshots"),
    ("GET", "snapshots/detail"),
    ("GET", "snapshots/{id}"),
    ("DELETE", "snapshots/{id}"),
    ("GET", "os-quota-sets/{id}"),
    ("GET", "os-quota-sets/{id}/defaults"),
    ("PUT", "os-quota-sets/{id}"),
    ("DELETE", "os-quota-sets/{id}"),
)
CHECKLIST = (
    ("GET", "/v1/{p}/jobs/{id}"),
    *((method, f"/v2/{{p}}/{path}") for method, path in V2),
    *((method, f"{base}/{path}") for base in ("/v3/{p}", "/v3") for method, path in V3),
)
OPEN = {"/": 300, "/v3": 200, "/v3/": 200}
WITHOUT_TOKEN = {"X_Identity_Status": "Invalid", "X_Auth_Token": ""}


def test_each_is_there_for_who_has_a_token(alpha: Client) -> None:
    """What is not served answers 404 or 405 before it asks for a token."""
    statuses = {
        (method, path): alpha.send(method, path.replace("{id}", ID).replace("{key}", "a"), **WITHOUT_TOKEN).status
        for method, path in CHECKLIST
    }
    assert statuses == dict.fromkeys(CHECKLIST, 401)


def test_the_versions_are_there_for_anybody(alpha: Client) -> None:
    assert {path: alpha.send("GET", path, **WITHOUT_TOKEN).status for path in OPEN} == OPEN
