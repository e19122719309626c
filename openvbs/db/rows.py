"""What the modules of this package share: rows to values, pages, updates."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from openvbs.domain.errors import MarkerNotFound
from openvbs.domain.page import Page

T = TypeVar("T")


def to_value(cls: type[T], row: sa.Row[Any]) -> T:
    """The dataclass made of the columns of the same names; other columns are left out."""
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public way to read by name
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{key: value for key, value in values.items() if key in names})


def from_value(value: Any) -> dict[str, Any]:
    """The dataclass's fields as column values, nested dataclasses not expected."""
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def like(column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
    """Contains text, ignoring case; ``%`` and ``_`` are literal."""
    return sa.func.lower(column).contains(text.lower(), autoescape=True)


def page(
    connection: sa.Connection,
    query: sa.Select[Any],
    *,
    order: Sequence[tuple[sa.ColumnElement[Any], str]],
    id_column: sa.ColumnElement[Any],
    make: Callable[[sa.Row[Any]], T],
    limit: int,
    offset: int = 0,
    marker: str | None = None,
    with_count: bool = False,
) -> Page[T]:
    """One page of query in the given order, ties broken by id descending. Three statements at most, whatever the size.

    Raises MarkerNotFound when marker is not among the rows of query.
    """
    total = connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) if with_count else None
    full_order = [*order, (id_column, "desc")]
    if marker is not None:
        query = query.where(_after(connection, query, full_order, id_column, marker))
    ordered = query.order_by(*[_directed(column, way) for column, way in full_order])
    rows = connection.execute(ordered.limit(limit + 1).offset(offset)).all()
    return Page([make(row) for row in rows[:limit]], has_more=len(rows) > limit, total=total)


def _directed(column: sa.ColumnElement[Any], way: str) -> sa.ColumnElement[Any]:
    # Both databases must agree where NULLs go: last in ascending order, first in descending.
    return column.asc().nulls_last() if way == "asc" else column.desc().nulls_first()


def _after(
    connection: sa.Connection,
    query: sa.Select[Any],
    order: Sequence[tuple[sa.ColumnElement[Any], str]],
    id_column: sa.ColumnElement[Any],
    marker: str,
) -> sa.ColumnElement[bool]:
    """The condition "comes after the marker's row", column by column."""
    wanted = query.where(id_column == marker).with_only_columns(*[column for column, _ in order])
    row = connection.execute(wanted).first()
    if row is None:
        raise MarkerNotFound(marker)
    either: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for (column, way), value in zip(order, row, strict=True):
        either.append(sa.and_(*equal, _beyond(column, way, value)))
        equal.append(column.is_(None) if value is None else column == value)
    return sa.or_(*either)


def _beyond(column: sa.ColumnElement[Any], way: str, value: Any) -> sa.ColumnElement[bool]:
    if way == "asc":
        return sa.false() if value is None else sa.or_(column > value, column.is_(None))
    return column.is_not(None) if value is None else column < value


def metadata_holds(column: sa.ColumnElement[Any], wanted: Mapping[str, str]) -> list[sa.ColumnElement[bool]]:
    """Conditions that a JSON object column holds each wanted key with its value."""
    return [column[key].as_string() == value for key, value in wanted.items()]
