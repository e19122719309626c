"""Bring a database to the present schema."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from openvbs.db.session import DatabaseUnavailable, create_engine

MIGRATIONS = Path(__file__).parent / "migrations"


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def upgrade(url: str) -> None:
    """Create or upgrade every table. Safe to repeat; a crash leaves the last finished revision.

    Raises DatabaseUnavailable when the database cannot be reached, written or understood.
    """
    try:
        engine = create_engine(url)
    except sa.exc.ArgumentError as error:
        raise DatabaseUnavailable(f"The database URL is wrong: {error}") from error
    try:
        with engine.connect().execution_options(openvbs_writes=True) as connection, connection.begin():
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sa.exc.SQLAlchemyError as error:
        raise DatabaseUnavailable(f"The database could not be brought up to date: {error}") from error
    finally:
        engine.dispose()


def is_current(connection: sa.Connection) -> bool:
    """True when the database has the newest revision."""
    return (
        MigrationContext.configure(connection).get_current_revision()
        == ScriptDirectory.from_config(_alembic()).get_current_head()
    )
