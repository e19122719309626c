"""What the modules of this package share: rows to values, pages, updates."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from openvbs.db.json_text import json_text
from openvbs.domain.errors import MarkerNotFound
from openvbs.domain.page import Page

T = TypeVar("T")

LISTINGS_KEPT_MAX = 256
"""Shapes of one list whose statements are kept."""
_ESCAPE = "/"


def _field_names(cls: type[Any]) -> set[str]:
    return {f.name for f in dataclasses.fields(cls)}


def to_value(cls: type[T], row: sa.Row[Any]) -> T:
    """The dataclass made of the columns of the same names; other columns are left out."""
    names = _field_names(cls)
    return cls(**{key: value for key, value in zip(row._fields, row, strict=True) if key in names})


def maker(cls: type[T], columns: Sequence[sa.ColumnElement[Any]]) -> Callable[[Sequence[Any]], T]:
    """What makes the dataclass of the values of these columns, in their order; each must be a field of the class."""
    names = [str(column.key) for column in columns]
    assert _field_names(cls).issuperset(names), (cls, names)
    return lambda values: cls(**dict(zip(names, values, strict=True)))


def from_value(value: Any) -> dict[str, Any]:
    """The dataclass's fields as column values, nested dataclasses not expected."""
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def constant(text: str) -> sa.ColumnElement[str]:
    """A word of ours, written into the statement: fewer parameters, and databases see which partial indexes fit."""
    assert text.isidentifier(), text
    return sa.literal_column(f"'{text}'", sa.String)


def like_parameter(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Contains a text, ignoring case, which comes as ``like_pattern`` under this name; the column is in lower case.

    What that is of a text the database says for both sides: Python's rules are others.
    """
    return column.like(sa.func.lower(sa.bindparam(name, type_=sa.String)), escape=_ESCAPE)


def like_pattern(text: str) -> str:
    """What like_parameter takes; ``%`` and ``_`` in the text are literal."""
    literal = text.replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")
    return f"%{literal}%"


class Listing(Generic[T]):
    """A list of one shape: its filters, their values left open as named parameters, its order, what its rows become.

    Making a statement takes SQLAlchemy longer than running it, so lists that are asked for often keep theirs.
    """

    def __init__(
        self,
        query: sa.Select[Any],
        *,
        order: Sequence[tuple[sa.ColumnElement[Any], str]],
        id_column: sa.ColumnElement[Any],
        make: Callable[[sa.Row[Any]], T],
    ) -> None:
        """``order`` are (column, asc | desc) pairs; ties are broken by id descending."""
        self._order = [*order, (id_column, "desc")]
        self._id_column = id_column
        self._make = make
        self._query = query
        self._ordered = (
            query.order_by(*[_directed(column, way) for column, way in self._order])
            .limit(sa.bindparam("page_limit", type_=sa.Integer))
            .offset(sa.bindparam("page_offset", type_=sa.Integer))
        )
        self._following: dict[tuple[bool, ...], sa.Select[Any]] = {}

    def page(
        self,
        connection: sa.Connection,
        values: Mapping[str, Any],
        *,
        limit: int,
        offset: int = 0,
        marker: str | None = None,
        with_count: bool = False,
    ) -> Page[T]:
        """One page of the rows that the values leave. Three statements at most, whatever the size.

        Raises MarkerNotFound when marker is not among the rows.
        """
        total = connection.scalar(self._count, values) if with_count else None
        statement, given = self._ordered, {**values, "page_limit": limit + 1, "page_offset": offset}
        if marker is not None:
            row = connection.execute(self._marked, {**values, "page_marker": marker}).first()
            if row is None:
                raise MarkerNotFound(marker)
            statement = self._after(tuple(value is None for value in row))
            given |= {_after_name(place): value for place, value in enumerate(row)}
        rows = connection.execute(statement, given).all()
        return Page([self._make(row) for row in rows[:limit]], has_more=len(rows) > limit, total=total)

    @cached_property
    def _count(self) -> sa.Select[Any]:
        return sa.select(sa.func.count()).select_from(self._query.with_only_columns(self._id_column).subquery())

    @cached_property
    def _marked(self) -> sa.Select[Any]:
        """What the marker's row has in the columns of the order."""
        marked = self._query.where(self._id_column == sa.bindparam("page_marker"))
        return marked.with_only_columns(*[column for column, _ in self._order])

    def _after(self, nulls: tuple[bool, ...]) -> sa.Select[Any]:
        """The rows after a marker that has NULL in these places of the order."""
        if nulls not in self._following:
            self._following[nulls] = self._ordered.where(_comes_after(self._order, nulls))
        return self._following[nulls]


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
    """One page of a list whose statements are not kept: see Listing."""
    listing = Listing(query, order=order, id_column=id_column, make=make)
    return listing.page(connection, {}, limit=limit, offset=offset, marker=marker, with_count=with_count)


def _directed(column: sa.ColumnElement[Any], way: str) -> sa.ColumnElement[Any]:
    ordered = column.asc() if way == "asc" else column.desc()
    if not getattr(column, "nullable", False):
        return ordered  # as the indexes have it
    # Both databases must agree where NULLs go: last in ascending order, first in descending.
    return ordered.nulls_last() if way == "asc" else ordered.nulls_first()


def _after_name(place: int) -> str:
    return f"page_after_{place}"


def _comes_after(order: Sequence[tuple[sa.ColumnElement[Any], str]], nulls: Sequence[bool]) -> sa.ColumnElement[bool]:
    """The condition "comes after the marker's row", column by column."""
    either: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for place, ((column, way), is_null) in enumerate(zip(order, nulls, strict=True)):
        value = None if is_null else sa.bindparam(_after_name(place), type_=column.type)
        either.append(sa.and_(*equal, _beyond(column, way, value)))
        equal.append(column.is_(None) if value is None else column == value)
    first, way = order[0]
    if nulls[0] or getattr(first, "nullable", False):
        return sa.or_(*either)
    # Says nothing new, but where to enter an index: a database sees that in no OR.
    value = sa.bindparam(_after_name(0), type_=first.type)
    return sa.and_(first >= value if way == "asc" else first <= value, sa.or_(*either))


def _beyond(column: sa.ColumnElement[Any], way: str, value: sa.BindParameter[Any] | None) -> sa.ColumnElement[bool]:
    if way == "asc":
        return sa.false() if value is None else sa.or_(column > value, column.is_(None))
    return column.is_not(None) if value is None else column < value


def metadata_holds(column: sa.ColumnElement[Any], wanted: Mapping[str, str | None]) -> list[sa.ColumnElement[bool]]:
    """Conditions that a JSON object column of texts holds each wanted key: with its value, or None for any."""
    found = {key: json_text(column, key) for key in wanted}
    return [found[key].is_not(None) if value is None else found[key] == value for key, value in wanted.items()]
