"""Whose rows a transaction wrote: known to watchers before and after its commit, and no resource has to remember it.

A row says its organisation by `organisation_id`. What cannot be told apart (a user who may be in many organisations, a
statement that updates in bulk) counts as a write to every organisation.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from sqlalchemy import column, event, select, table
from sqlalchemy.engine import Connection
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

EVERY_ORGANISATION = "*"
WATCHERS = "watchers"
TURN_OF = "turn_of"
"""Key of the organisation whose writers take turns, where the database itself lets writers run side by side."""
_ORGANISATIONS = table("organisations", column("id"))
_WRITTEN, _ANNOUNCED = "written", "announced"


class Watcher(Protocol):
    """Is told which organisations are being written. It never raises: a cache does not fail a commit."""

    def writing(self, organisations: frozenset[str]) -> None:
        """The transaction is about to commit."""
        ...

    def written(self, organisations: frozenset[str]) -> None:
        """The transaction is committed, or came to nothing after `writing`."""
        ...


class WatchedSession(Session):
    """A session whose commits are seen by the watchers in `info[WATCHERS]`, and that waits for its turn to write.

    What is read and then written back in one transaction, a setting in a JSON column or a count against a limit, would
    else be lost or exceeded when two do it at once. `info[TURN_OF]` names the organisation whose turn it is.
    """


def _is_watched(row: Any) -> bool:
    """Whether anything that is remembered between requests depends on it; a table says so where nothing does."""
    return getattr(row, "__watched__", True)


def _organisation_of(row: Any) -> str:
    if getattr(row, "__tablename__", None) == "organisations":
        return row.id
    return getattr(row, "organisation_id", None) or EVERY_ORGANISATION


def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    organisation_id = session.info.get(TURN_OF)
    if organisation_id is not None and not transaction.nested:
        turn = select(_ORGANISATIONS.c.id).where(_ORGANISATIONS.c.id == organisation_id)
        connection.execute(turn.with_for_update(key_share=True))


def _after_flush(session: Session, _context: Any) -> None:
    changed: Iterable[Any] = (row for row in session.dirty if session.is_modified(row))
    written: set[str] = session.info.setdefault(_WRITTEN, set())
    for rows in (session.new, changed, session.deleted):
        written.update(_organisation_of(row) for row in rows if _is_watched(row))


def _do_execute(state: ORMExecuteState) -> None:
    if state.is_update or state.is_delete or state.is_insert:
        state.session.info.setdefault(_WRITTEN, set()).add(EVERY_ORGANISATION)


def _before_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return
    session.flush()  # this event comes before the last flush, and what that writes counts too
    if written := frozenset(session.info.get(_WRITTEN, ())):
        session.info[_ANNOUNCED] = written
        _tell(session, lambda watcher: watcher.writing(written))


def _settle(session: Session) -> None:
    if session.in_nested_transaction():
        return
    session.info.pop(_WRITTEN, None)
    if announced := session.info.pop(_ANNOUNCED, None):
        _tell(session, lambda watcher: watcher.written(announced))


def _tell(session: Session, what: Callable[[Watcher], None]) -> None:
    for watcher in session.info.get(WATCHERS, ()):
        what(watcher)


event.listen(WatchedSession, "after_begin", _after_begin)
event.listen(WatchedSession, "after_flush", _after_flush)
event.listen(WatchedSession, "do_orm_execute", _do_execute)
event.listen(WatchedSession, "before_commit", _before_commit)
event.listen(WatchedSession, "after_commit", _settle)
event.listen(WatchedSession, "after_rollback", _settle)
