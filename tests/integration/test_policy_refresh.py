"""What is used of policies, out of a real warehouse: counters, periods, crossings, and what happens beside a count."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count as numbers
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import delete, select

from api.alerts.rows import Alert
from api.permissions import KeyKind, scopes_of
from api.policies import entities, plans, refresh, service
from api.policies.recording import Recorded, record
from api.policies.refresh import RefreshedPolicies
from api.policies.rows import Policy, PolicyEntity, PolicyKind
from api.policies.schemas import NewUsagePolicy, UsagePolicyChanges
from api.principal import Principal
from tests.factories import rows
from tests.factories.app import NOW, Installation, installed
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import EXPECTED, Batch, Engine
from warehouse.engines.open import open_engine
from warehouse.storage.migrate import migrate

HOUR = timedelta(hours=1)


@dataclass
class World:
    here: Installation
    engine: Engine
    numbers: Any = field(default_factory=lambda: numbers(1))

    @property
    def caller(self) -> Principal:
        kind = KeyKind.ORGANISATION_SERVICE
        return Principal(kind, "a-key", self.here.first.organisation_id, scopes_of(kind))

    def policy(self, now: datetime = NOW, **changes: Any) -> str:
        body = {
            "conditions": [{"key": "metadata._user", "value": "*"}],
            "group_by": ["metadata._user"],
            "type": "cost",
            "credit_limit": 10,
            "workspace_id": self.here.first.workspace_slug,
            **changes,
        }
        with self.here.database.transaction() as session:
            return service.create_usage(session, self.caller, NewUsagePolicy.model_validate(body), now).id

    def change(self, policy_id: str, now: datetime, **changes: Any) -> None:
        with self.here.database.transaction() as session:
            service.update_usage(session, self.caller, policy_id, UsagePolicyChanges.model_validate(changes), now)

    def spend(self, *spent: tuple[datetime, str, str | None], **fields: Any) -> None:
        """Rows of (instant, user, USD)."""
        number = next(self.numbers)
        records = [
            {
                "organisation_id": self.here.first.organisation_id,
                "workspace_slug": self.here.first.workspace_slug,
                "created_at": at,
                "id": f"row-{number}-{index}",
                "metadata.key": ["_user"],
                "metadata.value": [user],
                "cost": None if usd is None else Decimal(usd) * 100,
                **fields,
            }
            for index, (at, user, usd) in enumerate(spent)
        ]
        self.engine.append(GENERATIONS, rows.as_generations(records), Batch(f"batch-{number}"))

    def refresh(self, now: datetime) -> RefreshedPolicies:
        return refresh.refresh_all(self.here.database, self.engine, now)

    def used(self, policy_id: str) -> dict[str, tuple[Decimal, str]]:
        with self.here.database.transaction(writes=False) as session:
            found = session.scalars(select(PolicyEntity).where(PolicyEntity.policy_id == policy_id))
            return {one.value_key.removeprefix("metadata._user:"): (one.current_usage, one.status) for one in found}

    def counters(self, policy_id: str) -> list[PolicyEntity]:
        with self.here.database.transaction(writes=False) as session:
            return list(session.scalars(select(PolicyEntity).where(PolicyEntity.policy_id == policy_id)))

    def row(self, policy_id: str) -> Policy:
        with self.here.database.transaction(writes=False) as session:
            return session.get_one(Policy, policy_id)

    def alerts(self, policy_id: str) -> list[tuple[str | None, str]]:
        with self.here.database.transaction(writes=False) as session:
            found = session.scalars(select(Alert).where(Alert.limit_id == policy_id).order_by(Alert.created_at))
            return [(one.value_key, one.kind) for one in found]


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    with installed(tmp_path) as here, closing(open_engine(here.settings.warehouse)) as engine:
        migrate(engine)
        yield World(here, engine)


def test_rows_count_from_the_instant_a_policy_was_made(world: World) -> None:
    one = world.policy()
    early = NOW - timedelta(milliseconds=1)
    world.spend((early, "ann", "9"), (NOW, "ann", "1.25"), (NOW + HOUR, "ann", "2"), (NOW + HOUR, "bob", "0.000001"))
    done = world.refresh(NOW + HOUR)
    assert (done.policies, done.counters) == (1, 1)
    assert world.used(one) == {"ann": (Decimal("1.25"), "active")}  # rows of this very instant are not yet there
    world.refresh(NOW + 2 * HOUR)
    assert world.used(one) == {"ann": (Decimal("3.25"), "active"), "bob": (Decimal("0.000001"), "active")}
    assert world.refresh(NOW + 2 * HOUR).counters == 0


def test_late_rows_other_workspaces_and_other_users(world: World) -> None:
    one = world.policy()
    elsewhere = world.here.workspace("Elsewhere")
    world.spend((NOW, "ann", "1"))
    world.refresh(NOW + 2 * HOUR)
    world.spend((NOW, "ann", "2"), (NOW, "", "5"))
    world.spend((NOW, "ann", "4"), workspace_slug=elsewhere.slug)
    world.refresh(NOW + 2 * HOUR)
    assert world.used(one) == {"ann": (Decimal(3), "active")}


def test_crossings_are_told_once_and_usage_can_fall(world: World) -> None:
    one = world.policy(alert_threshold=5, type="requests", credit_limit=8)
    world.spend(*((NOW, "ann", None) for _ in range(5)))
    kinds = [(crossing.kind, crossing.type, crossing.value_key) for crossing in world.refresh(NOW + HOUR).crossings]
    assert kinds == [("threshold", "requests", "metadata._user:ann")]
    world.spend(*((NOW, "ann", None) for _ in range(3)))
    assert [crossing.kind for crossing in world.refresh(NOW + HOUR).crossings] == ["exhausted"]
    assert world.used(one) == {"ann": (Decimal(8), "exhausted")}
    assert world.refresh(NOW + 2 * HOUR).crossings == ()
    assert sorted(world.alerts(one)) == [("metadata._user:ann", "exhausted"), ("metadata._user:ann", "threshold")]
    world.change(one, NOW + 2 * HOUR, conditions=[{"key": "metadata._user", "value": "bob"}])
    world.refresh(NOW + 3 * HOUR)
    assert world.used(one) == {"ann": (Decimal(0), "active")}


def test_what_has_no_price_counts_by_its_bound_where_the_policy_says_so(world: World) -> None:
    low, high = world.policy(), world.policy(unpriced="upper_bound")
    world.spend((NOW, "ann", None), cost_high=Decimal(300))
    world.spend((NOW, "ann", "1"), cost_high=Decimal(999))
    world.refresh(NOW + HOUR)
    assert world.used(low) == {"ann": (Decimal(1), "active")}
    assert world.used(high) == {"ann": (Decimal(4), "active")}


def test_a_period_begins_anew_at_its_instant_however_late_anybody_looks(world: World) -> None:
    one = world.policy(periodic_reset="weekly")  # Mondays: April 6, 13, 20 …
    monday = datetime(2026, 4, 6, tzinfo=NOW.tzinfo)
    third = monday + timedelta(days=14)
    before = monday - timedelta(milliseconds=1)
    world.spend((NOW, "ann", "10"), (before, "ann", "1"), (monday, "bob", "2"))
    assert len(world.refresh(monday - timedelta(microseconds=1)).crossings) == 1
    assert world.used(one) == {"ann": (Decimal(11), "exhausted")}
    assert world.refresh(monday).resets == (one,)
    assert world.row(one).last_reset_at == monday
    assert world.used(one) == {"ann": (Decimal(0), "active")}
    world.spend((third - HOUR, "ann", "3"), (third, "ann", "4"), (third + HOUR, "bob", "10"))
    done = world.refresh(third + 2 * HOUR)
    assert done.resets == (one,)
    assert world.used(one) == {"ann": (Decimal(4), "active"), "bob": (Decimal(10), "exhausted")}
    row = world.row(one)
    assert (row.last_reset_at, row.next_usage_reset_at) == (third, third + timedelta(days=7))
    assert world.refresh(third + 2 * HOUR).resets == ()


def test_a_counter_that_was_set_back_counts_from_then(world: World) -> None:
    one = world.policy(periodic_reset="monthly")
    world.spend((NOW, "ann", "10"), (NOW, "bob", "10"))
    world.refresh(NOW + HOUR)
    world.change(one, NOW + 2 * HOUR, reset_usage_for_value="ann")
    world.spend((NOW + HOUR, "ann", "1"), (NOW + 2 * HOUR, "ann", "2"))
    world.refresh(NOW + 3 * HOUR)
    assert world.used(one) == {"ann": (Decimal(2), "active"), "bob": (Decimal(10), "exhausted")}
    may = datetime(2026, 5, 1, tzinfo=NOW.tzinfo)
    world.spend((may, "ann", "5"))
    world.refresh(may + HOUR)
    assert world.used(one) == {"ann": (Decimal(5), "active"), "bob": (Decimal(0), "active")}


def test_who_counted_before_a_change_writes_nothing_over_it(world: World) -> None:
    one = world.policy()
    world.spend((NOW, "ann", "7"))
    world.refresh(NOW + HOUR)
    database = world.here.database
    with database.transaction(writes=False) as session:
        owned = plans.read(session, NOW + 2 * HOUR)
        session.expunge_all()
    found = refresh.count(world.engine, world.caller.organisation_id, owned[world.caller.organisation_id],
                          NOW + 2 * HOUR, {})  # fmt: skip
    with database.transaction() as session:
        policy = service.find(session, world.caller, PolicyKind.USAGE, one)
        entities.reset(session, entities.of_value(session, policy, "ann"), NOW + 2 * HOUR)
    with database.transaction() as session:
        record(session, found, NOW + 2 * HOUR)
    assert world.used(one) == {"ann": (Decimal(0), "active")}
    world.refresh(NOW + 4 * HOUR)
    world.spend((NOW + 3 * HOUR, "ann", "1"))
    with database.transaction() as session:  # a count that began earlier comes last
        assert record(session, found, NOW + 3 * HOUR) == Recorded()


def test_counters_that_were_lost_are_there_again(world: World) -> None:
    one = world.policy()
    world.spend((NOW, "ann", "7"), (NOW, "bob", "10"))
    world.refresh(NOW + HOUR)
    before = world.used(one)
    with world.here.database.transaction() as session:
        session.execute(delete(PolicyEntity))
    refresh.refresh_all(world.here.database, world.engine, NOW + HOUR, world.caller.organisation_id)
    assert world.used(one) == before
    assert len(world.alerts(one)) == 1  # nobody is told twice


class TestRemembered:
    """A process that counts again and again, as a server does."""

    @pytest.fixture
    def counted(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], tuple[int, int]]:
        """Counts; how many counters it wrote, and how often it read the rows."""
        left, queries, query = refresh.Remembered(), list[Any](), world.engine.query

        def noted(*arguments: Any) -> Any:
            queries.append(arguments)
            return query(*arguments)

        monkeypatch.setattr(world.engine, "query", noted)

        def count(now: datetime) -> tuple[int, int]:
            queries.clear()
            done = refresh.refresh_all(world.here.database, world.engine, now, remembered=left)
            return done.counters, len(queries)

        return count

    def test_nothing_is_read_or_written_while_nothing_changes(self, world: World, counted: Any) -> None:
        one, two = world.policy(), world.policy(type="requests")
        world.spend((NOW, "ann", "1"))
        assert counted(NOW + HOUR)[0] == 2
        for hours in (2, 3):
            assert counted(NOW + hours * HOUR) == (0, 0)
            assert {world.row(id_).counted_at for id_ in (one, two)} == {NOW + hours * HOUR}
        assert world.used(one) == {"ann": (Decimal(1), "active")}

    def test_late_rows_and_rows_of_the_future(self, world: World, counted: Any) -> None:
        one = world.policy()
        world.spend((NOW, "ann", "1"), (NOW + 5 * HOUR, "ann", "2"))
        counted(NOW + HOUR)
        assert world.used(one) == {"ann": (Decimal(1), "active")}
        counted(NOW + 6 * HOUR)
        assert world.used(one) == {"ann": (Decimal(3), "active")}
        world.spend((NOW + HOUR, "bob", "4"))
        assert counted(NOW + 6 * HOUR)[0] == 1
        assert world.used(one) == {"ann": (Decimal(3), "active"), "bob": (Decimal(4), "active")}

    def test_rows_that_were_priced_anew(self, world: World, counted: Any) -> None:
        one = world.policy()
        world.spend((NOW, "ann", "1"))
        counted(NOW + HOUR)
        rewritten = pa.table(
            {
                "id": ["row-1-0"],
                "created_at": pa.array([NOW.replace(tzinfo=None)], pa.timestamp("us")),
                "repriced_at": pa.array([NOW.replace(tzinfo=None)], pa.timestamp("us")),
                EXPECTED: pa.array([None], pa.timestamp("us")),
                "cost": pa.array([Decimal(700)], pa.decimal128(18, 12)),
            }
        )
        assert world.engine.rewrite(GENERATIONS, rewritten, Batch("anew")) == 1
        assert counted(NOW + 2 * HOUR)[0] == 1
        assert world.used(one) == {"ann": (Decimal(7), "active")}

    def test_counters_that_were_set_back_or_lost_and_policies_that_changed(self, world: World, counted: Any) -> None:
        one = world.policy()
        world.spend((NOW, "ann", "6"), (NOW + HOUR, "ann", "2"), (NOW, "bob", "1"))
        counted(NOW + 2 * HOUR)
        world.change(one, NOW + HOUR, reset_usage_for_value="ann")
        counted(NOW + 2 * HOUR)
        assert world.used(one) == {"ann": (Decimal(2), "active"), "bob": (Decimal(1), "active")}
        world.change(one, NOW + 3 * HOUR, credit_limit=2)
        counted(NOW + 4 * HOUR)
        assert world.used(one)["ann"] == (Decimal(2), "exhausted")
        with world.here.database.transaction() as session:
            session.execute(delete(PolicyEntity).where(PolicyEntity.value_key.like("%bob")))
        assert counted(NOW + 4 * HOUR) == (1, 0)
        assert world.used(one)["bob"] == (Decimal(1), "active")
        another = world.policy(NOW + 5 * HOUR)
        counted(NOW + 6 * HOUR)
        assert world.used(another) == {}

    def test_a_day_that_is_over(self, world: World, counted: Any) -> None:
        """How much is used a day is the mean of whole days: it is another one tomorrow, though no row came."""
        one = world.policy()
        world.spend((NOW, "ann", "3"))
        told: list[tuple[Any, ...]] = []
        for days in (0, 1, 3, 8):
            counted(NOW + HOUR + timedelta(days=days))
            row, [counter] = world.row(one), world.counters(one)
            told.append((counter.usage_per_day, row.usage_per_day, row.days_left))
        lasts = (Decimal("2.333333"), Decimal(7), Decimal(7))
        assert told == [(3, 3, lasts[0]), (3, 3, lasts[0]), (1, 1, lasts[1]), (None, None, None)]


def test_nothing_is_written_as_of_before_what_was_seen(world: World) -> None:
    """Who follows counters asks for what is as late as the latest that it knows; a count began before it is written."""
    one = world.policy()
    world.spend((NOW, "ann", "1"), (NOW, "bob", "1"))
    world.refresh(NOW + HOUR)
    world.change(one, NOW + 9 * HOUR, reset_usage_for_value="ann")
    world.spend((NOW + HOUR, "bob", "1"))
    world.refresh(NOW + 8 * HOUR)
    world.change(one, NOW + 8 * HOUR, reset_usage_for_value="bob")
    assert {counter.last_updated_at for counter in world.counters(one)} == {NOW + 9 * HOUR}


def test_archived_policies_are_skipped(world: World) -> None:
    one = world.policy()
    world.change(one, NOW, status="archived")
    world.spend((NOW, "ann", "7"))
    assert world.refresh(NOW + HOUR) == RefreshedPolicies()
    assert world.used(one) == {}
