"""Usage of limits by the rows of a real warehouse: what counts, when it starts anew, and who is told."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import delete
from sqlglot import exp

from api.alerts.rows import Alert
from api.limits import counting, service
from api.limits.counting import Refreshed
from api.limits.rendering import exhausts_at
from api.limits.restarting import Schedule, restart_due
from api.limits.rows import Limit
from api.limits.upkeep import refresh_all
from api.permissions import KeyKind
from api.principal import Principal
from api.users import administration
from api.workspaces import archiving, members
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation, installed
from tests.factories.engines import lake_engine
from tests.factories.limits import World
from tests.factories.rows import as_generations
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine, scan
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.errors import WarehouseError

MS = timedelta(milliseconds=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class _Away(DuckDBEngine):
    """A lake whose folder cannot be read."""

    def day_fingerprints(self, dataset: Any, window: Any = None) -> dict[Any, str]:
        raise WarehouseError(f"{dataset.name} cannot be read for {window}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, Engine]]:
    folder = tmp_path_factory.mktemp("limits")
    with installed(folder / "home") as here, lake_engine(folder / "lake") as engine:
        yield here, engine


@pytest.fixture
def world(whole: tuple[Installation, Engine], request: pytest.FixtureRequest) -> World:
    here, engine = whole
    made = here.workspace(request.node.name[:200])
    with here.database.transaction() as session:
        session.execute(delete(Limit))
    return World(here, engine, made)


class TestWhatCounts:
    def test_each_kind_counts_its_own_rows(self, world: World) -> None:
        key = world.limited_key()
        world.limit(world.entity("workspace", world.workspace.id))
        world.limit(world.entity("virtual_key", "vk-1", "openai-a"), type="tokens", credit_limit=100)
        world.limit(world.entity("integration_workspace", "in-1", "openai-a", "openai-b"))
        at = NOW + HOUR
        world.spend("1.5", at, api_key_id=key, virtual_key="openai-a")
        world.spend("2", at, api_key_id="another", virtual_key="openai-b")
        world.spend("4", at, virtual_key="anthropic")
        world.spend("8", at, workspace_slug="elsewhere", virtual_key="openai-a")
        world.spend("16", at, organisation_id="another", api_key_id=key)
        done = world.count(at + HOUR)
        assert (done.limits, done.changed, done.crossings) == (4, 4, ())
        found = {entity: world.usage(entity) for entity in (key, world.workspace.id, "vk-1", "in-1")}
        assert found == {key: Decimal("1.5"), world.workspace.id: Decimal("7.5"), "vk-1": 7, "in-1": Decimal("3.5")}

    def test_a_count_that_finds_nothing_new_writes_only_that_it_was(self, world: World) -> None:
        key = world.limited_key()
        world.spend("1", NOW + HOUR, api_key_id=key)
        assert world.count(NOW + 2 * HOUR).changed == 1
        assert world.count(NOW + 3 * HOUR).changed == 0
        [limit] = world.limits(key)
        assert (limit.last_updated_at, limit.counted_at) == (NOW + 2 * HOUR, NOW + 3 * HOUR)
        world.count(NOW + HOUR)  # who began earlier comes last
        assert world.limits(key)[0].counted_at == NOW + 3 * HOUR

    def test_whose_period_was_changed_meanwhile_was_not_counted(self, world: World) -> None:
        key = world.limited_key()
        world.count(NOW + HOUR)
        database = world.here.database
        with database.transaction(writes=False) as session:
            found = counting.counted(counting.read(session), world.engine, NOW + 3 * HOUR)
        assert [one.since for one in found.same] == [NOW]
        with database.transaction() as session:
            service.reset_usage(session, world.entity("api_key", key), NOW + 2 * HOUR)
        with database.transaction() as session:
            counting.mark_counted(session, found.same, NOW + 3 * HOUR)
        assert world.limits(key)[0].counted_at == NOW + 2 * HOUR

    def test_fractions_of_a_cent_are_exact(self, world: World) -> None:
        key = world.limited_key()
        for _ in range(3):
            world.spend("0.00000000000001", NOW + HOUR, api_key_id=key)
        world.count(NOW + 2 * HOUR)
        assert world.usage(key) == Decimal("0.00000000000003")

    def test_failures_count_and_requests_without_a_price_do_not_exhaust(self, world: World) -> None:
        key = world.limited_key()
        world.spend("10", NOW + HOUR, api_key_id=key, is_success=False, cost=None)
        world.spend("9.99", NOW + HOUR, api_key_id=key, is_success=False)
        world.count(NOW + 2 * HOUR)
        assert (world.usage(key), world.status(key)) == (Decimal("9.99"), "active")

    def test_late_rows_are_in_the_next_count(self, world: World) -> None:
        key = world.limited_key()
        world.count(NOW + 3 * DAY)
        world.spend("3", NOW + HOUR, api_key_id=key)
        world.count(NOW + 3 * DAY + HOUR)
        assert world.usage(key) == 3
        world.spend("4", NOW - HOUR, api_key_id=key)  # before the limit was set
        world.count(NOW + 3 * DAY + 2 * HOUR)
        assert world.usage(key) == 3

    def test_a_row_of_the_future_counts_when_its_time_has_come(self, world: World) -> None:
        key = world.limited_key()
        world.spend("3", NOW + 2 * HOUR, api_key_id=key)
        world.count(NOW + HOUR)
        assert world.usage(key) == 0
        world.count(NOW + 2 * HOUR)
        assert world.usage(key) == 0
        world.count(NOW + 2 * HOUR + MS)
        assert world.usage(key) == 3

    def test_all_state_rebuilt_from_nothing_gives_the_same(self, world: World, tmp_path: Path) -> None:
        key = world.limited_key(periodic_reset_days=2)
        for hours in range(1, 120, 7):
            world.spend("0.37", NOW + hours * HOUR, api_key_id=key)
        now = NOW + 5 * DAY
        world.count(now)
        before = world.usage(key)
        assert before > 0
        with world.here.database.transaction() as session:
            session.execute(delete(Alert))
            [limit] = service.of(session, "api_key", key)
            limit.current_usage, limit.counted_at, limit.usage_per_day = Decimal(0), None, None
        other = lake_engine(tmp_path / "another")  # another process, which has nothing in mind
        with other as engine:
            rows = world.engine.query(_all_rows())
            engine.append(GENERATIONS, rows.cast(as_generations([]).schema), Batch("copy"))
            refresh_all(world.here.database, engine, now)
        assert world.usage(key) == before


class TestResets:
    @pytest.mark.parametrize(
        ("schedule", "boundary"),
        [
            ({"periodic_reset": "weekly"}, datetime(2026, 4, 5, tzinfo=UTC)),
            ({"periodic_reset": "monthly"}, datetime(2026, 5, 1, tzinfo=UTC)),
            ({"periodic_reset_days": 3}, datetime(2026, 4, 5, tzinfo=UTC)),
        ],
    )
    def test_a_row_at_the_instant_of_a_reset_counts_once(
        self, world: World, schedule: dict[str, Any], boundary: datetime
    ) -> None:
        key = world.limited_key(**schedule)
        world.spend("1", boundary - 2 * MS, api_key_id=key)
        world.spend("2", boundary, api_key_id=key)
        world.spend("4", boundary + MS, api_key_id=key)
        assert world.count(boundary - MS).restarts == ()
        assert world.usage(key) == 1
        [restart] = world.count(boundary + HOUR).restarts
        assert (restart.at, restart.used) == (boundary, 1)
        assert world.usage(key) == 6

    def test_what_was_missed_is_caught_up_once(self, world: World) -> None:
        key = world.limited_key(periodic_reset_days=2)
        world.spend("5", datetime(2026, 4, 13, 23, 59, 59, 999_000, tzinfo=UTC), api_key_id=key)
        world.spend("2", datetime(2026, 4, 14, tzinfo=UTC), api_key_id=key)
        now = datetime(2026, 4, 15, 12, tzinfo=UTC)
        [restart] = world.count(now).restarts
        assert restart.at == datetime(2026, 4, 14, tzinfo=UTC)
        assert restart.next_reset_at == datetime(2026, 4, 16, tzinfo=UTC)
        assert (world.usage(key), world.count(now + HOUR).restarts) == (2, ())

    def test_a_reset_makes_an_exhausted_key_active_and_alerts_anew(self, world: World) -> None:
        key = world.limited_key(periodic_reset="weekly", alert_threshold=5)
        world.spend("11", NOW + HOUR, api_key_id=key)
        world.count(NOW + 2 * HOUR)
        assert (world.status(key), world.alerts(key)) == ("exhausted", ["exhausted", "threshold"])
        sunday = datetime(2026, 4, 5, tzinfo=UTC)
        world.count(sunday)
        assert (world.status(key), world.usage(key)) == ("active", 0)
        world.spend("6", sunday, api_key_id=key)
        world.count(sunday + HOUR)
        assert world.alerts(key) == ["exhausted", "threshold", "threshold"]

    def test_by_hand_usage_starts_at_that_instant(self, world: World) -> None:
        key = world.limited_key(periodic_reset="monthly")
        world.spend("3", NOW + HOUR - MS, api_key_id=key)
        world.spend("4", NOW + HOUR, api_key_id=key)
        world.count(NOW + HOUR + MS)
        assert world.usage(key) == 7
        with world.here.database.transaction() as session:
            service.reset_usage(session, world.entity("api_key", key), NOW + HOUR)
        world.count(NOW + 2 * HOUR)
        [limit] = world.limits(key)
        assert (limit.current_usage, limit.next_reset_at) == (4, datetime(2026, 5, 1, tzinfo=UTC))

    def test_by_hand_after_a_reset_that_nobody_has_made_yet(self, world: World) -> None:
        key, sunday = world.limited_key(periodic_reset="weekly"), datetime(2026, 4, 5, tzinfo=UTC)
        world.spend("3", sunday + HOUR, api_key_id=key)
        world.spend("4", sunday + 3 * HOUR, api_key_id=key)
        with world.here.database.transaction() as session:
            service.reset_usage(session, world.entity("api_key", key), sunday + 2 * HOUR)
        world.count(sunday + 4 * HOUR)
        [limit] = world.limits(key)
        assert (limit.current_usage, limit.period_started_at) == (4, sunday + 2 * HOUR)
        assert limit.next_reset_at == sunday + 7 * DAY

    def test_without_the_warehouse_they_come_too(self, world: World) -> None:
        keys = {
            Schedule.WEEKLY: world.limited_key(periodic_reset="weekly"),
            Schedule.MONTHLY: world.limited_key(periodic_reset="monthly"),
            Schedule.DAYS: world.limited_key(periodic_reset_days=5),
            Schedule.ONCE: world.limited_key(next_usage_reset_at="2026-04-20T00:00:00Z"),
        }
        with world.here.database.transaction() as session:
            restarts = restart_due(session, NOW + 40 * DAY)
            assert restart_due(session, NOW + 40 * DAY) == []
        assert {restart.schedule: restart.entity_id for restart in restarts} == keys
        assert world.limits(keys[Schedule.ONCE])[0].next_reset_at is None

    def test_a_warehouse_that_does_not_answer_holds_up_no_reset(self, world: World) -> None:
        keys = [world.limited_key(periodic_reset="weekly") for _ in range(2)]
        for key in keys:
            world.spend("11", NOW + HOUR, api_key_id=key)
        world.count(NOW + 2 * HOUR)
        sunday = datetime(2026, 4, 5, tzinfo=UTC)
        with pytest.raises(WarehouseError):
            refresh_all(world.here.database, _Away("nowhere"), sunday + HOUR)
        assert [world.status(key) for key in keys] == ["active", "active"]
        assert {world.limits(key)[0].period_started_at for key in keys} == {sunday}

    def test_many_at_once_reset_and_alert_once(self, world: World) -> None:
        keys = [world.limited_key(periodic_reset="weekly", alert_threshold=1) for _ in range(3)]
        sunday = datetime(2026, 4, 5, tzinfo=UTC)
        for key in keys:
            world.spend("12", sunday + HOUR, api_key_id=key)
        barrier, done = Barrier(4), list[Refreshed]()

        def run() -> None:
            barrier.wait()
            done.append(world.count(sunday + 2 * HOUR))

        threads = [Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 4
        assert sorted(one.entity_id for found in done for one in found.restarts) == sorted(keys)
        assert sum(len(found.crossings) for found in done) == 2 * len(keys)
        assert [world.alerts(key) for key in keys] == [["exhausted", "threshold"]] * 3
        assert [world.usage(key) for key in keys] == [12] * 3


class TestChanges:
    def test_a_raised_limit_reactivates_and_alerts_again_when_it_is_reached(self, world: World) -> None:
        key = world.limited_key(alert_threshold=5)
        world.spend("10", NOW + HOUR, api_key_id=key)
        world.count(NOW + 2 * HOUR)
        world.limit(world.entity("api_key", key), credit_limit=20, alert_threshold=5)
        world.count(NOW + 3 * HOUR)
        assert world.alerts(key) == ["exhausted", "threshold", "threshold"]
        world.spend("10", NOW + 3 * HOUR, api_key_id=key)
        world.count(NOW + 4 * HOUR)
        assert world.alerts(key) == ["exhausted", "exhausted", "threshold", "threshold"]

    def test_a_lowered_limit_is_told_at_the_next_count(self, world: World) -> None:
        key = world.limited_key()
        world.spend("6", NOW + HOUR, api_key_id=key)
        world.count(NOW + 2 * HOUR)
        world.limit(world.entity("api_key", key), credit_limit=6)
        world.count(NOW + 2 * HOUR)
        assert (world.status(key), world.alerts(key)) == ("exhausted", ["exhausted"])

    def test_whoever_counted_earlier_does_not_overwrite(self, world: World) -> None:
        key = world.limited_key()
        world.spend("1", NOW + HOUR, api_key_id=key)
        world.count(NOW + 3 * HOUR)
        world.spend("1", NOW + HOUR, api_key_id=key)
        world.count(NOW + 2 * HOUR)
        assert world.usage(key) == 1
        world.count(NOW + 3 * HOUR)
        assert world.usage(key) == 2

    def test_changing_what_is_allowed_does_not_put_off_the_reset(self, world: World) -> None:
        key = world.limited_key(periodic_reset_days=10)
        before = world.limits(key)[0].next_reset_at
        world.limit(world.entity("api_key", key), NOW + 5 * DAY, credit_limit=20, periodic_reset_days=10)
        assert world.limits(key)[0].next_reset_at == before
        world.limit(world.entity("api_key", key), NOW + 5 * DAY, credit_limit=20, periodic_reset_days=20)
        assert world.limits(key)[0].next_reset_at == datetime(2026, 4, 27, tzinfo=UTC)

    def test_an_organisation_alone(self, world: World) -> None:
        key = world.limited_key()
        world.spend("1", NOW + HOUR, api_key_id=key)
        assert refresh_all(world.here.database, world.engine, NOW + 2 * HOUR, "another").limits == 0
        assert refresh_all(world.here.database, world.engine, NOW + 2 * HOUR, world.organisation).changed == 1
        assert world.usage(key) == 1

    def test_they_end_with_the_keys_of_people_who_leave(self, world: World) -> None:
        people = [world.here.colleague(f"{name}@{world.workspace.slug}.example", world.workspace.id) for name in "ab"]
        for user in people:
            world.limit(world.entity("api_key", world.key(KeyKind.WORKSPACE_USER, user)))
        assert world.count(NOW + HOUR).limits == 2
        with world.here.database.transaction() as session:
            administration.remove(session, world.organisation, people[0], NOW)
            owner = Principal(
                key_id="k",
                kind=KeyKind.ORGANISATION_SERVICE,
                organisation_id=world.organisation,
                workspace_id=None,
                workspace_slug=None,
                user_id=None,
                scopes=frozenset(),
            )
            members.remove(session, owner, session.get_one(Workspace, world.workspace.id), people[1], NOW)
        assert world.count(NOW + HOUR).limits == 0

    def test_they_end_with_what_they_are_of(self, world: World) -> None:
        world.limited_key()
        world.limit(world.entity("workspace", world.workspace.id))
        world.limit(world.entity("virtual_key", "vk-2", "openai-a"))
        with world.here.database.transaction() as session:
            archiving.archive(session, session.get_one(Workspace, world.workspace.id), now=NOW)
        assert world.count(NOW + HOUR).limits == 0


class TestForecasts:
    def test_when_it_will_be_used_up(self, world: World) -> None:
        key = world.limited_key(credit_limit=100)
        for days in (1, 2, 3):
            world.spend("4", NOW + days * DAY, api_key_id=key)
        now = NOW + 4 * DAY
        world.count(now)
        [limit] = world.limits(key)
        assert exhausts_at(limit, now) == now + 22 * DAY
        limit.next_reset_at = now + 22 * DAY
        assert exhausts_at(limit, now) is None  # it starts anew before
        limit.next_reset_at, limit.credit_limit = None, Decimal(12)
        assert exhausts_at(limit, now) is None  # it is used up
        limit.credit_limit = Decimal(10**12)
        assert exhausts_at(limit, now) is None  # nobody will see that day

    def test_by_the_days_before_today(self, world: World) -> None:
        key = world.limited_key(credit_limit=100)
        for days in (1, 2, 3):
            world.spend("4", NOW + days * DAY, api_key_id=key)
        world.count(NOW + 4 * DAY)
        [limit] = world.limits(key)
        assert limit.usage_per_day == 4
        world.count(NOW + 12 * DAY)
        assert world.limits(key)[0].usage_per_day is None


def _all_rows() -> Any:

    return exp.select(*(exp.column(exp.to_identifier(c.name, quoted=True)) for c in GENERATIONS.columns)).from_(
        scan("generations")
    )
