"""A level of the source chain: an origin behind a memory, asked once at a time, left alone for a while after a failure.

What was read once is served as long as the origin fails, however old; `status` says so.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from warehouse.errors import GateledgerError, PricingError
from warehouse.pricing.origins import Origin, Unreachable, stems

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=5)
MAX_NAMES = 500
"""Provider names that a level keeps. They come from log records, which can name anything."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LevelStatus:
    """How a level does."""

    name: str
    where: str
    asked: bool
    last_success_at: datetime | None = None
    last_error_at: datetime | None = None
    last_error: str = ""
    held: tuple[str, ...] = ()
    """Providers whose file is in memory."""
    stale: tuple[str, ...] = ()
    """Those of them that are served although they are older than they should be, because asking failed."""
    oldest_at: datetime | None = None
    """When the oldest file in memory was read."""

    @property
    def failing(self) -> bool:
        """True when the last thing that happened was an error."""
        return self.last_error_at is not None and (
            self.last_success_at is None or self.last_error_at > self.last_success_at
        )


@dataclass
class _Failures:
    """Errors in a row, and until when nobody asks again."""

    count: int = 0
    message: str = ""
    retry_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.retry_at is not None and now < self.retry_at

    def add(self, message: str, now: datetime) -> None:
        self.retry_at = now + min(FIRST_WAIT * 2**self.count, LONGEST_WAIT)
        self.count, self.message = min(self.count + 1, 16), message

    def clear(self) -> None:
        self.count, self.message, self.retry_at = 0, "", None


@dataclass
class _Kept:
    """What is known of one provider's file."""

    text: bytes | None = None
    read_at: datetime | None = None
    failures: _Failures = field(default_factory=_Failures)
    asking: threading.Lock = field(default_factory=threading.Lock)

    def fresh(self, now: datetime, lifetime: timedelta) -> bool:
        return self.read_at is not None and abs(now - self.read_at) < lifetime


class RememberedLevel:
    """A `PriceLevel`: the files of an origin, each remembered for `lifetime`."""

    def __init__(
        self,
        origin: Origin,
        *,
        lifetime: timedelta,
        clock: Callable[[], datetime],
        check: Callable[[str, bytes], object],
        patience_s: float | None = None,
    ) -> None:
        """`check` raises PricingError for a text that is no such file; `patience_s` None asks without a time limit."""
        self._origin, self._lifetime, self._clock, self._check = origin, lifetime, clock, check
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._down = _Failures()
        self._last_success_at: datetime | None = None
        self._last_error: tuple[datetime, str] | None = None

    @property
    def name(self) -> str:
        return self._origin.name

    def providers(self) -> Sequence[str]:
        """Those that the origin lists, and those that were read. Never fails: a level that is down lists the latter."""
        held = self.status().held
        if self._down.holds(self._clock()):
            return held
        try:
            listed = self._in_time(self._origin.providers)
        except (OSError, GateledgerError) as error:
            self._failed(self._down, error)
            return held
        return sorted({*listed, *held})

    def read(self, provider: str) -> bytes | None:
        """The file, from memory while it is fresh, and while the origin fails. Raises: PricingError."""
        if next(stems(provider), None) is None:
            return None
        now = self._clock()
        kept = self._entry(provider, now)
        if kept.fresh(now, self._lifetime):
            return kept.text
        # Who has an older file does not wait for the one who asks for a newer one.
        if not kept.asking.acquire(blocking=kept.read_at is None):
            return kept.text
        try:
            return kept.text if kept.fresh(now, self._lifetime) else self._ask(provider, kept, now)
        finally:
            kept.asking.release()

    def status(self) -> LevelStatus:
        """How the level does, without asking its origin."""
        now = self._clock()
        with self._lock:
            held = {name: kept for name, kept in self._kept.items() if kept.text is not None}
            error_at, error = self._last_error or (None, "")
            return LevelStatus(
                name=self.name,
                where=self._origin.where,
                asked=self._last_success_at is not None or error_at is not None,
                last_success_at=self._last_success_at,
                last_error_at=error_at,
                last_error=error,
                held=tuple(sorted(held)),
                stale=tuple(
                    sorted(n for n, k in held.items() if not k.fresh(now, self._lifetime) and self._message(k))
                ),
                oldest_at=min((k.read_at for k in held.values() if k.read_at), default=None),
            )

    def _message(self, kept: _Kept) -> str:
        return kept.failures.message or self._down.message

    def _entry(self, provider: str, now: datetime) -> _Kept:
        with self._lock:
            if provider not in self._kept and len(self._kept) >= MAX_NAMES:
                old = [n for n, k in self._kept.items() if k.text is None and not k.fresh(now, self._lifetime)]
                for name in old:
                    del self._kept[name]
                if len(self._kept) >= MAX_NAMES:
                    raise PricingError(f"more than {MAX_NAMES} provider names: no more are asked for")
            return self._kept.setdefault(provider, _Kept())

    def _ask(self, provider: str, kept: _Kept, now: datetime) -> bytes | None:
        if self._down.holds(now) or kept.failures.holds(now):
            return self._older(kept)
        try:
            text = self._in_time(lambda: self._origin.fetch(provider))
            if text is not None:
                self._check(provider, text)
        except (OSError, GateledgerError) as error:
            self._failed(self._down if isinstance(error, Unreachable | OSError) else kept.failures, error)
            return self._older(kept)
        with self._lock:
            kept.text, kept.read_at = text, self._clock()
            self._last_success_at = kept.read_at
            kept.failures.clear()
            self._down.clear()
        return text

    def _older(self, kept: _Kept) -> bytes | None:
        if kept.read_at is None:
            raise PricingError(f"{self.name} ({self._origin.where}): {self._message(kept)}")
        return kept.text

    def _failed(self, failures: _Failures, error: Exception) -> None:
        now = self._clock()
        with self._lock:
            failures.add(str(error) or type(error).__name__, now)
            self._last_error = (now, failures.message)

    def _in_time(self, work: Callable[[], _T]) -> _T:
        return work() if self._patience_s is None else within(self._patience_s, work)


def within(seconds: float, work: Callable[[], _T]) -> _T:
    """What `work` returns or raises. Raises: Unreachable when it takes longer; it is then left to its own time limits.

    A limit per network operation is none for the whole: a server may drip a byte a second.
    """
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="model-files").start()
    try:
        return future.result(seconds)
    except TookTooLong:
        if future.done():
            raise  # a TimeoutError of the work itself, which is an OSError
        raise Unreachable(f"no answer within {seconds:g} s") from None
