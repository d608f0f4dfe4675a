"""The schema of the control plane: brought to the newest revision, once, whoever races."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection

from api.collations import collate_columns, collate_tables, restore_references
from api.db import Database
from warehouse.errors import ConfigurationError

FOLDER = Path(__file__).parent
LOCK_NAME = "gateledger.migrations"
LOCK_NUMBER = 7_236_520_114
LOCK_WAIT_S = 120


def upgrade(database: Database) -> bool:
    """Bring the database to the newest revision; True when something was done. Safe to race and to repeat.

    Raises: ConfigurationError for a database that does not let us in, or that a newer gateledger has upgraded.
    """
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    database.reach()
    with database.engine.connect() as connection:
        current = _revision(connection)
    if current == newest:
        return False
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigurationError(
            f"The database is at revision {current}, which this gateledger does not know (its newest is {newest}): "
            "it was upgraded by a newer one. Upgrade gateledger, or name another DATABASE_URL."
        )
    with _alone(database) as connection:
        if _revision(connection) == newest:
            return False
        config.attributes["connection"] = connection
        collate_tables(connection)
        command.upgrade(config, "head")
        restore_references(connection)
        collate_columns(connection)
    return True


def lacks(database: Database) -> list[str]:
    """The revisions that the database has not had, oldest first; none where a newer gateledger has upgraded it.

    A server goes on serving while a newer one takes over: migrations leave what older releases read.
    """
    scripts = ScriptDirectory.from_config(_config())
    known = [script.revision for script in scripts.walk_revisions()]
    with database.engine.connect() as connection:
        current = _revision(connection)
    if current is None:
        return known[::-1]
    return known[: known.index(current)][::-1] if current in known else []


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _alone(database: Database) -> Generator[Connection]:
    """A writing connection, while no other process migrates; what it did is committed before another one may.

    On SQLite the writing transaction is the lock. Raises: TimeoutError.
    """
    name = database.engine.dialect.name
    with database.connected() as connection:
        if name in {"mysql", "mariadb"}:
            # MySQL ends transactions at DDL, so its lock is of the session and has to outlast the transaction.
            got = connection.scalar(text("SELECT GET_LOCK(:name, :wait)"), {"name": LOCK_NAME, "wait": LOCK_WAIT_S})
            if got != 1:
                raise TimeoutError(f"another process has migrated the database for more than {LOCK_WAIT_S} s")
            connection.commit()
        try:
            with connection.begin():
                if name == "postgresql":
                    # Advisory locks heed the time-out of all locks: shorter than a migration on a busy machine.
                    wait = {"wait": f"{LOCK_WAIT_S}s"}
                    connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), wait)
                    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
                yield connection
        finally:
            if name in {"mysql", "mariadb"}:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": LOCK_NAME})
