"""The requests that are measured, of ordinary projects in turn and of the big one."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import sqlalchemy as sa

from bench.api_load import Site
from openvbs.db.session import Database

PAGE = 20
PROJECTS_IN_TURN = 100

SHARES = "/v2/{p}/os-vendor-backup-sharing"
LIST = f"{SHARES}/detail?limit={PAGE}"
BACKUPS = f"/v2/{{p}}/backups/detail?limit={PAGE}"

# name: target; {p} is the project, the other braces something of its.
TARGETS = {
    "shares given": LIST,
    "shares received": f"{LIST}&share_to_me=true",
    "shares given, last page": f"{LIST}&marker={{last_share}}",
    "shares given, of a name": f"{LIST}&name={{backup_name}}",
    "shares given, of a piece of all names": f"{LIST}&name=nightly",
    "shares given, of a status": f"{LIST}&status=error",
    "shares given, by name": f"{LIST}&sort_key=name",
    "shares given, by size": f"{LIST}&sort_key=size",
    "shares received, of a volume": f"{LIST}&share_to_me=true&volume_id={{volume}}",
    "share count": f"{SHARES}/count",
    "share count, received": f"{SHARES}/count?share_to_me=true",
    "share count, of a status": f"{SHARES}/count?status=error",
    "share": f"{SHARES}/{{share}}",
    "backups": BACKUPS,
    "backups, last page": f"{BACKUPS}&marker={{last_backup}}",
    "backups, of a status": f"{BACKUPS}&status=error",
    "backups, of a name": f"{BACKUPS}&name={{backup_name}}",
    "backups, of a volume": f"{BACKUPS}&volume_id={{volume}}",
    "backups, by size and name": f"{BACKUPS}&sort_key=size,name",
}

_FACTS = sa.text("""
    SELECT :project AS p,
        (SELECT id FROM backups WHERE project_id = :project AND deleted_at IS NULL
            ORDER BY created_at, id OFFSET :page LIMIT 1) AS last_backup,
        (SELECT id FROM shares WHERE from_project_id = :project AND cancelled_at IS NULL
            ORDER BY created_at, id OFFSET :page LIMIT 1) AS last_share,
        (SELECT id FROM shares WHERE from_project_id = :project AND cancelled_at IS NULL
            ORDER BY id OFFSET 5 LIMIT 1) AS share,
        (SELECT volume_id FROM backups WHERE project_id = :project AND deleted_at IS NULL
            ORDER BY id OFFSET 7 LIMIT 1) AS volume,
        (SELECT name FROM backups WHERE project_id = :project AND deleted_at IS NULL
            ORDER BY id OFFSET 9 LIMIT 1) AS backup_name
""")
_CANCELLABLE = sa.text("""
    SELECT from_project_id, id FROM shares WHERE cancelled_at IS NULL AND (from_project_id = :big) = :of_big
    ORDER BY id LIMIT :number
""")


@dataclass(frozen=True)
class Case:
    """One kind of request, each as its bytes."""

    name: str
    big: bool
    requests: list[bytes]


def cases(database: Database, admin: Site, big_project: str, *, requests: int) -> Iterator[Case]:
    """Every case with that many requests. Cancels come last: they change what others see."""
    with database.read() as connection:
        found = connection.scalars(sa.text("SELECT DISTINCT from_project_id FROM shares ORDER BY 1")).all()
        ordinary = [project for project in found if project != big_project]
        chosen = random.Random(1).sample(ordinary, min(PROJECTS_IN_TURN, len(ordinary)))

        def facts(project: str) -> dict[str, str]:
            row = connection.execute(_FACTS, {"project": project, "page": PAGE}).one()
            return row._asdict()

        of = {False: [facts(project) for project in chosen], True: [facts(big_project)]}
        cancels = {
            is_big: connection.execute(_CANCELLABLE, {"big": big_project, "of_big": is_big, "number": requests}).all()
            for is_big in of
        }
    for name, target in TARGETS.items():
        for is_big, places in of.items():
            turns = islice(cycle(places), requests)
            yield Case(name, is_big, [admin.request("GET", target.format(**place)) for place in turns])
    for is_big, rows in cancels.items():
        targets = [f"{SHARES}/{share_id}".format(p=project) for project, share_id in rows]
        yield Case("cancel a share", is_big, [admin.request("DELETE", target) for target in targets])
