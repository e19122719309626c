"""A PostgreSQL server of Debian's package for tests: on a free port, in a temporary directory, not as root."""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

VERSIONS = Path("/usr/lib/postgresql")
ROOT_STEPS_DOWN_TO = "postgres"
START_ATTEMPTS_MAX = 5

_FREE = "given back"
_GIVEN_BACK = "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') = %s LIMIT 1"
_TABLES = """
    SELECT schemaname, tablename FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    AND tablename NOT IN ('alembic_version', 'dbos_migrations')
"""


@dataclass(frozen=True)
class PostgresServer:
    """A running server; everybody on this machine may connect, and nothing in it is worth keeping."""

    port: int

    def create_database(self) -> str:
        """The SQLAlchemy URL of a database without rows: one that was given back, else a new one."""
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            found = connection.execute(_GIVEN_BACK, [_FREE]).fetchone()
            if found is None:
                name = f"t{secrets.token_hex(6)}"
                connection.execute(f"CREATE DATABASE {name}")
            else:
                name = found[0]
                connection.execute(f"COMMENT ON DATABASE {name} IS NULL")
        return f"postgresql+psycopg://openvbs@127.0.0.1:{self.port}/{name}"

    def _conninfo(self, name: str) -> str:
        return f"postgresql://openvbs@127.0.0.1:{self.port}/{name}"


def give_back(url: str) -> None:
    """Empty all tables of a database that nobody uses any more, so that the next test need not wait for a new one.

    Each database is hundreds of files; making and removing them costs more than most tests.
    """
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        tables = [f'"{schema}"."{name}"' for schema, name in connection.execute(_TABLES).fetchall()]
        if tables:
            connection.execute(f"TRUNCATE {', '.join(tables)}")
        connection.execute(f"COMMENT ON DATABASE {connection.info.dbname} IS '{_FREE}'")


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server, stop it and remove its files at the end. RuntimeError names the package when it is missing."""
    programs = _programs()
    directory = Path(tempfile.mkdtemp(prefix="openvbs-postgres-"))
    account: dict[str, str] = {}
    if os.geteuid() == 0:
        account = {"user": ROOT_STEPS_DOWN_TO, "group": ROOT_STEPS_DOWN_TO}
        entry = pwd.getpwnam(ROOT_STEPS_DOWN_TO)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    try:
        data = directory / "data"
        _run(
            [programs / "initdb", "-D", data, "-U", "openvbs", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            account,
            directory,
        )
        port = _start(programs, data, account)
        try:
            yield PostgresServer(port)
        finally:
            _run([programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], account, directory)
    finally:
        shutil.rmtree(directory)


def _programs() -> Path:
    versions = sorted(VERSIONS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise RuntimeError(
            f"no PostgreSQL below {VERSIONS}; install the Debian package postgresql (scripts/install-test-packages.sh)"
        )
    return versions[-1].parent


def _start(programs: Path, data: Path, account: dict[str, str]) -> int:
    for attempt in range(START_ATTEMPTS_MAX):
        port = _free_port()
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data.parent} "
            "-c fsync=off -c max_connections=200"
        )
        try:
            command = [programs / "pg_ctl", "-D", data, "-l", data.parent / "log", "-o", options, "-w", "start"]
            _run(command, account, data.parent)
        except RuntimeError:
            if attempt == START_ATTEMPTS_MAX - 1:  # else somebody took the port in between
                raise
        else:
            return port
    raise AssertionError


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(command: list[str | Path], account: dict[str, str], directory: Path) -> None:
    """Run it to its end. The server inherits what it writes to, so that is a file and not a pipe."""
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, cwd=directory, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False, **account
        )
        if done.returncode:
            output.seek(0)
            raise RuntimeError(f"{command[0]} failed: {output.read().decode(errors='replace')}")
