"""Which database the installations of a test run are on: SQLite, or by GATELEDGER_TEST_DATABASE MariaDB or PostgreSQL.

A database of a server is emptied and used again: that takes milliseconds, where making one takes seconds.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import column, inspect, select, table
from sqlalchemy.engine import URL

from api.db import Database
from api.migrations import _config, upgrade
from api.organisations.service import Bootstrap, bootstrap
from api.tables import METADATA
from tests.factories import private_mariadb, private_postgres
from tests.factories.parts import needed
from tests.factories.private_servers import PASSWORD, USER, Server, shared

VARIABLE = "GATELEDGER_TEST_DATABASE"
KINDS = ("sqlite", "mariadb", "postgresql")

OPENED = ExitStack()
"""Servers of this process; `tests/conftest.py` closes it at the end of the session."""
URL_OF_HOME: dict[Path, URL] = {}
"""Where a server process over a home finds its database."""


def variables_of(home: Path) -> dict[str, str]:
    """What a server process over this home needs in its environment to find the installation's database."""
    url = URL_OF_HOME.get(home)
    return {} if url is None else {"DATABASE_URL": url.render_as_string(hide_password=False)}


def chosen() -> str:
    """The database of this test run."""
    kind = os.environ.get(VARIABLE, "sqlite")
    if kind not in KINDS:
        pytest.exit(f"{VARIABLE} is {kind!r}; allowed: {', '.join(KINDS)}", returncode=2)
    return kind


class Servers:
    """The servers of this process, started when first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._numbers = count()

    def of(self, kind: str) -> Server:
        """The running server; the test is skipped where it is not installed (a failure in CI)."""
        if kind not in self._running:
            start = {"mariadb": private_mariadb.mariadb(), "postgresql": private_postgres.postgres()}[kind]
            self._running[kind] = OPENED.enter_context(needed(shared(kind, start)))
        return self._running[kind]

    def new_database(self, kind: str, collation: str = "utf8mb4_general_ci") -> URL:
        """An empty database. MariaDB's has the collation that most have, which is not ours."""
        server = self.of(kind)
        name = f"gl_{os.getpid()}_{next(self._numbers)}"
        if kind == "mariadb":
            with private_mariadb.as_root(server.folder / "sock") as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE {collation}")
        else:
            with private_postgres.as_root(server.folder, server.port) as connection:
                connection.execute(f"CREATE DATABASE {name}")
        return URL.create(kind, USER, PASSWORD, "127.0.0.1", server.port, name)


SERVERS = Servers()


def _is_whole(url: URL) -> bool:
    """Whether a test left the schema alone."""
    with closing(Database(url)) as database, database.engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
        return found >= set(METADATA.tables) and connection.scalar(select(_VERSION)) == _NEWEST


_VERSION = table("alembic_version", column("version_num")).c.version_num
_NEWEST = ScriptDirectory.from_config(_config()).get_current_head()


class Pool:
    """Databases of a server that are initialised alike and used again and again."""

    def __init__(self) -> None:
        self._free: list[URL] = []
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._first: Bootstrap | None = None

    @contextmanager
    def initialised(self, owner: str, now: datetime) -> Iterator[tuple[URL, Bootstrap]]:
        """A database after `init`, in nobody else's hands."""
        url = self._free.pop() if self._free else self._made()
        database = Database(url)
        try:
            self._reset(database, owner, now)
        finally:
            database.close()
        assert self._first is not None
        yield url, self._first
        if _is_whole(url):
            self._free.append(url)

    def _made(self) -> URL:
        url = SERVERS.new_database(chosen())
        database = Database(url)
        upgrade(database)
        database.close()
        return url

    def _reset(self, database: Database, owner: str, now: datetime) -> None:
        tables = METADATA.sorted_tables
        with database.connection() as connection:
            for one in reversed(tables):
                connection.execute(one.delete())
        if self._first is None:
            with database.transaction() as session:
                self._first = bootstrap(session, organisation="Acme", owner_email=owner, now=now, new_key=False)
            with database.connection() as connection:
                found = {one.name: connection.execute(one.select()).mappings() for one in tables}
                self._rows = {name: [dict(row) for row in rows] for name, rows in found.items()}
            return
        with database.connection() as connection:
            for one in tables:
                if self._rows[one.name]:
                    connection.execute(one.insert(), self._rows[one.name])


POOL = Pool()
