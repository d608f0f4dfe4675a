"""The relational database: one engine, short transactions, portable column types.

SQLite gets WAL, enforced foreign keys and a real BEGIN; a transaction that will write takes its lock at once,
because an upgrade from a read snapshot fails when another writer came between.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Engine, MetaData, String, create_engine, event
from sqlalchemy.engine import URL, Connection, Dialect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from warehouse.errors import ConfigurationError

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
BUSY_TIMEOUT_MS = 15_000
WRITES = "gateledger_writes"

_DRIVERS = {
    "sqlite": "sqlite",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}


class Instant(TypeDecorator[datetime]):
    """A UTC instant to the microsecond; refuses a datetime without a zone."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in {"mysql", "mariadb"}:
            from sqlalchemy.dialects.mysql import DATETIME

            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Parent of every table of the control plane."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: Instant(), str: String(255)}  # noqa: RUF012


class Database:
    """Connections to the relational database at `url`, and transactions on them.

    Raises: ConfigurationError on a URL that names no known database.
    """

    def __init__(self, url: str) -> None:
        self.url = _with_driver(url)
        if self.url.drivername == "sqlite" and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine: Engine = create_engine(
            self.url, pool_pre_ping=self.url.drivername != "sqlite", pool_size=10, max_overflow=30, hide_parameters=True
        )
        self._writing_engine = self.engine.execution_options(**{WRITES: True})
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    def session(self, *, writes: bool) -> Session:
        """A session that touches the database at its first statement; the caller ends it."""
        return Session(self._writing_engine if writes else self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Generator[Session]:
        """A session that commits when the block ends well and rolls back when it doesn't."""
        with self.session(writes=writes) as session, session.begin():
            yield session

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """One writing connection in one transaction, for migrations."""
        with self._writing_engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def _with_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError, NoSuchModuleError) as error:
        raise ConfigurationError("DATABASE_URL is not a database URL such as postgresql://user@host/name") from error
    driver = _DRIVERS.get(parsed.drivername.partition("+")[0])
    if driver is None:
        raise ConfigurationError(
            f"DATABASE_URL: unknown database '{parsed.drivername}'; allowed: {', '.join(_DRIVERS)}"
        )
    return parsed.set(drivername=driver)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own implicit BEGIN comes too late (at the first write); `_begin_sqlite` says it instead.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=%d" % BUSY_TIMEOUT_MS):  # noqa: UP031
        connection.execute("PRAGMA " + pragma)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
