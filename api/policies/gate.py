"""What answers whether requests may go ahead: snapshots of what limits them, and what is taken of it.

A reservation holds its amount until it is settled and, when its log is named, until the log's row is counted; else
for a while. So what the rows say and what is held together never fall short of what was spent.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

from sqlalchemy import select
from sqlglot import exp
from starlette.concurrency import run_in_threadpool

from api.background import Background
from api.db import Database
from api.limits.rows import Limit
from api.policies.holdings import SEPARATOR, Actual, Holdings, Settled
from api.policies.rows import Policy
from api.policies.snapshot import MICRO, Snapshot
from api.policies.snapshots import POLL_S, Snapshots
from warehouse.catalog.functions import column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Window, scan
from warehouse.query import conditions
from warehouse.query.scope import TenantScope
from warehouse.storage.disk import lease

logger = logging.getLogger("api.policies")

RESERVED_S = 600
"""How long a reservation holds that nobody settles, unless it says otherwise."""
LONGEST_RESERVED_S = 86_400
AWAITED_S = 3600
"""How long a settled one holds while its log is awaited."""
UNNAMED_S = 300
"""How long a settled one holds whose log is not named."""
LOOK_S = 2.0
_LOOKED_BACK = timedelta(days=2)
_MOST_IDS = 1000


def micro(value: Decimal) -> int:
    """USD in millionths, rounded up."""
    return int((value * MICRO).to_integral_value(ROUND_CEILING))


class PolicyGate:
    """One for each process."""

    def __init__(
        self, database: Database, engine: Engine, holdings: Holdings, lock: Path, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._engine, self._lock, self._clock = database, engine, lock, clock
        self.holdings, self.snapshots = holdings, Snapshots(database)
        self._found: dict[str, datetime] = {}

    async def snapshot(self, organisation_id: str) -> Snapshot:
        """What limits requests of an organisation, with everything that is known to be written."""
        found = self.snapshots.ready(organisation_id)
        return found or await run_in_threadpool(self.snapshots.read, organisation_id)

    async def settle(
        self, organisation_id: str, reservation: str, cost: Decimal | None, tokens: int | None, log_id: str
    ) -> bool:
        """Whether there is such a reservation; what it holds is the actual amount from now on."""
        now_ms = int(self._clock().timestamp() * 1000)
        holds_s = AWAITED_S if log_id else UNNAMED_S
        actual = Actual(None if cost is None else micro(cost), tokens, log_id, now_ms + holds_s * 1000, now_ms)
        return await self.holdings.settle(organisation_id, reservation, actual)

    def threads(self) -> Iterable[Background]:
        """What goes on beside requests."""
        yield self.snapshots.polling()
        yield Background("ending reservations", self.end_counted, LOOK_S, logger, at_the_end=False)

    def end_counted(self) -> None:
        """End the reservations whose logs are rows by now, once these are counted. Raises: WarehouseError."""
        awaited = self.holdings.awaited()
        if not awaited:
            self._found.clear()
            return
        with lease(self._lock) as is_mine:
            if is_mine:
                self._end(awaited)

    def _end(self, awaited: Sequence[Settled]) -> None:
        now = self._clock()
        known = {one.reservation for one in awaited}
        self._found = {id_: at for id_, at in self._found.items() if id_ in known}
        missing = [one for one in awaited if one.reservation not in self._found]
        for organisation_id in {one.organisation_id for one in missing}:
            some = [one for one in missing if one.organisation_id == organisation_id]
            stored = self._stored(organisation_id, [one.log_id for one in some][:_MOST_IDS], now)
            self._found |= {one.reservation: now for one in some if one.log_id in stored}
        found = [one for one in awaited if one.reservation in self._found]
        counted = self._counted_at({counter.partition(SEPARATOR)[0] for one in found for counter in one.counters})
        for one in found:
            at = self._found[one.reservation]
            owners = {counter.partition(SEPARATOR)[0] for counter in one.counters}
            if all(counted.get(owner, at) > at or owner not in counted for owner in owners):
                # Other workers may still look at a snapshot from before the count.
                self.holdings.end(one.reservation, int((now.timestamp() + 3 * POLL_S) * 1000))

    def _stored(self, organisation_id: str, ids: Sequence[str], now: datetime) -> frozenset[str]:
        since = Window(now - _LOOKED_BACK)
        tree = exp.select(column("id"), copy=False).from_(scan(GENERATIONS.name, since), copy=False)
        tree = tree.where(
            conditions.within_scope(TenantScope(organisation_id)),
            conditions.within_windows(GENERATIONS.time_column, [since]),
            conditions.is_one_of("id", ids),
            copy=False,
        )
        return frozenset(self._engine.query(tree, since)["id"].to_pylist())

    def _counted_at(self, owners: Iterable[str]) -> dict[str, datetime]:
        wanted = sorted(owners)
        with self._database.transaction(writes=False) as session:
            found: dict[str, datetime] = {}
            for table in (Policy, Limit):
                for start in range(0, len(wanted), _MOST_IDS):
                    some = table.id.in_(wanted[start : start + _MOST_IDS])
                    for id_, at in session.execute(select(table.id, table.counted_at).where(some)):
                        found[id_] = at or datetime.min.replace(tzinfo=self._clock().tzinfo)
        return found
