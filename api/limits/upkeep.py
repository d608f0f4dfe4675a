"""What keeps limits true while time passes and requests come in: they start anew when due, and are counted."""

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from api.background import Background
from api.db import Database
from api.limits.counting import Counted, Refreshed, apply, changes_of, read
from warehouse.engines.base import Engine
from warehouse.ingest.disk import lease

logger = logging.getLogger("api.limits")


def refresh_all(database: Database, engine: Engine, now: datetime, organisation_id: str | None = None) -> Refreshed:
    """Limits of one organisation, or of all, counted until now; see `counting.refresh`.

    The warehouse is asked outside of transactions, so that nobody waits meanwhile; what changed is written by
    organisation. Safe to kill, to repeat and to run twice at once. Raises: WarehouseError, SQLAlchemyError.
    """
    with database.transaction(writes=False) as session:
        limits = read(session, organisation_id)
        session.expunge_all()
    total, changes = changes_of(limits, engine, now)
    done = Refreshed(limits=total)
    by_organisation: defaultdict[str, list[Counted]] = defaultdict(list)
    for change in changes:
        by_organisation[change.organisation_id].append(change)
    for owner, some in sorted(by_organisation.items()):
        with database.transaction(organisation_id=owner) as session:
            done += apply(session, some, now)
    return done


class LimitUpkeep:
    """Refreshes all limits, in whichever worker gets the lease: after rows came in, and every now and then.

    Resets come by the clock, and rows also come by ways that do not pass this process.
    """

    def __init__(self, database: Database, engine: Engine, lock: Path, clock: Callable[[], datetime]) -> None:
        self._database, self._engine, self._lock, self._clock = database, engine, lock, clock

    def every(self, interval_s: float) -> Background:
        """The thread that does it."""
        return Background("counting limits", self.once, interval_s, logger, at_the_end=False)

    def once(self) -> None:
        """Refresh now, unless another worker is at it. Raises: WarehouseError, SQLAlchemyError."""
        with lease(self._lock) as is_mine:
            if is_mine:
                tell(refresh_all(self._database, self._engine, self._clock()))


def tell(done: Refreshed) -> None:
    """What happened, for whoever reads the log."""
    for restart in done.restarts:
        told = {"entity_type": restart.entity_type, "entity_id": restart.entity_id, "at": restart.at.isoformat()}
        logger.info("a usage limit started anew", extra={**told, "schedule": restart.schedule.value})
    for crossing in done.crossings:
        told = {"entity_type": crossing.entity_type, "entity_id": crossing.entity_id, "type": crossing.type}
        logger.info("a usage limit was crossed: %s", crossing.kind, extra=told)
