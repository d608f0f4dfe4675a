"""Mails leave in a thread of their own, after the transaction that caused them; no request waits or fails for one.

What is waiting lives in this process: a mail that a stopped process still held is lost, and is sent again by asking
for it again (an invite is resent, an alert comes with the next check).
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Self

from sqlalchemy import event
from sqlalchemy.orm import Session

from api.mail.message import Sender, message_of, sender_of
from api.mail.settings import MailSettings, MailSwitch
from api.mail.templates import Template, Templates
from api.mail.transport import NotDelivered, Transport

logger = logging.getLogger("api.mail")

RETRY_AFTER_S = (2.0, 10.0, 60.0, 300.0, 1800.0)
MOST_WAITING = 10_000
STOP_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be said to whom."""

    template: Template
    to: str
    values: Mapping[str, str]


@dataclass(order=True, slots=True)
class _Waiting:
    due_s: float
    number: int
    letter: Letter = field(compare=False)
    tries: int = field(default=0, compare=False)


class Mailer:
    """Sends mails from `with` to its end. Without SMTP_MAIL=ON it sends none.

    Raises: ConfigurationError, when SMTP_FROM is no address.
    """

    def __init__(
        self,
        settings: MailSettings,
        clock: Callable[[], datetime],
        *,
        retry_after_s: tuple[float, ...] = RETRY_AFTER_S,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_on = settings.switch is MailSwitch.ON
        self._sender = sender_of(settings.sender) if self.is_on else Sender("", "")
        self._templates, self._transport = Templates(settings), Transport(settings)
        self._clock, self._retry_after_s, self._timer = clock, retry_after_s, timer
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="mail", daemon=True)

    def __enter__(self) -> Self:
        if self.is_on:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self.is_on:
            self._thread.join(STOP_WITHIN_S)
        if self._waiting:
            logger.warning("stopped with %d mails that had not left", len(self._waiting))

    def send(self, template: Template, to: str, values: Mapping[str, str], *, after: Session | None = None) -> None:
        """Nothing at once: the mail leaves soon, or once the transaction of `after` is committed; else never."""
        letter = Letter(template, to, dict(values))
        if after is None:
            self._take(letter)
        elif self.is_on:
            _after(after, partial(self._take, letter))

    def waiting(self) -> int:
        """How many mails have not left yet."""
        with self._changed:
            return len(self._waiting)

    def _take(self, letter: Letter) -> None:
        if not self.is_on:
            logger.info("mail is off: %s was not sent", letter.template.value)
            return
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                logger.error("too many mails are waiting: %s was not sent", letter.template.value)
                return
            heapq.heappush(self._waiting, _Waiting(self._timer(), next(self._numbers), letter))
            self._changed.notify_all()

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                self._deliver(waiting)
            except Exception:
                # A thread that dies would hide that no mail leaves any more.
                logger.exception("a mail could not be made: %s", waiting.letter.template.value)

    def _next(self) -> _Waiting | None:
        """The mail that is due first, once it is; None when it is time to stop."""
        with self._changed:
            while True:
                # At the end what is due is still tried; what waits for another try is not waited for.
                wait_s = self._waiting[0].due_s - self._timer() if self._waiting else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._waiting)
                if self._is_stopping:
                    return None
                self._changed.wait(wait_s)

    def _deliver(self, waiting: _Waiting) -> None:
        letter = waiting.letter
        rendered = self._templates.render(letter.template, letter.values)
        try:
            self._transport.deliver(message_of(rendered, self._sender, letter.to, self._clock()))
        except NotDelivered as failure:
            if failure.is_final or waiting.tries >= len(self._retry_after_s):
                logger.error("a mail did not leave and is given up: %s: %s", letter.template.value, failure)
                return
            after_s = self._retry_after_s[waiting.tries]
            logger.warning("a mail did not leave, next try in %g s: %s: %s", after_s, letter.template.value, failure)
            with self._changed:
                again = _Waiting(self._timer() + after_s, waiting.number, letter, waiting.tries + 1)
                heapq.heappush(self._waiting, again)


def _after(session: Session, act: Callable[[], None]) -> None:
    """Act once when the transaction of the session is committed, and never when it is rolled back."""
    is_open = True

    def ended(session: Session, *, acts: bool) -> None:
        nonlocal is_open
        # The end of a savepoint is not the end of the transaction.
        if is_open and session.get_nested_transaction() is None:
            is_open = False
            if acts:
                act()

    event.listen(session, "after_commit", partial(ended, acts=True))
    event.listen(session, "after_rollback", partial(ended, acts=False))
