"""A simulated quarter: 200 entities, a clock moved by hand, resets, edits, late rows, re-pricing, crashes.

At every step what each limit says equals an independent sum over the rows, and each alert has left exactly once.
`make quarter` runs it with two million rows; GATELEDGER_QUARTER_ROWS and GATELEDGER_QUARTER_SEED choose others.
"""

import os
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.alerts import signing
from api.alerts.rows import Alert, Message
from api.api_keys import service as api_keys
from api.limits import service
from api.limits.counting import apply, counted, read
from api.limits.rows import Limit
from api.limits.service import Entity
from api.limits.upkeep import refresh_all, restart_all
from api.permissions import KeyKind
from tests.factories import quarter
from tests.factories.app import Installation, installed
from tests.factories.outbox import alert_settings, outbox_of, receiver
from tests.factories.quarter import DAY, DAYS, MEAN_TOKENS, RATES, Company, Expected, Rows, Sums
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine
from warehouse.engines.open import open_engine
from warehouse.reprice.rows import Selection
from warehouse.reprice.run import reprice
from warehouse.storage.migrate import migrate

ROWS = int(os.environ.get("GATELEDGER_QUARTER_ROWS", "20000"))
SEED = int(os.environ.get("GATELEDGER_QUARTER_SEED", "7"))
STEPS = 17
KEYS, WORKSPACES, VIRTUAL_KEYS, INTEGRATIONS = 140, 20, 24, 16
SLUGS = 12
"""Of virtual keys; the same in every workspace."""
SCHEDULES: tuple[tuple[str, int] | None, ...] = (
    None,
    ("weekly", 7),
    ("monthly", 30),
    ("days", 1),
    ("days", 3),
    ("days", 10),
    ("days", 45),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Crash(BaseException):
    """The process dies here."""


class Quarter:
    """A company, its gateway's rows, and what is expected of its limits."""

    def __init__(self, here: Installation, folder: Path, hook: Any, opened: ExitStack) -> None:
        self.here, self.hook, self.random = here, hook, Random(SEED)
        self.now = self.before = quarter.START
        alerts = alert_settings(webhook_url=hook.url, webhook_secret=signing.new_secret())
        self.outbox = opened.enter_context(outbox_of(here, folder, alerts=alerts, clock=lambda: self.now))
        ways = dict(self.outbox.delivery._ways)
        self.outbox.delivery._ways = {channel: self._dying(way) for channel, way in ways.items()}
        self.deaths: list[str] = []
        self.engine = self._opened()
        self.rows, self.batches = Rows(), 0
        self.entities: dict[str, Entity] = {}
        self.expected: dict[str, Expected] = {}
        self.told: Counter[tuple[str, str, datetime]] = Counter()
        self.company = self._company()
        self._budgets()

    def close(self) -> None:
        self.engine.close()

    def _opened(self) -> Engine:
        engine = open_engine(self.here.settings.warehouse)
        migrate(engine)
        return engine

    def _dying(self, way: Callable[[Message], None]) -> Callable[[Message], None]:
        """The way, where somebody dies just before or just after a message has left when it is planned."""

        def go(message: Message) -> None:
            death = self.deaths.pop() if self.deaths else ""
            if death == "before":
                raise Crash
            way(message)
            if death == "after":
                raise Crash

        return go

    def _company(self) -> Company:
        organisation_id = self.here.first.organisation_id
        places = [self.here.workspace(f"Team {number}") for number in range(WORKSPACES)]
        place_of_key = [number % WORKSPACES for number in range(KEYS)]
        ids: list[str] = []
        with self.here.database.transaction() as session:
            for number, place in enumerate(place_of_key):
                wanted = api_keys.NewKey(
                    kind=KeyKind.WORKSPACE_SERVICE,
                    name=f"Key {number}",
                    organisation_id=organisation_id,
                    workspace_id=places[place].id,
                    scopes=["logs.list"],
                )
                ids.append(api_keys.create(session, wanted, now=self.now).row.id)
        self._places = [place.id for place in places]
        slugs = [place.slug for place in places]
        return Company(organisation_id, ids, place_of_key, slugs, [f"virtual-{number}" for number in range(SLUGS)])

    def _budgets(self) -> None:
        """A limit of each entity, such that many are used up and many are not."""
        with self.here.database.transaction() as session:
            self._limits(session)

    def _limits(self, session: Session) -> None:
        company, draw = self.company, self.random
        for number, key in enumerate(company.keys):
            place = self._places[company.place_of_key[number]]
            self._limit(session, Entity("api_key", key, company.organisation_id, place), 0, (number,), (), 1 / KEYS)
        for number, place in enumerate(self._places):
            self._limit(
                session, Entity("workspace", place, company.organisation_id, place), 1, (number,), (), 1 / WORKSPACES
            )
        for number in range(VIRTUAL_KEYS + INTEGRATIONS):
            place = number % WORKSPACES
            if number < VIRTUAL_KEYS:
                kind, some = "virtual_key", (draw.randrange(SLUGS),)
            else:
                kind, some = "integration_workspace", tuple(draw.sample(range(SLUGS), 3))
            slugs = [company.virtual_keys[one] for one in some]
            name = f"Entity {number}"
            entity = Entity(kind, f"{kind}-{number}", company.organisation_id, self._places[place], name, slugs)  # type: ignore[arg-type]
            self._limit(session, entity, 2, some, (place,), len(some) / (SLUGS * WORKSPACES))

    def _limit(
        self,
        session: Session,
        entity: Entity,
        kind: int,
        numbers: tuple[int, ...],
        places: tuple[int, ...],
        share: float,
    ) -> None:
        draw = self.random
        type_, schedule = draw.choice(("cost", "tokens")), draw.choice(SCHEDULES)
        days = schedule[1] if schedule else DAYS
        mean = ROWS / DAYS * share * days * MEAN_TOKENS * (RATES[0] if type_ == "cost" else 1)
        credit_limit = max(2, int(mean * draw.choice((0.5, 0.9, 1.5, 3, 6, 12, 24))))
        threshold = draw.choice((None, credit_limit // 2 or None, credit_limit * 9 // 10 or None))
        expected = Expected(
            "", kind, numbers, places, type_, credit_limit, threshold, schedule, self.now, self.now, self.now
        )
        limit = self._write(session, entity, expected)
        expected.limit_id = limit.id
        self.expected[limit.id], self.entities[limit.id] = expected, entity

    def _write(self, session: Session, entity: Entity, expected: Expected) -> Limit:
        name, days = expected.schedule or (None, 0)
        settings = {
            "type": expected.type,
            "credit_limit": expected.amount(expected.credit_limit),
            "alert_threshold": None if expected.threshold is None else expected.amount(expected.threshold),
            "periodic_reset": name if name in {"weekly", "monthly"} else None,
            "periodic_reset_days": days if name == "days" else None,
            "next_usage_reset_at": None,
        }
        [limit] = service.write(session, entity, [settings], self.now)
        return limit

    def arrive(self) -> None:
        """Requests come in: of just now, late, and from clocks that are ahead."""
        count = round(ROWS * min((self.now - self.before) / timedelta(days=DAYS), 1))
        more = self.company.drawn(self.random, quarter.instants(self.random, self.before, self.now, count))
        self.batches += 1
        name = f"batch-{self.batches}"
        table = self.company.table(more, name)
        assert self.engine.append(GENERATIONS, table, Batch(name)).stored == count
        if self.random.random() < 0.2:  # the same batch again, after a crash
            assert self.engine.append(GENERATIONS, table, Batch(name)).stored == 0
        self.rows.add(more)

    def reprice(self) -> None:
        """Some days turn out to have cost something else."""
        version = self.random.randrange(len(RATES))
        since = self.now - DAY * self.random.randrange(1, 20)
        selection = Selection(since, since + DAY * self.random.random() * 2)
        reprice(self.engine, quarter.pricer_of(version), selection, self.now)
        window = quarter.milliseconds(selection.since), quarter.milliseconds(selection.until)
        self.rows.reprice(*window, RATES[version])

    def edit(self) -> None:
        """People raise, lower and take away what is allowed, and set usage back."""
        draw = self.random
        for limit_id in draw.sample(sorted(self.expected), 6):
            expected, entity = self.expected[limit_id], self.entities[limit_id]
            if draw.random() < 0.3:
                with self.here.database.transaction() as session:
                    service.reset_usage(session, entity, self.now)
                expected.walk(self.now)
                expected.restart(quarter.moment(quarter.milliseconds(self.now)))
                continue
            credit_limit = max(2, int(expected.credit_limit * draw.choice((0.5, 0.9, 1, 1.5, 3))))
            kept = min(expected.threshold or credit_limit // 3 or 1, credit_limit - 1)
            threshold = draw.choice((None, kept, min(kept * 2, credit_limit - 1), kept // 2 or 1))
            expected.walk(self.now)
            expected.change(credit_limit, threshold)
            with self.here.database.transaction() as session:
                self._write(session, entity, expected)

    def die(self) -> None:
        """Somebody counts and dies before the commit; or the whole process starts anew."""
        if self.random.random() < 0.5:
            with suppress(Crash), self.here.database.transaction() as session:
                apply(session, counted(read(session), self.engine, self.now).news, self.now)
                raise Crash
        else:
            self.engine.close()
            self.engine = self._opened()
            self.here.database.engine.dispose()
        self.deaths += self.random.choice((["before"], ["after"], ["before", "after"], []))

    def count(self) -> None:
        """The limits are counted, by any of the ways there are."""
        chance = self.random.random()
        if chance < 0.2:
            restart_all(self.here.database, self.now)
        chosen = None if chance < 0.7 else self.random.choice((None, self.company.organisation_id))
        refresh_all(self.here.database, self.engine, self.now, chosen)
        sums = Sums(self.rows)
        for limit_id, expected in self.expected.items():
            expected.walk(self.now)
            for kind in expected.count(sums, self.now):
                self.told[limit_id, kind, expected.since] += 1

    def send(self) -> None:
        with suppress(Crash):
            self.outbox.send()

    def differences(self) -> list[tuple[object, ...]]:
        """Where the limits say something else than the model."""
        with self.here.database.transaction(writes=False) as session:
            limits = {limit.id: limit for limit in session.scalars(select(Limit))}
        found: list[tuple[object, ...]] = []
        for limit_id, expected in self.expected.items():
            limit = limits[limit_id]
            said = (
                limit.current_usage,
                limit.period_started_at,
                limit.status,
                limit.is_threshold_alert_sent,
                limit.is_exhausted_alert_sent,
            )
            right = (
                expected.amount(expected.usage),
                quarter.moment(quarter.milliseconds(expected.since)),
                "exhausted" if expected.is_exhausted else "active",
                expected.told["threshold"],
                expected.told["exhausted"],
            )
            if said != right:
                found.append((limit.entity_type, expected.schedule, said, right))
        return found

    def alerts(self) -> Counter[tuple[str, str, datetime]]:
        """What the outbox was handed."""
        with self.here.database.transaction(writes=False) as session:
            return Counter(
                (each.limit_id, each.kind, each.period_started_at) for each in session.scalars(select(Alert))
            )

    def heard(self) -> Counter[tuple[str, str, datetime]]:
        """What the receiver of the webhook knows; a call that came twice has the same id."""
        events = {headers["webhook-id"]: orjson.loads(body) for headers, body in self.hook.calls}
        return Counter(
            (event["data"]["limit_id"], event["type"].partition(".")[2], datetime.fromisoformat(since))
            for event in events.values()
            if (since := event["data"]["period_started_at"])
        )


@pytest.fixture
def company(tmp_path: Path) -> Generator[Quarter]:
    with (
        installed(tmp_path / "home") as here,
        receiver() as hook,
        ExitStack() as opened,
        closing(Quarter(here, tmp_path / "spool", hook, opened)) as made,
    ):
        yield made


def test_every_number_is_right_at_every_step_and_every_alert_leaves_once(company: Quarter) -> None:
    random = company.random
    for company.now in quarter.clock(random, STEPS):
        company.arrive()
        if random.random() < 0.25:
            company.reprice()
        if random.random() < 0.5:
            company.edit()
        if random.random() < 0.4:
            company.die()
        company.count()
        assert company.differences() == [], company.now
        assert company.alerts() == _to_the_millisecond(company.told), company.now
        company.send()
        company.before = company.now
    company.now += DAY
    company.deaths.clear()
    company.send()
    told = _to_the_millisecond(company.told)
    assert company.heard() == told
    recorded = [record["id"] for record in company.outbox.recorded()]
    assert len(set(recorded)) == told.total()
    assert {kind for _, kind, _ in told} == {"threshold", "exhausted"}
    assert told.total() > len(company.expected) / 2


def _to_the_millisecond(told: Counter[tuple[str, str, datetime]]) -> Counter[tuple[str, str, datetime]]:
    found: Counter[tuple[str, str, datetime]] = Counter()
    for (limit_id, kind, since), count in told.items():
        found[limit_id, kind, quarter.moment(quarter.milliseconds(since))] += count
    return found
