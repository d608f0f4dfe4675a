"""The relational database: one engine, short transactions, portable column types.

SQLite gets WAL, enforced foreign keys and a real BEGIN; a transaction that will write takes its lock at once,
because an upgrade from a read snapshot fails when another writer came between. The others read what is committed,
and wait for a lock no longer than SQLite does. Text is compared and sorted by its code points on all of them.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Engine, MetaData, String, create_engine, event
from sqlalchemy.engine import URL, Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from api.database_refusals import refusal
from api.database_settings import DatabaseTls, TlsMode, parsed
from api.database_tls import connect_arguments
from api.written import TURN_OF, WATCHERS, WatchedSession, Watcher
from warehouse.errors import ConfigurationError

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
BUSY_TIMEOUT_MS = 15_000
CONNECT_TIMEOUT_S = 10
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "case_sensitive_like=ON",
    "busy_timeout=%d" % BUSY_TIMEOUT_MS,  # noqa: UP031
)
_LOCK_WAITS = {
    "mysql": "SET SESSION innodb_lock_wait_timeout = 15",
    "mariadb": "SET SESSION innodb_lock_wait_timeout = 15",
    "postgresql": "SET SESSION lock_timeout = '15s'",
}
POOL_SIZE, POOL_OVERFLOW = 10, 30
"""Together the threads that serve requests, so that none waits for a connection."""
WRITES = "gateledger_writes"
_LOST_RACES = frozenset({1213, 1020, "40001", "40P01"})
"""Deadlocks, and rows that changed under a snapshot: the numbers of MySQL and MariaDB, the states of PostgreSQL."""

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

    `pool_size` is the most connections that are held; default: as many as there are threads that serve requests.
    Raises: ConfigurationError on a URL that names no known database, or certificates that cannot be read.
    """

    def __init__(self, url: str | URL, *, tls: DatabaseTls | None = None, pool_size: int | None = None) -> None:
        self.url = _with_driver(url)
        self.watchers: list[Watcher] = []
        self.session_info: dict[str, Any] = {}
        """What every session carries in its `info`."""
        self._opened = ExitStack()
        is_sqlite = self.url.drivername == "sqlite"
        if is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        arguments = {} if is_sqlite else {"connect_timeout": CONNECT_TIMEOUT_S}
        if tls is not None:
            arguments |= connect_arguments(self.url, tls, self._opened)
        self.engine: Engine = create_engine(
            self.url,
            pool_pre_ping=not is_sqlite,
            pool_size=pool_size or POOL_SIZE,
            max_overflow=POOL_OVERFLOW if pool_size is None else 0,
            hide_parameters=True,
            connect_args=arguments,
            **({} if is_sqlite else {"isolation_level": "READ COMMITTED"}),
        )
        self._takes_turns = is_sqlite
        """Its writers wait for each other anyway."""
        self._writing_engine = self.engine.execution_options(**{WRITES: True})
        if is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            event.listen(self.engine, "connect", _wait_no_longer_for_locks(self.engine.dialect.name))
            event.listen(self.engine, "do_connect", _explained(self.url, tls.mode if tls else None))

    def reach(self) -> None:
        """Nothing, when the database lets us in. Raises: ConfigurationError that says why it doesn't."""
        try:
            self.engine.connect().close()
        except DBAPIError as error:
            raise ConfigurationError(str((error.orig or error).args[-1])) from error

    def session(self, *, writes: bool, organisation_id: str | None = None) -> Session:
        """A session that touches the database at its first statement; the caller ends it.

        Those that write the same organisation take turns, from the first statement to the commit.
        """
        info: dict[str, Any] = {**self.session_info, WATCHERS: self.watchers}
        if writes and not self._takes_turns:
            info[TURN_OF] = organisation_id
        bind = self._writing_engine if writes else self.engine
        return WatchedSession(bind, expire_on_commit=False, info=info)

    @contextmanager
    def transaction(self, *, writes: bool = True, organisation_id: str | None = None) -> Generator[Session]:
        """A session that commits when the block ends well and rolls back when it doesn't."""
        with self.session(writes=writes, organisation_id=organisation_id) as session, session.begin():
            yield session

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """One writing connection in one transaction."""
        with self.connected() as connection, connection.begin():
            yield connection

    def connected(self) -> Connection:
        """A writing connection; its transactions are the caller's, who gives it back. For migrations."""
        return self._writing_engine.connect()

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()
        self._opened.close()


def lost_a_race(error: DBAPIError) -> bool:
    """Whether the database undid a transaction in favour of another one, so that it may be tried again."""
    code = getattr(error.orig, "sqlstate", None) or next(iter(getattr(error.orig, "args", ())), None)
    return code in _LOST_RACES


def _with_driver(url: str | URL) -> URL:
    found = parsed(url) if isinstance(url, str) else url
    driver = _DRIVERS.get(found.drivername.partition("+")[0])
    if driver is None:
        raise ConfigurationError(f"DATABASE_URL: unknown database '{found.drivername}'; allowed: {', '.join(_DRIVERS)}")
    return found.set(drivername=driver)


def _explained(url: URL, mode: TlsMode | None) -> Callable[..., Any]:
    """How to connect so that a refusal says which mode met what; the driver's own error class and code stay."""

    def connect(dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        try:
            return dialect.connect(*arguments, **parameters)
        except dialect.loaded_dbapi.OperationalError as error:
            code = error.args[:1] if len(error.args) > 1 else ()
            raise dialect.loaded_dbapi.OperationalError(*code, refusal(url, mode, error)) from error

    return connect


def _wait_no_longer_for_locks(dialect: str) -> Callable[[Any, Any], None]:
    statement = _LOCK_WAITS[dialect]

    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.commit()

    return prepare


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own implicit BEGIN comes too late (at the first write); `_begin_sqlite` says it instead.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute("PRAGMA " + pragma)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
