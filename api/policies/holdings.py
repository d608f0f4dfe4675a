"""What is taken of limits and not yet in the rows of the warehouse: reservations, and the counters of rates.

One process alone keeps them in its memory; several share them in Redis (`api/policies/redis_holdings.py`). Amounts
are whole: millionths of a USD, tokens or requests. Estimates are rounded up and what is left down, so that rounding
never lets anything through.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

import msgspec

SEPARATOR = "\x1f"
"""Between the parts of a counter's name: what it belongs to, a rate's unit, values, the number of a rate's window."""


class Claim(msgspec.Struct, frozen=True):
    """What a request wants of one budget: at most `room` may be taken beside what the rows say."""

    counter: str
    room: int
    amount: int
    measure: str
    """cost, tokens or requests: which of the actual numbers settles it."""


class Tick(msgspec.Struct, frozen=True):
    """What a request wants of one rate: at most `most` in its window."""

    counter: str
    """Names the window too."""
    most: int
    amount: int
    measure: str
    ends_ms: int
    """When the window is over."""


class Taking(msgspec.Struct, frozen=True):
    """One request: everything it wants, taken at once or not at all."""

    claims: Sequence[Claim]
    ticks: Sequence[Tick]
    now_ms: int
    reservation: str | None = None
    """None: budgets are only looked at."""
    expires_ms: int = 0
    organisation_id: str = ""
    log_id: str = ""
    is_trial: bool = False
    """True: nothing is taken."""


class Refusal(msgspec.Struct, frozen=True):
    """The first claim or tick that there is no room for, by its place among claims and then ticks."""

    place: int
    held: int
    """What was taken of it already beside the rows."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A reservation whose log is awaited, and the counters that it holds something of."""

    reservation: str
    organisation_id: str
    log_id: str
    counters: tuple[str, ...]


class Holdings(Protocol):
    """Where it is kept."""

    async def take(self, taking: Taking) -> Refusal | None:
        """Nothing, when there is room for everything; it is taken then."""
        ...

    async def settle(self, organisation_id: str, reservation: str, actual: "Actual") -> bool:
        """Whether there is such a reservation; its amounts are the actual ones from now on."""
        ...

    def awaited(self) -> list[Settled]:
        """Reservations whose logs are awaited."""
        ...

    def end(self, reservation: str, at_ms: int) -> None:
        """The reservation holds nothing from then on."""
        ...

    def counts(self, beginning: str) -> dict[str, int]:
        """The counters of rates whose names begin so → how much is taken, also of windows that are over by now."""
        ...

    def clear(self, counter: str) -> None:
        """Nothing is taken of this counter of a rate."""
        ...


@dataclass(frozen=True, slots=True)
class Actual:
    """What a request really used; None keeps the estimate. Units: millionths of a USD, tokens."""

    cost: int | None
    tokens: int | None
    log_id: str
    expires_ms: int
    now_ms: int

    def of(self, measure: str, estimate: int) -> int:
        """The actual number of a measure."""
        found = {"cost": self.cost, "tokens": self.tokens}.get(measure)
        return estimate if found is None else found


@dataclass(slots=True)
class _Reservation:
    organisation_id: str
    claims: Sequence[Claim]
    ticks: Sequence[Tick]
    expires_ms: int
    log_id: str = ""
    is_settled: bool = False


@dataclass(slots=True)
class _Held:
    """What is held of one budget, by reservation."""

    total: int = 0
    amounts: dict[str, int] = field(default_factory=dict[str, int])


class LocalHoldings:
    """In the memory of this process. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._reservations: dict[str, _Reservation] = {}
        self._ends: list[tuple[int, str, bool]] = []
        """When which reservation is over or, with True, which window: a heap. A time that was changed stays in it."""

    async def take(self, taking: Taking) -> Refusal | None:
        """See `Holdings.take`."""
        with self._lock:
            self._sweep(taking.now_ms)
            refusal = self._refusal(taking)
            if refusal is None and not taking.is_trial:
                self._take(taking)
            return refusal

    async def settle(self, organisation_id: str, reservation: str, actual: Actual) -> bool:
        """See `Holdings.settle`."""
        with self._lock:
            self._sweep(actual.now_ms)
            found = self._reservations.get(reservation)
            if found is None or found.organisation_id != organisation_id:
                return False
            for claim in found.claims:
                self._hold(claim.counter, reservation, actual.of(claim.measure, claim.amount))
            for tick in found.ticks:
                count, ends_ms = self._counts.get(tick.counter, (0, 0))
                if ends_ms > actual.now_ms and not found.is_settled:
                    extra = actual.of(tick.measure, tick.amount) - tick.amount
                    self._counts[tick.counter] = (count + extra, ends_ms)
            found.is_settled = True
            self._ending(reservation, found, actual.expires_ms)
            found.log_id = actual.log_id or found.log_id
            return True

    def awaited(self) -> list[Settled]:
        """See `Holdings.awaited`."""
        with self._lock:
            return [
                Settled(id_, one.organisation_id, one.log_id, tuple(claim.counter for claim in one.claims))
                for id_, one in self._reservations.items()
                if one.log_id
            ]

    def end(self, reservation: str, at_ms: int) -> None:
        """See `Holdings.end`."""
        with self._lock:
            found = self._reservations.get(reservation)
            if found is not None:
                self._ending(reservation, found, min(found.expires_ms, at_ms))

    def counts(self, beginning: str) -> dict[str, int]:
        """See `Holdings.counts`."""
        with self._lock:
            return {name: count for name, (count, _) in self._counts.items() if name.startswith(beginning)}

    def clear(self, counter: str) -> None:
        """See `Holdings.clear`."""
        with self._lock:
            self._counts.pop(counter, None)

    def _refusal(self, taking: Taking) -> Refusal | None:
        for place, claim in enumerate(taking.claims):
            held = self._held.get(claim.counter)
            total = 0 if held is None else held.total
            if total + claim.amount > claim.room or total >= claim.room:
                return Refusal(place, total)
        for place, tick in enumerate(taking.ticks, start=len(taking.claims)):
            count, ends_ms = self._counts.get(tick.counter, (0, 0))
            count = count if ends_ms > taking.now_ms else 0
            if count + tick.amount > tick.most or count >= tick.most:
                return Refusal(place, count)
        return None

    def _take(self, taking: Taking) -> None:
        for tick in taking.ticks:
            count, ends_ms = self._counts.get(tick.counter, (0, 0))
            if ends_ms != tick.ends_ms:
                heappush(self._ends, (tick.ends_ms, tick.counter, True))
            self._counts[tick.counter] = ((count if ends_ms > taking.now_ms else 0) + tick.amount, tick.ends_ms)
        if taking.reservation is None:
            return
        for claim in taking.claims:
            self._hold(claim.counter, taking.reservation, claim.amount)
        made = _Reservation(taking.organisation_id, taking.claims, taking.ticks, taking.expires_ms, taking.log_id)
        self._reservations[taking.reservation] = made
        self._ending(taking.reservation, made, taking.expires_ms)

    def _hold(self, counter: str, reservation: str, amount: int) -> None:
        held = self._held.setdefault(counter, _Held())
        held.total += amount - held.amounts.get(reservation, 0)
        held.amounts[reservation] = amount

    def _ending(self, id_: str, reservation: _Reservation, at_ms: int) -> None:
        reservation.expires_ms = at_ms
        heappush(self._ends, (at_ms, id_, False))

    def _sweep(self, now_ms: int) -> None:
        """Drop what is over. Costs nothing for what is not, however much that is."""
        while self._ends and self._ends[0][0] <= now_ms:
            _, name, is_window = heappop(self._ends)
            if is_window:
                if self._counts.get(name, (0, 0))[1] <= now_ms:
                    self._counts.pop(name, None)
            elif name in self._reservations and self._reservations[name].expires_ms <= now_ms:
                self._drop(name)

    def _drop(self, id_: str) -> None:
        for claim in self._reservations.pop(id_).claims:
            held = self._held[claim.counter]
            held.total -= held.amounts.pop(id_, 0)
            if not held.amounts:
                del self._held[claim.counter]
