"""Snapshots of the organisations that are asked about, and how they are kept fresh.

A write in this process, or one that Redis tells of, makes the next request wait for the change; what other processes
write without Redis, and what is counted, is seen within `POLL_S`. Nothing here asks the warehouse.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.background import Background
from api.db import Database
from api.limits.rows import Limit
from api.policies.rows import Policy
from api.policies.snapshot import PARTS, Snapshot, follow, load
from api.workspaces.rows import Workspace
from api.written import EVERY_ORGANISATION

logger = logging.getLogger("api.policies")

POLL_S = 1.0
UNUSED_S = 600.0
"""A snapshot that nobody asked for so long is dropped."""
_TABLES: tuple[Any, ...] = (
    ("policies", Policy, Policy.last_reset_at),
    ("limits", Limit, Limit.last_reset_at),
    ("places", Workspace),
    ("places", ApiKey),
)
"""What a part is read from, and what tells of its changes beside `last_updated_at`."""


_is_counting: ContextVar[bool] = ContextVar("is_counting", default=False)


@dataclass(slots=True)
class _Kept:
    snapshot: Snapshot
    version: dict[str, Any]
    asked_s: float
    writes: int = 0
    """How many writes were heard of."""
    read_after: int = 0
    """After how many of them the snapshot was read."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_stale(self) -> bool:
        """Whether there was a write since it was read."""
        return self.writes != self.read_after


class Snapshots:
    """One for each organisation in use. Safe between threads."""

    def __init__(self, database: Database, timer: Callable[[], float] = time.monotonic) -> None:
        self._database, self._timer = database, timer
        self._kept: dict[str, _Kept] = {}
        self._loading = threading.Lock()

    def ready(self, organisation_id: str) -> Snapshot | None:
        """The snapshot, when nothing is known to have changed since it was read. Costs nothing."""
        kept = self._kept.get(organisation_id)
        if kept is None or kept.is_stale:
            return None
        kept.asked_s = self._timer()
        return kept.snapshot

    def read(self, organisation_id: str) -> Snapshot:
        """The snapshot as the database has it now, but for what changes meanwhile."""
        kept = self._kept.get(organisation_id)
        if kept is None:
            with self._loading:
                kept = self._kept.get(organisation_id)
                if kept is None:
                    return self._first(organisation_id)
        with kept.lock:
            # Whoever held the lock before may have read everything already that this one waits for.
            if kept.is_stale:
                self._freshen(kept, PARTS)
            return kept.snapshot

    def forget(self, organisation_id: str) -> None:
        """Something of an organisation, or of all, was written."""
        if _is_counting.get():
            return
        if organisation_id == EVERY_ORGANISATION:
            for kept in list(self._kept.values()):
                kept.writes += 1
        elif (kept := self._kept.get(organisation_id)) is not None:
            kept.writes += 1

    def polling(self) -> Background:
        """The thread that looks for what other processes wrote."""
        return Background("looking for changed limits", self.look, POLL_S, logger, at_the_end=False)

    def look(self) -> None:
        """Freshen every snapshot in use."""
        for organisation_id, kept in list(self._kept.items()):
            if self._timer() - kept.asked_s > UNUSED_S:
                self._kept.pop(organisation_id, None)
            else:
                with kept.lock:
                    self._freshen(kept)

    def _first(self, organisation_id: str) -> Snapshot:
        with self._database.transaction(writes=False) as session:
            version = _version(session, organisation_id)
            snapshot = load(session, organisation_id)
        # What was written while it was read was not told to it: the next request reads once more.
        self._kept[organisation_id] = _Kept(snapshot, version, self._timer(), writes=1)
        return snapshot

    def _freshen(self, kept: _Kept, parts: Collection[str] = ()) -> None:
        """Read what changed by its looks, and these parts in any case: two writes at one instant look the same."""
        # Before the database is read: what is written from here on leaves it stale.
        writes, was_stale = kept.writes, kept.is_stale
        organisation_id = kept.snapshot.organisation_id
        with self._database.transaction(writes=False) as session:
            version = _version(session, organisation_id)
            wanted = parts or [part for part in PARTS if version[part] != kept.version[part]]
            if wanted or was_stale:
                kept.snapshot = load(session, organisation_id, kept.snapshot, parts=wanted or PARTS)
                kept.version = version
            else:
                follow(session, kept.snapshot)
        kept.read_after = writes


@contextmanager
def counting() -> Generator[None]:
    """What is written meanwhile in this thread are counts, which no request needs to wait for."""
    token = _is_counting.set(True)
    try:
        yield
    finally:
        _is_counting.reset(token)


def _version(session: Session, organisation_id: str) -> dict[str, Any]:
    """What changes whenever a part of a snapshot does."""
    found: dict[str, Any] = {}
    for part, table, *more in _TABLES:
        newest = [func.max(column) for column in (table.last_updated_at, *more)]
        query = select(func.count(), *newest).where(table.organisation_id == organisation_id)
        found[part] = (*found.get(part, ()), *session.execute(query).one())
    return found
