"""What keeps limits true while time passes and requests come in: they start anew when due, and are counted."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event

from api.background import Background
from api.db import Database
from api.limits.counting import Counted, Refreshed, apply, counted, mark_counted, read
from api.limits.restarting import BATCH, Restart, restart_due, with_due_limits
from api.policies import refresh as policies
from api.policies.snapshots import counting
from warehouse.engines.base import Engine
from warehouse.errors import WarehouseError
from warehouse.storage.disk import lease

logger = logging.getLogger("api.limits")

REST = 4
"""So many times as long as a refresh took nobody refreshes: a fifth of one thread is the most that it takes."""


def refresh_all(database: Database, engine: Engine, now: datetime, organisation_id: str | None = None) -> Refreshed:
    """Limits of one organisation, or of all, in the period they should be in, with what was used of them until now.

    The warehouse is asked outside of transactions, so that nobody waits meanwhile; what changed is written by
    organisation. Limits start anew also when the warehouse does not answer. Safe to kill, to repeat and to run twice
    at once. Raises: WarehouseError, SQLAlchemyError.
    """
    with database.transaction(writes=False) as session:
        limits = read(session, organisation_id)
        session.expunge_all()
    try:
        found = counted(limits, engine, now)
    except WarehouseError:
        restart_all(database, now)
        raise
    done = Refreshed(limits=len(limits))
    news, same = _by_organisation(found.news), _by_organisation(found.same)
    for owner in sorted(news.keys() | same.keys()):
        with database.transaction(organisation_id=owner) as session:
            done += apply(session, news[owner], now)
            mark_counted(session, same[owner], now)
    return done


def _by_organisation(found: Sequence[Counted]) -> defaultdict[str, list[Counted]]:
    by_organisation: defaultdict[str, list[Counted]] = defaultdict(list)
    for one in found:
        by_organisation[one.organisation_id].append(one)
    return by_organisation


def restart_all(database: Database, now: datetime) -> list[Restart]:
    """The limits that were due and started anew, uncounted, in short transactions."""
    with database.transaction(writes=False) as session:
        owners = with_due_limits(session, now)
    restarts: list[Restart] = []
    for owner in owners:
        some = None
        while some is None or len(some) == BATCH:
            with database.transaction(organisation_id=owner) as session:
                some = restart_due(session, now, owner)
            restarts += some
    return restarts


class LimitUpkeep:
    """Refreshes all limits, in whichever worker gets the lease: soon after rows came in, and every now and then.

    Resets come by the clock, and rows also come by ways that do not pass this process.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        lock: Path,
        clock: Callable[[], datetime],
        longest_s: float,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._engine, self._lock, self._clock = database, engine, lock, clock
        self._longest_s, self._timer = longest_s, timer
        self._policies = policies.Remembered()
        self._has_news = Event()
        self._rest_until_s = self._due_s = timer()

    def note(self) -> None:
        """Rows came in."""
        self._has_news.set()

    def every(self, interval_s: float) -> Background:
        """The thread that looks every so many seconds whether it is time."""
        return Background("counting limits", self.look, interval_s, logger, at_the_end=False)

    def look(self) -> None:
        """Refresh when rows came in, and when the last time is long enough ago. Raises: as `once`."""
        now_s = self._timer()
        if now_s < self._rest_until_s or not (self._has_news.is_set() or now_s >= self._due_s):
            return
        self._has_news.clear()
        try:
            if not self.once():
                self._has_news.set()
                return
        except Exception:
            self._has_news.set()
            raise
        ended_s = self._timer()
        self._rest_until_s, self._due_s = ended_s + REST * (ended_s - now_s), ended_s + self._longest_s

    def once(self) -> bool:
        """Refresh now, unless another worker is at it: whether it was done. Raises: WarehouseError, SQLAlchemyError."""
        with lease(self._lock) as is_mine:
            if is_mine:
                now = self._clock()
                with counting():
                    tell(refresh_all(self._database, self._engine, now))
                    policies.refresh_all(self._database, self._engine, now, remembered=self._policies)
            return is_mine


def tell(done: Refreshed) -> None:
    """What happened, for whoever reads the log."""
    for restart in done.restarts:
        told = {"entity_type": restart.entity_type, "entity_id": restart.entity_id, "at": restart.at.isoformat()}
        logger.info("a usage limit started anew", extra={**told, "schedule": restart.schedule.value})
    for crossing in done.crossings:
        told = {"entity_type": crossing.entity_type, "entity_id": crossing.entity_id, "type": crossing.type}
        logger.info("a usage limit was crossed: %s", crossing.kind, extra=told)
