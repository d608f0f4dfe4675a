"""What operators look at: alerts and messages, the newest first, and dead ones tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, func, select, update
from sqlalchemy.orm import Session

from api.alerts.rows import Alert, Message, Status
from api.db import Database

_MESSAGES = cast("Table", Message.__table__)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many messages have this status."""

    status: str
    messages: int


def alerts(session: Session, limit: int, organisation_id: str | None = None) -> list[Alert]:
    """The newest alerts."""
    query = select(Alert).order_by(Alert.created_at.desc(), Alert.id).limit(limit)
    if organisation_id is not None:
        query = query.where(Alert.organisation_id == organisation_id)
    return list(session.scalars(query))


def messages(session: Session, limit: int, statuses: Sequence[str] = ()) -> list[Message]:
    """The newest messages, of some statuses or of all."""
    query = select(Message).order_by(Message.created_at.desc(), Message.id).limit(limit)
    return list(session.scalars(query.where(Message.status.in_(statuses)) if statuses else query))


def counts(session: Session) -> list[Counted]:
    """How many messages there are by status."""
    query = select(Message.status, func.count()).group_by(Message.status).order_by(Message.status)
    return [Counted(status, count) for status, count in session.execute(query)]


def message_counts(database: Database) -> dict[str, int]:
    """How many messages there are by status. Raises: SQLAlchemyError."""
    with database.transaction(writes=False) as session:
        return {one.status: one.messages for one in counts(session)}


def overdue(session: Session, now: datetime, by: timedelta) -> int:
    """How many messages are due since longer than `by`: nobody sends them."""
    late = select(func.count()).where(Message.status == Status.WAITING.value, Message.next_try_at < now - by)
    return session.scalar(late) or 0


def revive(session: Session, now: datetime, message_id: str | None = None) -> int:
    """How many dead messages are to be tried again, from the first try on: one, or all."""
    dead = update(_MESSAGES).where(_MESSAGES.c.status == Status.DEAD.value)
    if message_id is not None:
        dead = dead.where(_MESSAGES.c.id == message_id)
    waiting = {"status": Status.WAITING.value, "attempts": 0, "next_try_at": now, "finished_at": None}
    return session.connection().execute(dead.values(**waiting)).rowcount
