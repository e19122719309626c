"""Reading a JSON column by any key."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class json_text(sa.sql.functions.GenericFunction[str]):  # noqa: N801 - written like the SQL function that it is
    """What a JSON object column of texts has under a key; NULL when it has no such key.

    Any text is a key here. SQLAlchemy's own ``column[key]`` makes a path of it on SQLite, where a quote ends the key.
    """

    type = sa.String()
    inherit_cache = True
    name = "json_text"


@compiles(json_text, "sqlite")
def _on_sqlite(function: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = function.clauses
    members = sa.func.json_each(column).table_valued("key", "value")
    return compiler.process(sa.select(members.c.value).where(members.c.key == key).scalar_subquery(), **kw)


@compiles(json_text, "postgresql")
def _on_postgresql(function: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = function.clauses
    return compiler.process(column.op("->>")(sa.cast(key, sa.Text)), **kw)
