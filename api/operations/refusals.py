"""How often refused credentials may be tried: per address and per credential. A good credential is never held up.

The credential is looked up first, always, and with the same work whether it is known or not; only an answer that is a
refusal anyway is counted and, beyond the limit, becomes a 429. Each worker counts for itself.
"""

import threading
import time
from collections.abc import Callable
from math import ceil

from cachetools import TTLCache

from api.api_keys.service import hash_of
from api.errors import RateLimited, Unauthorised

_MOST_SEEN = 100_000
"""So many addresses and credentials are remembered at most: guessing from everywhere fills no memory."""
_HASH_PREFIX = 16
TOO_MANY = "Too many refused credentials. Try again later."


class Refusals:
    """Counts refusals in windows of `window_s` seconds that begin with the first one. Safe between threads."""

    def __init__(self, limit: int, window_s: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._window_s, self._timer = limit, window_s, timer
        self._seen: TTLCache[str, tuple[int, float]] = TTLCache(_MOST_SEEN, ttl=window_s, timer=timer)
        self._lock = threading.Lock()

    def answer(self, refusal: Unauthorised, address: str, credential: str) -> Unauthorised | RateLimited:
        """The refusal itself, or that there were too many of them."""
        if not self._limit:
            return refusal
        with self._lock:
            counts = [self._count(f"key:{hash_of(credential)[:_HASH_PREFIX]}")]
            if address:
                counts.append(self._count(f"address:{address}"))
        over = [ends for count, ends in counts if count > self._limit]
        if not over:
            return refusal
        return RateLimited(TOO_MANY, retry_after_s=max(1, ceil(max(over) - self._timer())))

    def _count(self, who: str) -> tuple[int, float]:
        """How often, and when that is forgotten."""
        now = self._timer()
        count, ends = self._seen.get(who, (0, now + self._window_s))
        if now >= ends:
            count, ends = 0, now + self._window_s
        self._seen[who] = counted = (count + 1, ends)
        return counted
