"""Lists of backups: their filters, orders and pages, and what indexes these begin at."""

from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from openvbs.db import backups as backup_rows
from openvbs.db.rows import LISTINGS_KEPT_MAX, Listing, like_parameter, like_pattern, metadata_holds
from openvbs.db.tables import PROJECT, backups
from openvbs.domain.backup import Backup, BackupQuery
from openvbs.domain.page import Page

_PLAIN_SORT_KEYS = (
    "name", "id", "created_at", "updated_at", "volume_id", "data_timestamp", "availability_zone", "container",
    "snapshot_id", "project_id",
)  # fmt: skip
_SORT_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    **{key: backups.c[key] for key in _PLAIN_SORT_KEYS},
    "size": backups.c.size_gib,
    "status": backup_rows.SEEN_STATUS,
}
_EXACT_FILTERS = (
    "name", "volume_id", "snapshot_id", "project_id", "id", "user_id", "availability_zone", "container", "size_gib",
)  # fmt: skip
_EXACT = {key: backups.c[key] for key in _EXACT_FILTERS}
_LIKE = {
    "name_like": backups.c.folded_name,
    "status_like": backup_rows.SEEN_STATUS,
    "volume_id_like": backups.c.volume_id,
}
_NAMED = backups.alias("named")


def has_name_like(owner: sa.BindParameter[str]) -> sa.ColumnElement[bool]:
    """The condition that a backup of this project has ``name_like`` in its name, ignoring case.

    The ids come from an index of names alone; the rows of a big project lie all over the table.
    """
    fitting = sa.select(_NAMED.c.id).where(
        _NAMED.c.project_id == owner, _NAMED.c.deleted_at.is_(None), like_parameter(_NAMED.c.folded_name, "name_like")
    )
    return backups.c.id.in_(fitting)


def ties(sort_key: str, sort_dir: str) -> list[tuple[sa.ColumnElement[Any], str]]:
    """What decides among backups of one size: their names, as in ix_backups_size.

    Thousands may be of one size, and would all have to be sorted for one page.
    """
    return [(backups.c.name, sort_dir)] if sort_key == "size" else []


def list_page(connection: sa.Connection, query: BackupQuery, *, viewer_project_id: str) -> Page[Backup]:
    """Own backups, or those of all projects where the query says so (the caller has checked that it may)."""
    values = {"viewer": viewer_project_id, "owner": None if query.all_projects else viewer_project_id}
    values |= {name: getattr(query, name) for name in (*_EXACT, "status", "parent_id")}
    values |= {name: like_pattern(text) for name in _LIKE if (text := getattr(query, name)) is not None}
    given = {name: value for name, value in values.items() if value is not None}
    status = None if query.status is None else backup_rows.status_shape(query.status)
    return _listing(frozenset(given), status, tuple(query.tags.items()), query.sort).page(
        connection,
        given,
        limit=query.limit,
        offset=query.offset,
        marker=query.marker,
        with_count=query.with_count,
    )


@lru_cache(LISTINGS_KEPT_MAX)
def _listing(
    given: frozenset[str],
    status: str | None,
    tags: tuple[tuple[str, str | None], ...],
    sort: tuple[tuple[str, str], ...],
) -> Listing[Backup]:
    """The list with these filters."""
    conditions: list[sa.ColumnElement[bool]] = [backups.c.deleted_at.is_(None)]
    like = {name: like_parameter(column, name) for name, column in _LIKE.items() if name in given}
    if "owner" in given:
        owner = sa.bindparam("owner", type_=PROJECT)
        conditions.append(backups.c.project_id == owner)
        if "name_like" in like:
            like["name_like"] = has_name_like(owner)
    if "parent_id" in given:
        conditions.append(sa.false())
    conditions += [column == sa.bindparam(name) for name, column in _EXACT.items() if name in given]
    conditions += like.values()
    conditions += [] if status is None else [backup_rows.is_seen_as(status)]
    conditions += metadata_holds(backups.c.tags, dict(tags))
    return Listing(
        sa.select(*backup_rows.COLUMNS).where(*conditions),
        order=[*[(_SORT_COLUMNS[key], way) for key, way in sort], *ties(*sort[-1])],
        id_column=backups.c.id,
        make=backup_rows.make,
    )
