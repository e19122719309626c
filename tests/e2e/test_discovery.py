"""What clients ask before they have a token, and the headers that every answer of a version carries."""

import pytest

from tests.support.parties import Party, send
from tests.support.steps import new_volume


@pytest.mark.parametrize(("target", "status"), [("/", 300), ("/v3", 200), ("/v3/", 200)])
def test_versions_without_a_token(alpha: Party, target: str, status: int) -> None:
    answer = send("GET", alpha.base, target)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    (version,) = answer.json()["versions"]
    assert {"id", "status", "updated", "links", "min_version", "version", "media-types"} <= set(version)
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.64")
    assert version["status"] == "CURRENT"
    assert {"rel": "self", "href": f"{alpha.base}/v3/"} in version["links"]


def test_health_without_a_token(alpha: Party) -> None:
    assert send("GET", alpha.base, "/healthcheck").status == 200


@pytest.mark.parametrize(
    ("asked", "status", "used"),
    [
        (None, 200, "volume 3.0"),
        ("volume 3.45", 200, "volume 3.45"),
        ("compute 2.1, volume 3.18", 200, "volume 3.18"),
        ("volume latest", 200, "volume 3.64"),
        ("volume 3.65", 406, None),
        ("volume 2.0", 406, None),
        ("volume three", 400, None),
    ],
)
def test_microversions(alpha: Party, asked: str | None, status: int, used: str | None) -> None:
    headers = {} if asked is None else {"OpenStack-API-Version": asked}
    answer = alpha.send("GET", "/v3/{p}/backups", headers=headers)
    assert answer.status == status, answer
    if used is not None:
        assert answer.headers["openstack-api-version"] == used
        assert answer.headers["vary"] == "OpenStack-API-Version"


def test_links_lead_back_to_what_they_are_about(alpha: Party) -> None:
    volume_id = new_volume(alpha)
    (row,) = alpha.get("/v3/{p}/volumes?limit=1")["volumes"]
    (href,) = (link["href"] for link in row["links"] if link["rel"] == "self")
    assert alpha.get(href.removeprefix(alpha.base))["volume"]["id"] == row["id"] == volume_id
