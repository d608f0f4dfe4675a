"""Many rows at once, and only those that are not there yet, on every database."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

One = TypeVar("One")

AT_ONCE = 500
"""Rows of one statement, and values of one IN list."""


def pieces(values: Sequence[One], size: int = AT_ONCE) -> Iterator[Sequence[One]]:
    """The values, some at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def add_missing(session: Session, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows whose primary key is not there; who races for the same row finds it there.

    They go past the session's own watchers: no cache depends on what waits in an outbox.
    """
    connection = session.connection()
    statement = _or_nothing(table, connection.dialect.name)
    for some in pieces(rows):
        connection.execute(statement, list(some))


def _or_nothing(table: Table, dialect: str) -> Insert:
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    # IGNORE would also hide what else is wrong with a row.
    statement = mysql.insert(table)
    return statement.on_duplicate_key_update(id=statement.inserted.id)
