"""Sends what waits in the outbox: any number of processes may, and any of them may die at any moment.

Who takes a message moves its next try into the future in the statement that takes it: one that dies there comes back
by itself, and counts as tried. So each message leaves at least once, and twice only when a process dies between the
receiver's yes and our writing it down; then it has the same id (Message-ID, `webhook-id`), and in the audit log, which
knows ids, it is there once.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, delete, select, update

from api.alerts.network import Busy
from api.alerts.rows import Channel, Message, Status
from api.alerts.writing import pieces
from api.background import Background
from api.db import Database
from api.identifiers import new_id
from api.mail.transport import NotDelivered

logger = logging.getLogger("api.alerts")

RETRY_AFTER_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 21_600.0, 43_200.0)
"""After the first try, the second, …; what failed once more than these is given up, after some 21 hours."""
LEASE = timedelta(minutes=5)
"""Longer than any one delivery can take."""
AT_ONCE = 4
BATCH = 2 * AT_ONCE
MOST_BATCHES = 500
"""Of one round, so that a thread that is to stop comes to its end."""
KEPT = timedelta(days=90)
"""For so long messages that have left, or never will, can be looked at."""
_MESSAGES = cast("Table", Message.__table__)

Way = Callable[[Message], None]
"""Delivers a message. Raises: NotDelivered, Skipped, or whatever else went wrong: it is tried again then."""


class Skipped(Exception):
    """There is no such way here, or nobody at its end any more."""


class Delivery:
    """The messages that are due, by their ways out."""

    def __init__(
        self,
        database: Database,
        ways: Mapping[Channel, Way],
        clock: Callable[[], datetime],
        *,
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
    ) -> None:
        self._database, self._ways, self._clock, self._retry_after_s = database, ways, clock, retry_after_s
        self._tidied_at: datetime | None = None

    def every(self, interval_s: float) -> Background:
        """A thread that sends what is due, again and again."""
        return Background("sending alerts and mails", self._round, interval_s, logger)

    def _round(self) -> None:
        self.once()

    def once(self) -> Counter[str]:
        """Send all that is due. What became of how many messages, by status."""
        done: Counter[str] = Counter()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="outbox") as threads:
            for _ in range(MOST_BATCHES):
                taken = self._claim()
                done.update(threads.map(self._send, taken))
                if len(taken) < BATCH:
                    break
        self._tidy()
        return done

    def _claim(self) -> list[Message]:
        """Some messages that are due, ours until `LEASE` is over."""
        now, lease = self._clock(), new_id()
        due = select(Message.id).where(Message.status == Status.WAITING.value, Message.next_try_at <= now)
        with self._database.transaction(writes=False) as session:
            ids = list(session.scalars(due.order_by(Message.next_try_at, Message.id).limit(BATCH)))
        if not ids:
            return []
        mine = update(_MESSAGES).where(_MESSAGES.c.id.in_(ids), _MESSAGES.c.status == Status.WAITING.value)
        taken = mine.where(_MESSAGES.c.next_try_at <= now).values(
            lease=lease, next_try_at=now + LEASE, attempts=_MESSAGES.c.attempts + 1
        )
        with self._database.transaction() as session:
            session.connection().execute(taken)
            return list(session.scalars(select(Message).where(Message.id.in_(ids), Message.lease == lease)))

    def _send(self, message: Message) -> str:
        """What became of it."""
        about = {"message_id": message.id, "channel": message.channel, "template": message.template}
        try:
            self._ways[Channel(message.channel)](message)
        except Skipped as reason:
            return self._settle(message, Status.SKIPPED, last_error=str(reason))
        except NotDelivered as failure:
            return self._not_delivered(message, failure, about)
        except Exception as error:
            # A message that cannot be made is no reason to keep the others, and a full disk none to give it up.
            logger.exception("a message could not be made", extra=about)
            failure = NotDelivered(f"{type(error).__name__}: {error}", is_final=False)
            return self._not_delivered(message, failure, about)
        return self._settle(message, Status.SENT, last_error=None)

    def _not_delivered(self, message: Message, failure: NotDelivered, about: dict[str, Any]) -> str:
        told = {"last_error": str(failure)[:1000]}
        if failure.is_final or message.attempts > len(self._retry_after_s):
            logger.error("a message did not leave and is given up: %s", failure, extra=about)
            return self._settle(message, Status.DEAD, **told)
        after_s = self._retry_after_s[message.attempts - 1]
        if isinstance(failure, Busy):
            after_s = max(after_s, failure.retry_after_s)
        logger.warning("a message did not leave, next try in %g s: %s", after_s, failure, extra=about)
        return self._settle(message, Status.WAITING, next_try_at=self._clock() + timedelta(seconds=after_s), **told)

    def _settle(self, message: Message, status: Status, **values: Any) -> str:
        """Write it down, unless somebody else has taken it since; says what is written."""
        if status is not Status.WAITING:
            values |= {"finished_at": self._clock()}
        if status in (Status.SENT, Status.SKIPPED):
            values |= {"sealed": None}
        held = update(_MESSAGES).where(_MESSAGES.c.id == message.id, _MESSAGES.c.lease == message.lease)
        with self._database.transaction() as session:
            done = session.connection().execute(held.values(status=status.value, lease=None, **values))
            return status.value if done.rowcount else "taken away"

    def _tidy(self) -> None:
        """Forget old messages, once a day."""
        now = self._clock()
        if self._tidied_at is not None and now - self._tidied_at < timedelta(days=1):
            return
        self._tidied_at = now
        old = select(Message.id).where(Message.status != Status.WAITING.value, Message.finished_at < now - KEPT)
        with self._database.transaction(writes=False) as session:
            ids = list(session.scalars(old))
        for some in pieces(ids):
            with self._database.transaction() as session:
                session.connection().execute(delete(_MESSAGES).where(_MESSAGES.c.id.in_(some)))
