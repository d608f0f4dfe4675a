"""Over HTTP, nothing that a key can ask returns a row of somebody else, and no row of its own is lost.

Each question is asked of the real app and of the oracle, which gets only the rows the key may see by a rule that is
written down here a second time.
"""

import json
from collections.abc import Generator
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isclose
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from api.analytics import rendering
from api.analytics.graphs import GRAPHS, SUMMARIES
from api.analytics.parameters import parse_groups
from api.permissions import KeyKind
from tests.factories import questions, rows
from tests.factories.app import Installation, auth, installed, serving, store
from tests.factories.oracle import Oracle
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition

SLUGS = ("default", "prod", "Prod")
"""The workspaces that the control plane knows; rows of others are seen by organisation keys only."""
MARKED = ("ai_org", "ai_model", "api_key_id", "config", "virtual_key", "prompt_slug", "trace_id", "span_id")
WHOLE_TIME = {"time_of_generation_min": "2026-03-01", "time_of_generation_max": "2026-05-01"}


@dataclass(frozen=True)
class Key:
    """A key, and the only rows it may ever see."""

    raw: str
    scope: TenantScope


@dataclass(frozen=True)
class World:
    """Three organisations with the same slugs and ids, one app, and every answer in plain Python."""

    client: TestClient
    keys: tuple[Key, ...]
    workspace_ids: dict[tuple[str, str], str]
    oracle: Oracle


def marker(organisation: str) -> str:
    """A text that only rows of this organisation hold."""
    return f"only-{rows.ORGANISATIONS.index(organisation)}"


def marked_rows() -> pa.Table:
    """For each organisation and workspace one row that carries its owner's name wherever a row can."""
    return rows.as_generations(
        [
            {
                "organisation_id": organisation,
                "workspace_slug": slug,
                "id": f"{marker(organisation)}-{slug}",
                "created_at": rows.FIRST_DAY,
                "response_status_code": 200,
                "is_success": True,
                "metadata.key": ["team"],
                "metadata.value": [marker(organisation)],
                **dict.fromkeys(MARKED, marker(organisation)),
            }
            for organisation in rows.ORGANISATIONS
            for slug in SLUGS
        ]
    )


def populated(here: Installation) -> tuple[tuple[Key, ...], dict[tuple[str, str], str]]:
    keys: list[Key] = []
    ids: dict[tuple[str, str], str] = {}
    for organisation in rows.ORGANISATIONS:
        here.organisation(organisation, organisation, with_workspace=False)
        member = here.member(f"{marker(organisation)}@example.com", organisation, "admin")
        keys.append(Key(here.key(organisation_id=organisation), TenantScope(organisation)))
        for slug in SLUGS:
            made = here.workspace(slug, organisation, slug=slug, is_default=slug == "default")
            ids[organisation, slug] = made.id
            own = TenantScope(organisation, frozenset({slug}))
            for kind, user in ((KeyKind.WORKSPACE_SERVICE, None), (KeyKind.WORKSPACE_USER, member)):
                raw = here.key(kind, organisation_id=organisation, workspace_id=made.id, user_id=user)
                keys.append(Key(raw, own))
    return tuple(keys), ids


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("tenancy")) as here:
        keys, ids = populated(here)
        generations = pa.concat_tables([rows.generations(7, 500), marked_rows()])
        feedbacks = rows.feedbacks(8, generations, 200)
        with serving(here) as client:
            store(client, GENERATIONS, generations, "generations")
            store(client, FEEDBACKS, feedbacks, "feedbacks")
            yield World(client, keys, ids, Oracle(generations, feedbacks))


def visible(world: World, key: Key, named: tuple[str, ...]) -> TenantScope | None:
    """What a key sees when it names these workspaces; None when that is refused."""
    if key.scope.workspaces is not None or not named:
        return key.scope
    own = {slug: slug for organisation, slug in world.workspace_ids if organisation == key.scope.organisation_id}
    own |= {id_: slug for (owner, slug), id_ in world.workspace_ids.items() if owner == key.scope.organisation_id}
    if not set(named) <= own.keys():
        return None
    return TenantScope(key.scope.organisation_id, frozenset(own[name] for name in named))


def text_of(condition: Condition) -> str | None:
    """A condition as a client writes it; None where the wire has no way to say it."""
    if not isinstance(condition.value, tuple):
        return str(condition.value)
    if condition.filter == "metadata":
        return json.dumps(dict(condition.value))  # type: ignore[arg-type]
    items = ["__".join(item) if isinstance(item, tuple) else str(item) for item in condition.value]
    return None if any("," in item or not item.strip() for item in items) else ",".join(items)


def some_query(random: Random, world: World) -> tuple[str, dict[str, str]]:
    """A path's group-by and a query string: anything a client can ask, also about others."""
    question = questions.some_question(random)
    first = random.choice(questions.DIMENSIONS)
    others = [name for name in question.by if name != first and "," not in name]
    query = {
        "time_of_generation_min": question.since.isoformat(),
        "time_of_generation_max": question.until.isoformat(),
        "columns": ",".join(question.measures),
        "group_by": ",".join(others),
        "include_total": str(question.include_total),
        "current_page": str(random.choice((0, 0, 0, 1, 2))),
        "page_size": str(random.choice((0, 1, 3, 50, 100))),
    }
    if question.order:
        query["order_by"], query["order_by_type"] = question.order[0].by, question.order[0].direction
    for condition in question.conditions:
        text = text_of(condition)
        if text is not None:
            query[condition.filter] = text
    if random.random() < 0.5:
        places = [
            *SLUGS,
            *SLUGS,
            *world.workspace_ids.values(),
            *world.workspace_ids.values(),
            "absent",
            "o'brien",
            "%",
        ]
        query["workspace_slug"] = ",".join(random.sample(places, random.choice((1, 1, 2, 3))))
    return first, query


def wire(value: Any) -> Any:
    """A value of the oracle as the wire spells it."""
    return rendering.instant(value) if hasattr(value, "isoformat") else value


def is_same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, float) and found is not None:
        return isclose(wanted, float(found), rel_tol=1e-12, abs_tol=1e-12)
    return wanted == found and (wanted is None) == (found is None)


@given(seed=st.integers(0, 2**48))
@settings(max_examples=150, deadline=None)
def test_every_answer_is_of_the_callers_own_rows_and_of_all_of_them(world: World, seed: int) -> None:
    random = Random(seed)
    key = random.choice(world.keys)
    first, query = some_query(random, world)
    path = random.choice(("/v1/analytics", "/v2/logs", "/albus/v1/analytics"))
    answer = world.client.get(f"{path}/groups/{first}?{urlencode(query)}", headers=auth(key.raw))
    if answer.status_code == 400:
        return  # what is refused shows nothing; the unit tests say what is refused
    request = parse_groups(first, QueryParams(urlencode(query)))
    scope = visible(world, key, request.workspaces)
    if scope is None:
        assert answer.status_code == 403
        assert answer.json()["data"]["errorCode"] == "AB03"
        return
    assert answer.status_code == 200, answer.text
    body = json.loads(answer.text, parse_float=Decimal)
    lines, total = world.oracle.answer(request.within(scope))
    assert body["total"] == (total if request.include_total else None)
    assert len(body["data"]) == len(lines)
    for wanted, found in zip(lines, body["data"], strict=True):
        names = dict(zip(request.by, request.asked, strict=True))
        expected = {names.get(name, name): wire(value) for name, value in wanted.items()}
        expected = {name: "" if value is None and name in request.asked else value for name, value in expected.items()}
        assert expected.keys() | {"object"} == found.keys()
        assert all(is_same(value, found[name]) for name, value in expected.items()), (expected, found)


@given(seed=st.integers(0, 2**48))
@settings(max_examples=60, deadline=None)
def test_no_text_of_another_organisation_is_ever_in_an_answer(world: World, seed: int) -> None:
    random = Random(seed)
    key = random.choice(world.keys)
    others = [marker(one) for one in rows.ORGANISATIONS if one != key.scope.organisation_id]
    first, query = some_query(random, world)
    query |= {**WHOLE_TIME, "page_size": "100", "current_page": "0"}
    for name in ("trace_id", "api_key_ids", "configs", "virtual_keys", "prompt_slug"):
        if random.random() < 0.3:
            query[name] = random.choice([*others, random.choice(rows.HOSTILE).replace(",", "")])
    answer = world.client.get(f"/v1/analytics/groups/{quote(first)}?{urlencode(query)}", headers=auth(key.raw))
    if answer.status_code == 200:
        assert not [text for text in others if text in answer.text]


def test_each_key_counts_exactly_its_own_rows(world: World) -> None:
    for key in world.keys:
        answer = world.client.get(f"/v1/analytics/groups/workspace?{urlencode(WHOLE_TIME)}", headers=auth(key.raw))
        counted = {row["workspace"]: row["requests"] for row in answer.json()["data"]}
        own = [
            row["workspace_slug"] or ""
            for row in world.oracle.rows
            if row["organisation_id"] == key.scope.organisation_id
            and (key.scope.workspaces is None or row["workspace_slug"] in key.scope.workspaces)
        ]
        assert counted == {slug: own.count(slug) for slug in set(own)}
        assert counted


def test_a_workspace_key_cannot_name_its_way_out(world: World) -> None:
    for key in world.keys:
        if key.scope.workspaces is None:
            continue
        for named in (*SLUGS, *world.workspace_ids.values(), "absent"):
            query = urlencode({**WHOLE_TIME, "workspace_slug": named})
            answer = world.client.get(f"/v1/analytics/groups/workspace?{query}", headers=auth(key.raw))
            assert {row["workspace"] for row in answer.json()["data"]} == key.scope.workspaces


ANALYTICS = (
    *(f"graphs/{graph.path}" for graph in GRAPHS),
    *(f"summary/{summary.path}" for summary in SUMMARIES),
    *("groups/users", "groups/ai-models", "groups/workspaces", "groups/metadata/team"),
)


@given(seed=st.integers(0, 2**48))
@settings(max_examples=120, deadline=None)
def test_graphs_listings_and_summaries_are_of_the_callers_rows(world: World, seed: int) -> None:
    random = Random(seed)
    key, path = random.choice(world.keys), random.choice(ANALYTICS)
    _, asked = some_query(random, world)
    query = {
        name: value
        for name, value in asked.items()
        if name
        not in ("columns", "group_by", "order_by", "order_by_type", "include_total", "page_size", "current_page")
    }
    query |= {"granularity": random.choice(("", "day", "hour", "week")), "compare": random.choice(("", "previous"))}
    answer = world.client.get(f"/v1/analytics/{path}?{urlencode(query)}", headers=auth(key.raw))
    if answer.status_code == 400:
        return
    request = parse_groups("model", QueryParams(urlencode(query)))
    scope = visible(world, key, request.workspaces)
    if scope is None:
        assert answer.status_code == 403
        return
    assert answer.status_code == 200, answer.text
    others = [marker(one) for one in rows.ORGANISATIONS if one != key.scope.organisation_id]
    assert not [text for text in others if text in answer.text]
    body = json.loads(answer.text, parse_float=Decimal)
    own = replace(request.within(scope), by=(), order=(), limit=None, offset=0)
    counted = len(world.oracle.rows_of(own))
    graph = path.removeprefix("graphs/")
    if graph in ("requests", "feedbacks"):
        if graph == "feedbacks":
            given = replace(own, dataset=FEEDBACKS, measures=("feedbacks",), conditions=())
            counted = len(world.oracle.rows_of(replace(given, trace_conditions=own.conditions)))
        assert body["summary"]["total"] == counted == sum(point["total"] for point in body["data_points"])
    elif path.startswith("groups/"):
        assert sum(line["requests"] for line in body["data"]) == counted
    elif path.startswith("summary/"):
        assert body["summary"]["total_requests" if path.endswith("cache") else "requests"] == counted


@pytest.mark.parametrize("path", ANALYTICS)
def test_each_answer_is_that_of_the_keys_own_place(world: World, path: str) -> None:
    """A workspace key is answered as the organisation's key that names the workspace."""
    admin_of = {key.scope.organisation_id: key for key in world.keys if key.scope.workspaces is None}
    for key in world.keys:
        if key.scope.workspaces is None:
            continue
        (slug,) = key.scope.workspaces
        url = f"/v1/analytics/{path}?{urlencode(WHOLE_TIME)}"
        own = world.client.get(f"{url}&workspace_slug=absent", headers=auth(key.raw))
        named = world.client.get(f"{url}&workspace_slug={slug}", headers=auth(admin_of[key.scope.organisation_id].raw))
        assert own.status_code == named.status_code == 200
        assert own.json() == named.json()
        assert (
            not [text for text in map(marker, rows.ORGANISATIONS) if text in own.text]
            or marker(key.scope.organisation_id) in own.text
        )
