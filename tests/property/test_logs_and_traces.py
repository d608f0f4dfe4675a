"""Pages of logs and traces on every engine are those of plain Python, and over HTTP only of the caller's own rows."""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.permissions import KeyKind
from tests.factories import questions, rows
from tests.factories.app import auth, installed, serving, store
from tests.factories.loaded import loaded
from tests.factories.oracle import Oracle
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine
from warehouse.query.logs import SEARCHED, SEARCHED_LISTS, SORTABLE, LogQuestion, find_logs, sum_logs
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.spec import Question
from warehouse.query.traces import SORTS, TraceQuestion, count_traces, find_traces

Row = dict[str, Any]
quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = rows.generations(31, 400)
GIVEN = rows.feedbacks(32, ROWS, 150)
ORACLE = Oracle(ROWS, GIVEN)
PARTS = ("GPT", "x'; drop", "100%", "ключ", "\\'", "nul\x00byte", "_", "trace-1", "ZOË", "absent-everywhere")


@pytest.fixture(scope="module", params=["lake", "clickhouse"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with loaded(str(request.param), tmp_path_factory.mktemp("logs"), ROWS, GIVEN) as opened:
        yield opened


def some_rows(random: Random) -> Question:
    asked = questions.some_question(random)
    return Question(asked.scope, asked.since, asked.until, conditions=asked.conditions)


def holds(row: Row, part: str) -> bool:
    texts = [row[name] or "" for name in SEARCHED] + [text for name in SEARCHED_LISTS for text in row[name] or ()]
    return any(part.lower() in text.lower() for text in texts)


def chosen(question: LogQuestion) -> list[Row]:
    return [row for row in ORACLE.rows_of(question.rows) if not question.search or holds(row, question.search)]


def in_order(lines: Sequence[Row], names: Sequence[str], direction: str) -> list[Row]:
    """The lines by these columns, what has no value last."""
    found = list(lines)
    for name in reversed(names):
        found.sort(
            key=lambda line: (line[name] is not None, line[name]) if line[name] is not None else (False, 0),
            reverse=direction == "desc",
        )
        found.sort(key=lambda line: line[name] is None)
    return found


@given(st.randoms(use_true_random=False))
@settings(quick, max_examples=20)
def test_pages_of_logs_by_cursor_are_all_of_them_once_and_in_order(engine: Engine, random: Random) -> None:
    question = LogQuestion(
        some_rows(random),
        random.choice(("", "", *PARTS)),
        random.choice(SORTABLE),
        random.choice(("asc", "desc")),
        random.choice((1, 7, 50)),
    )
    wanted = in_order(chosen(question), [key.name for key in question.keys], question.direction)
    found: list[Row] = []
    position = None
    for _ in range(1 + len(wanted) // question.limit):
        page = find_logs(engine, replace(question, position=position))
        found += page.rows
        position = page.position
        if position is None or len(found) > 60:
            break
    assert [row["id"] for row in found] == [row["id"] for row in wanted[: len(found)]]
    assert position is not None or len(found) == len(wanted)
    offset = random.choice((0, 1, 5))
    assert [row["id"] for row in find_logs(engine, replace(question, offset=offset)).rows] == [
        row["id"] for row in wanted[offset : offset + question.limit]
    ]
    sums = sum_logs(engine, question)
    assert sums["requests"] == len(wanted)
    assert sums["total_tokens"] == sum(row["total_units"] or 0 for row in wanted)
    assert sums["cost"] == (
        sum(costs) if (costs := [row["cost"] for row in wanted if row["cost"] is not None]) else None
    )


def traces_of(question: TraceQuestion) -> list[Row]:
    """Every trace that is chosen, with the numbers that can be ordered by."""
    everything = replace(question.requests, rows=replace(question.requests.rows, conditions=()), search="")
    named = {row["trace_id"] for row in chosen(question.requests) if row["trace_id"]}
    lines: list[Row] = []
    for trace in named:
        members = [row for row in chosen(everything) if row["trace_id"] == trace]
        costs = [row["cost"] for row in members if row["cost"] is not None]
        starts = [row["created_at"] for row in members]
        ends = [row["created_at"] + timedelta(milliseconds=row["response_time"] or 0) for row in members]
        lines.append(
            {
                "trace_id": trace,
                "requests": len(members),
                "total_cost": sum(costs) if costs else None,
                "total_tokens": sum(row["total_units"] or 0 for row in members),
                "error_count": sum(row["is_success"] is False for row in members),
                "first_seen": min(starts),
                "last_seen": max(starts),
                "duration_ms": (max(ends) - min(starts)) // timedelta(milliseconds=1),
            }
        )
    return in_order(lines, [key.name for key in question.keys], question.direction)


@given(st.randoms(use_true_random=False))
@settings(quick, max_examples=20)
def test_pages_of_traces_are_those_of_plain_python(engine: Engine, random: Random) -> None:
    question = TraceQuestion(
        LogQuestion(some_rows(random), random.choice(("", "", *PARTS))),
        random.choice(tuple(SORTS)),
        random.choice(("asc", "desc")),
        random.choice((1, 3, 50)),
    )
    wanted = traces_of(question)
    found: list[Row] = []
    position = None
    for _ in range(8):
        page = find_traces(engine, replace(question, position=position))
        found += page.traces
        position = page.position
        if position is None:
            break
    assert len(found) == len(wanted) or position is not None
    for line, want in zip(found, wanted, strict=False):
        assert {name: line[name] for name in want} == want
        assert line["root"]["id"]
    assert count_traces(engine, question) == len(wanted)


def test_a_page_stays_where_it_is_while_rows_arrive(tmp_path_factory: pytest.TempPathFactory) -> None:
    question = LogQuestion(Question(TenantScope("org-a"), rows.FIRST_DAY, datetime(2027, 1, 1, tzinfo=UTC)), limit=20)
    with loaded("lake", tmp_path_factory.mktemp("arriving"), ROWS) as engine:
        before = [row["id"] for row in find_logs(engine, replace(question, limit=1000)).rows]
        seen: list[str] = []
        position = None
        for number in range(100):
            page = find_logs(engine, replace(question, position=position))
            seen += [row["id"] for row in page.rows]
            position = page.position
            if position is None:
                break
            late = [
                {"organisation_id": "org-a", "id": f"new-{number}-{index}", "created_at": rows.FIRST_DAY + after}
                for index, after in enumerate((timedelta(days=9 + number), timedelta(days=5)))
            ]
            store_rows(engine, late, f"late-{number}")
    assert [one for one in seen if not one.startswith("new-")] == before
    assert len(set(seen)) == len(seen)


@pytest.fixture(scope="module")
def arriving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A lake that examples add rows to."""
    with loaded("lake", tmp_path_factory.mktemp("arriving"), ROWS) as opened:
        yield opened


@given(st.randoms(use_true_random=False))
@settings(quick, max_examples=6)
def test_pages_hold_what_was_there_once_and_in_order_whatever_arrives(arriving: Engine, random: Random) -> None:
    """In every order: rows that come before, between and behind the pages move none of the others."""
    scope = Question(TenantScope("org-a"), rows.FIRST_DAY, datetime(2027, 1, 1, tzinfo=UTC))
    order, direction = random.choice(SORTABLE), random.choice(("asc", "desc"))
    question = LogQuestion(scope, "", order, direction, random.choice((5, 40)))
    before = [row["id"] for row in find_logs(arriving, replace(question, limit=5000)).rows]
    seen: list[str] = []
    position = None
    name = f"{random.getrandbits(64):x}-{len(before)}"
    for number in range(4):
        page = find_logs(arriving, replace(question, position=position))
        seen += [row["id"] for row in page.rows]
        position = page.position
        if position is None:
            break
        late = [
            random.choice(ORACLE.rows)
            | {
                "organisation_id": "org-a",
                "id": f"{name}-{number}-{index}",
                "created_at": rows.FIRST_DAY + timedelta(minutes=random.randrange(8 * 24 * 60)),
            }
            for index in range(2)
        ]
        store_rows(arriving, late, f"{name}-{number}")
    known = set(before)
    found = [one for one in seen if one in known]
    assert found == before[: len(found)]
    assert position is not None or len(found) == len(before)
    assert len(set(seen)) == len(seen)


def store_rows(engine: Engine, records: list[Row], batch: str) -> None:
    from warehouse.engines.base import Batch

    engine.append(GENERATIONS, rows.as_generations(records), Batch(batch))


SLUGS = ("default", "prod")


@dataclass(frozen=True)
class Key:
    raw: str
    scope: TenantScope


@dataclass(frozen=True)
class World:
    client: TestClient
    keys: tuple[Key, ...]
    oracle: Oracle


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """Three organisations with the same slugs; of each workspace a service key and a member who sees only its own."""
    keys: list[Key] = []
    users: list[tuple[str, str, str]] = []
    with installed(tmp_path_factory.mktemp("tenancy"), key_cache_s=0) as here, serving(here) as client:
        for organisation in rows.ORGANISATIONS:
            here.organisation(organisation, organisation, with_workspace=False)
            admin = here.key(organisation_id=organisation)
            keys.append(Key(admin, TenantScope(organisation)))
            for slug in SLUGS:
                made = here.workspace(slug, organisation, slug=slug, is_default=slug == "default")
                place = TenantScope(organisation, frozenset({slug}))
                raw = here.key(KeyKind.WORKSPACE_SERVICE, organisation_id=organisation, workspace_id=made.id)
                keys.append(Key(raw, place))
                email = f"{slug}-{rows.ORGANISATIONS.index(organisation)}@example.com"
                user = here.colleague(email, made.id)
                own = here.key(KeyKind.WORKSPACE_USER, organisation_id=organisation, workspace_id=made.id, user_id=user)
                keys.append(Key(own, replace(place, own=OwnRows(user))))
                users.append((organisation, slug, user))
            off = {"security_settings": {"membersViewAllData": False}}
            assert client.put("/v1/admin/organisation", json=off, headers=auth(admin)).status_code == 200
        records = rows.generations(33, 500).to_pylist()
        random = Random(34)
        for record in records:
            record["user_id"] = random.choice((None, *(user for _, _, user in users)))
        generations = pa.Table.from_pylist(records, schema=ROWS.schema)
        feedbacks = rows.feedbacks(35, generations, 100)
        store(client, GENERATIONS, generations, "generations")
        store(client, FEEDBACKS, feedbacks, "feedbacks")
        yield World(client, tuple(keys), Oracle(generations, feedbacks))


TIME = {"time_of_generation_min": "2026-03-01", "time_of_generation_max": "2026-05-01"}


def is_own(key: Key, row: Row) -> bool:
    """The rule of the contract, written down a second time."""
    scope = key.scope
    return (
        row["organisation_id"] == scope.organisation_id
        and (scope.workspaces is None or row["workspace_slug"] in scope.workspaces)
        and (scope.own is None or row["user_id"] == scope.own.user_id)
    )


@given(st.randoms(use_true_random=False))
@settings(quick, max_examples=40)
def test_every_list_is_of_the_callers_own_rows_and_of_all_of_them(world: World, random: Random) -> None:
    key = random.choice(world.keys)
    path = random.choice(("logs", "generations", "spans", "traces"))
    query = {**TIME, "page_size": "100", "workspace_slug": random.choice(("", "", "prod", "default"))}
    search = random.choice(("", "", "gpt", "trace-1"))
    own = [row for row in world.oracle.rows if is_own(key, row)]
    if query["workspace_slug"] and key.scope.workspaces is None:
        own = [row for row in own if row["workspace_slug"] == query["workspace_slug"]]
    own = [row for row in own if not search or holds(row, search)]
    expected = {row["trace_id"] for row in own if row["trace_id"]} if path == "traces" else {row["id"] for row in own}
    found: set[str] = set()
    cursor = ""
    while True:
        asked = query | {"search": search} | ({"cursor": cursor} if cursor else {})
        answer = world.client.get(f"/v1/{path}", params=asked, headers=auth(key.raw))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found |= {line["trace_id" if path == "traces" else "id"] for line in body["data"]}
        assert body["total"] == len(expected)
        cursor = body["next_cursor"] or ""
        if not cursor:
            break
    assert found == expected


def test_one_log_and_one_trace_are_read_by_none_but_their_own(world: World) -> None:
    random = Random(36)
    for row in random.sample(world.oracle.rows, 8):
        for key in world.keys:
            answer = world.client.get(f"/v1/logs/{row['id']}", headers=auth(key.raw))
            is_inside = row["organisation_id"] == key.scope.organisation_id
            assert answer.status_code == (200 if is_own(key, row) else 403 if is_inside else 404)
            if answer.status_code == 200:
                assert answer.json()["metrics"]["workspace_slug"] == row["workspace_slug"]
    for trace in random.sample([f"trace-{number}" for number in range(25)], 4):
        for key in world.keys:
            members = {row["id"] for row in world.oracle.rows if row["trace_id"] == trace and is_own(key, row)}
            for path in (f"/v1/traces/{trace}", f"/v1/traces/{trace}/spans"):
                answer = world.client.get(path, headers=auth(key.raw))
                assert answer.status_code == 200 if members else answer.status_code in (403, 404)
                if members:
                    assert ids_in(answer.json()) == members


def ids_in(body: Row) -> set[str]:
    """The ids of a trace's spans, in a tree or a list."""
    text = json.dumps(body)
    return {part.split('"')[0] for part in text.split('"log_id": "')[1:]}
