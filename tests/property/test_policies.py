"""Which rows a policy is about, and what is used of each counter: pure, as SQL on both engines, and out of one cube."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from tests.factories import rows
from tests.factories.engines import OPENERS
from tests.factories.parts import needed
from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine, Window, scan
from warehouse.query import conditions
from warehouse.query.policy_rows import counter_keys, matches
from warehouse.query.policy_terms import Facts, Selection, Term
from warehouse.query.policy_usage import Counting, Used, read
from warehouse.query.scope import TenantScope

ORGANISATION = rows.ORGANISATIONS[0]
WORKSPACE_IDS = {slug: f"id-of-{slug}" for slug in rows.WORKSPACES[:4] if slug}
"""The last one is known to nobody."""
TABLE = rows.generations(31, 700, prefix="p")
LAST = rows.FIRST_DAY + timedelta(days=rows.DAYS)
EXAMPLES = {"lake": 40, "clickhouse": 8}


def values_of(*values: str | None) -> list[str]:
    return [value for value in values if value and "*" not in value]


VALUES: Mapping[str, list[str]] = {
    "api_key": values_of(*rows.API_KEYS),
    "workspace_id": [*WORKSPACE_IDS, *WORKSPACE_IDS.values(), *values_of(*rows.WORKSPACES)],
    "organisation_id": list(rows.ORGANISATIONS),
    "virtual_key": values_of(*rows.VIRTUAL_KEYS),
    "provider": values_of(*rows.PROVIDERS),
    "config": values_of(*rows.CONFIGS),
    "prompt": values_of(*rows.PROMPTS),
    "model": [
        *values_of(*rows.MODELS, *rows.HOSTILE),
        *(f"@{owner}/{model}" for owner in ("openai", "openai-main") for model in values_of(*rows.MODELS)),
        *("@openai/*", "@openai-eu/*", "gpt-4o*", "@*", "@/*", "@openai/gpt*"),
    ],
    **{f"metadata.{key}": values_of(*rows.METADATA_VALUES) for key in rows.METADATA_KEYS},
}
KEYS = st.sampled_from(sorted(VALUES))


def wanted(key: str) -> st.SearchStrategy[tuple[str, ...]]:
    literal = st.sampled_from(VALUES[key])
    beginning = literal.map(lambda value: value.rstrip("*")[:2] + "*")
    one = st.one_of(literal, literal, beginning, st.just("*"))
    return st.lists(one, min_size=1, max_size=3).map(tuple)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    key = draw(KEYS)
    return Term(key, draw(wanted(key)), draw(st.one_of(st.just(()), wanted(key))))


SELECTIONS = st.builds(
    Selection,
    st.lists(terms(), min_size=1, max_size=3).map(tuple),
    st.lists(KEYS, min_size=1, max_size=3, unique=True).map(tuple),
)
STARTS = st.one_of(
    st.integers(0, rows.DAYS).map(lambda day: rows.FIRST_DAY + timedelta(days=day)),
    st.integers(0, rows.DAYS * 86_400_000).map(lambda ms: rows.FIRST_DAY + timedelta(milliseconds=ms)),
    st.sampled_from([moment.replace(tzinfo=UTC) for moment in TABLE["created_at"].to_pylist()[:40]]),
)


@st.composite
def countings(draw: st.DrawFn, name: str = "one") -> Counting:
    return Counting(
        name,
        draw(SELECTIONS),
        draw(st.sampled_from([None, *rows.WORKSPACES[:3]])),
        draw(st.sampled_from(["cost", "tokens", "requests"])),
        draw(STARTS),
        draw(st.booleans()),
    )


def facts_of(row: Mapping[str, Any]) -> Facts:
    slug = row["workspace_slug"] or ""
    return Facts(
        organisation_id=row["organisation_id"],
        workspace_id=WORKSPACE_IDS.get(slug, ""),
        workspace_slug=slug,
        api_key=row["api_key_id"] or "",
        virtual_key=row["virtual_key"] or "",
        provider=row["ai_org"] or "",
        config=row["config"] or "",
        prompt=row["prompt_slug"] or "",
        model=row["ai_model"] or "",
        metadata=dict(zip(row["metadata.key"] or (), row["metadata.value"] or (), strict=True)),
    )


def rows_of(table: pa.Table) -> list[tuple[Mapping[str, Any], Facts]]:
    return [(row, facts_of(row)) for row in table.to_pylist() if row["organisation_id"] == ORGANISATION]


ROWS = rows_of(TABLE)


def used(row: Mapping[str, Any], counting: Counting) -> Decimal:
    if counting.measure == "requests":
        return Decimal(1)
    if counting.measure == "tokens":
        return Decimal(row["total_units"] or 0)
    cost = row["cost"]
    if cost is None:
        cost = row["cost_high"] if counting.counts_upper_bound else None
    return (cost or Decimal(0)) / 100


def expected(
    counting: Counting, until: datetime, present: list[tuple[Mapping[str, Any], Facts]] = ROWS
) -> dict[tuple[str, ...], Used]:
    used_by: dict[tuple[str, ...], dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    amounts: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    today = until.date()
    for row, facts in present:
        at = row["created_at"].replace(tzinfo=UTC)
        in_place = counting.workspace_slug in {None, row["workspace_slug"]}
        if at < until and in_place and counting.selection.matches(facts):
            values = counting.selection.counter(facts)
            if at >= counting.starts_at:
                amounts[values] += used(row, counting)
            if at.date() >= today - timedelta(days=7):
                used_by[values][at.date()] += used(row, counting)
    return {
        values: Used(amounts.get(values), per_day(used_by[values], today)) for values in used_by.keys() | amounts.keys()
    }


def per_day(used_on: Mapping[date, Decimal], today: date) -> Decimal | None:
    before = {day: used for day, used in used_on.items() if day < today}
    if not before:
        return used_on.get(today) or None
    return (sum(before.values(), Decimal(0)) / (today - min(before)).days).quantize(Decimal("0.000001")) or None


@pytest.fixture(params=["lake", "clickhouse"], scope="module")
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with needed(OPENERS[request.param](tmp_path_factory.mktemp(request.param))) as opened:
        opened.append(GENERATIONS, TABLE, Batch("all"))
        yield opened


@pytest.mark.parametrize(("most", "part"), [(1, 1), (30, 4)])
def test_one_scan_counts_for_all_policies_as_plain_python_does(engine: Engine, most: int, part: int) -> None:
    @settings(
        max_examples=EXAMPLES[engine_name(engine)] // part, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.integers(1, most), st.data(), STARTS)
    def holds(count: int, data: st.DataObject, until: datetime) -> None:
        policies = [data.draw(countings(f"policy-{index}")) for index in range(count)]
        found = read(engine, ORGANISATION, policies, until, WORKSPACE_IDS).count(policies)
        for policy, one in zip(policies, found, strict=True):
            assert one.counters() == expected(policy, until)

    holds()


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_many_policies_that_differ_in_one_condition_and_their_starts(engine: Engine, data: st.DataObject) -> None:
    """They are counted together, out of cells between more starts than are told apart by comparing."""
    key = data.draw(st.sampled_from(["api_key", "virtual_key", "metadata._user", "metadata.team"]))
    base = data.draw(countings())
    kept = tuple(term for term in base.selection.terms if term.key != key)[:1]
    random = data.draw(st.randoms(use_true_random=False))
    policies: list[Counting] = []
    for number in range(80):
        values = tuple(random.choices(VALUES[key], k=2))
        terms = (*kept, Term(key, values))
        start = rows.FIRST_DAY + timedelta(milliseconds=random.randrange(rows.DAYS * 86_400_000))
        slug = random.choice(rows.WORKSPACES[:3]) if base.workspace_slug else None
        selection = replace(base.selection, terms=terms)
        policies.append(replace(base, id=str(number), selection=selection, starts_at=start, workspace_slug=slug))
    found = read(engine, ORGANISATION, policies, LAST, WORKSPACE_IDS).count(policies)
    for policy, one in zip(policies, found, strict=True):
        assert one.counters() == expected(policy, LAST)


def test_what_is_kept_of_days_changes_no_number(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rows come late and out of order, the clock goes on and back, policies come, change and go."""
    parts = [TABLE.take(list(range(start, TABLE.num_rows, 4))) for start in range(4)]

    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        with OPENERS["lake"](tmp_path_factory.mktemp("kept")) as engine:
            known = [data.draw(countings(f"policy-{index}")) for index in range(3)]
            present: list[tuple[Mapping[str, Any], Facts]] = []
            for number, part in enumerate(data.draw(st.permutations(parts))):
                engine.append(GENERATIONS, part, Batch(f"part-{number}"))
                present += rows_of(part)
                for _ in range(3):
                    until = data.draw(STARTS)
                    changed = data.draw(st.integers(0, 2))
                    known[changed] = replace(known[changed], starts_at=data.draw(STARTS))
                    found = read(engine, ORGANISATION, known, until, WORKSPACE_IDS)
                    again = read(engine, ORGANISATION, known, until, WORKSPACE_IDS)
                    assert found.version == again.version or has_rows_later_that_day(present, until)
                    for policy, one in zip(known, again.count(known), strict=True):
                        assert one.counters() == expected(policy, until, present)

    holds()


def has_rows_later_that_day(present: list[tuple[Mapping[str, Any], Facts]], until: datetime) -> bool:
    times = (row["created_at"].replace(tzinfo=UTC) for row, _ in present)
    return any(at >= until and at.date() == until.date() for at in times)


def engine_name(engine: Engine) -> str:
    return "lake" if engine.dialect == "duckdb" else "clickhouse"


def test_conditions_as_sql_hold_for_the_same_rows(engine: Engine) -> None:
    @settings(max_examples=EXAMPLES[engine_name(engine)], deadline=None, suppress_health_check=list(HealthCheck))
    @given(SELECTIONS)
    def holds(selection: Selection) -> None:
        keys = counter_keys(selection, WORKSPACE_IDS)
        named = [exp.alias_(key, f"k{index}") for index, key in enumerate(keys)]
        tree = exp.select(*named, exp.alias_(column("id"), "id")).from_(scan(GENERATIONS.name))
        tree = tree.where(conditions.within_scope(TenantScope(ORGANISATION)), matches(selection, WORKSPACE_IDS))
        answer = engine.query(tree, Window(rows.FIRST_DAY, LAST)).to_pylist()
        found = {line["id"]: tuple(line[f"k{index}"] for index in range(len(keys))) for line in answer}
        assert found == {row["id"]: selection.counter(facts) for row, facts in ROWS if selection.matches(facts)}

    holds()


def test_a_condition_is_never_unknown(engine: Engine) -> None:
    selection = Selection((Term("metadata.team", ("*",), ("search",)), Term("model", ("@openai/*",), ("gpt*",))), ())
    unknown = exp.Is(this=exp.paren(matches(selection, {})), expression=exp.Null())
    tree = exp.select(exp.alias_(call("GL_COUNT_IF", unknown), "n")).from_(scan(GENERATIONS.name))
    assert engine.query(tree).to_pylist() == [{"n": 0}]
