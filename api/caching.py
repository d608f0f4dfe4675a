"""What a worker remembers between requests, by organisation, and how it is forgotten.

Three rings: memory (less than a second), Redis where one is configured (seconds, shared by all workers), the database.
A committed write forgets its organisation in this worker at once (`api/written.py` tells), and in the others through
Redis; without Redis their memory is too short to matter. What was read before somebody said "forget" is not kept.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec
from cachetools import LRUCache

from api.written import EVERY_ORGANISATION

_Value = TypeVar("_Value")
SIZE = 10_000


class Shared(Protocol):
    """What the workers share. None of its methods raises: when it is down, there is just nothing to share."""

    def mark(self) -> int | None:
        """Where the writes of all workers are now; None when that cannot be known."""
        ...

    def read(self, key: str) -> bytes | None:
        """What a worker kept, if no write to its organisation has come since."""
        ...

    def keep(self, key: str, organisation_id: str, mark: int, content: bytes) -> None:
        """Share what was read from the database after `mark` was taken."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept(Generic[_Value]):
    value: _Value
    organisation_id: str
    since_s: float


class Cache(Generic[_Value]):
    """Values of one kind by key. `kind` is a dataclass that MessagePack can carry; it names its organisation."""

    def __init__(
        self,
        name: str,
        kind: type[_Value],
        organisation_of: Callable[[_Value], str],
        *,
        ttl_s: float,
        shared: Shared | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._organisation_of = name, organisation_of
        self._ttl_s, self._shared, self._timer = ttl_s, shared, timer
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._kept: LRUCache[str, _Kept[_Value]] = LRUCache(maxsize=SIZE)
        self._lock = threading.Lock()
        self._forgotten = 0

    def get(self, key: str) -> _Value | None:
        """The value in memory, when it was read a moment ago."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or self._timer() - kept.since_s >= self._ttl_s:
            return None
        return kept.value

    def load(self, key: str, read: Callable[[], _Value]) -> _Value:
        """The value by Redis or else by `read`, and kept. What `read` raises is raised, and nothing is kept."""
        started_s = self._timer()
        with self._lock:
            forgotten = self._forgotten
        value = self._from_shared(key)
        if value is None:
            mark = self._shared.mark() if self._shared else None
            value = read()
            if self._shared is not None and mark is not None:
                content = msgspec.msgpack.encode(value)
                self._shared.keep(f"{self._name}:{key}", self._organisation_of(value), mark, content)
        with self._lock:
            if forgotten == self._forgotten and self._ttl_s > 0:
                self._kept[key] = _Kept(value, self._organisation_of(value), started_s)
        return value

    def forget(self, organisation_id: str = EVERY_ORGANISATION) -> None:
        """Drop what is remembered of an organisation, or of every one."""
        with self._lock:
            self._forgotten += 1
            if organisation_id == EVERY_ORGANISATION:
                self._kept.clear()
                return
            for key in [key for key, kept in self._kept.items() if kept.organisation_id == organisation_id]:
                del self._kept[key]

    def _from_shared(self, key: str) -> _Value | None:
        content = self._shared.read(f"{self._name}:{key}") if self._shared else None
        if content is None:
            return None
        try:
            return self._decoder.decode(content)
        except (msgspec.MsgspecError, ValueError, TypeError):
            return None  # another release wrote it


class Forgetting:
    """A watcher of commits that makes the caches of this process forget."""

    def __init__(self, *caches: Callable[[str], None]) -> None:
        self._caches = caches

    def writing(self, organisations: frozenset[str]) -> None:
        """Nothing: others may still read what was."""

    def written(self, organisations: frozenset[str]) -> None:
        """Forget what these organisations had."""
        for organisation_id in organisations:
            self.forget(organisation_id)

    def forget(self, organisation_id: str) -> None:
        """Make every cache forget one organisation, or all of them."""
        for forget in self._caches:
            forget(organisation_id)
