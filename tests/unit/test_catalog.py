"""The catalog checks itself, finds names, and its page is current."""

from collections.abc import Callable
from pathlib import Path

import pytest

from warehouse.catalog.functions import NEUTRAL, call, column, expression_named, named, neutral_calls
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Dimension, Filter, Kind, Measure, Operator, Ratio
from warehouse.catalog.registry import DATASETS, dataset, dimension, filter_, measure, public_measures
from warehouse.catalog.rollups import ROLLUP_OF
from warehouse.engines.clickhouse_spelling import SPELLINGS as CLICKHOUSE
from warehouse.engines.duckdb_spelling import SPELLINGS as DUCKDB
from warehouse.errors import UnknownName
from warehouse.query import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "catalog.md"
COUNT = Measure("things", Kind.INTEGER, call("GL_COUNT"), "Things.", additive=True)
ID = Column("id", Kind.TEXT, "Id.")
AT = Column("created_at", Kind.INSTANT, "When.")


def a_dataset(**more: object) -> Dataset:
    parts = {"name": "things", "description": "Things.", "columns": (ID, AT), "sort_by": ("id",), "measures": (COUNT,)}
    return Dataset(**(parts | more))  # type: ignore[arg-type]


def test_the_page_is_what_the_catalog_says(tmp_path: Path) -> None:
    written = tmp_path / "catalog.md"
    reference.main(written)
    assert PAGE.read_text(encoding="utf-8") == written.read_text(encoding="utf-8"), (
        "run: python -m warehouse.query.reference"
    )


def test_the_page_names_everything_that_can_be_asked() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for of in DATASETS.values():
        for named_ in (*of.columns, *of.dimensions, *of.measures, *of.ratios, *of.filters):
            assert f"`{named_.name}`" in page
            assert named_.description in page


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Column("Upper", Kind.TEXT, "Text."), "column name 'Upper'"),
        (lambda: Column("x", Kind.TEXT, "no full stop"), "ends with a full stop"),
        (lambda: Dimension("two words", "id", "Two."), "cannot stand in a URL"),
        (lambda: Measure("m", Kind.INTEGER, call("GL_COUNT"), "M.", merge="median"), "merge is sum, min, max"),
        (lambda: Filter("a&b", Operator.ONE_OF, ("id",), Kind.TEXT, "F."), "cannot stand in a URL"),
        (lambda: a_dataset(columns=(ID, AT, ID)), "column is named twice"),
        (lambda: a_dataset(sort_by=("gone",)), "the layout names the column gone"),
        (lambda: a_dataset(dimensions=(Dimension("by_gone", "gone", "Gone."),)), "dimension by_gone names the column"),
        (
            lambda: a_dataset(measures=(COUNT, Measure("m", Kind.INTEGER, call("GL_SUM_INT", "gone"), "M."))),
            "measure m names the column gone",
        ),
        (
            lambda: a_dataset(measures=(Measure("m", Kind.INTEGER, call("GL_COUNT"), "M.", beside="gone"),)),
            "measure m stands beside gone",
        ),
        (lambda: a_dataset(ratios=(Ratio("r", "things", "gone", "R."),)), "ratio r needs the sum or count gone"),
        (
            lambda: a_dataset(filters=(Filter("f", Operator.ONE_OF, ("gone",), Kind.TEXT, "F."),)),
            "filter f names the column gone",
        ),
        (lambda: a_dataset(ratios=(Ratio("things", "things", "things", "R."),)), "measure is named twice"),
    ],
)
def test_what_is_wrong_fails_when_it_is_made(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    ("find", "allowed"),
    [
        (lambda: dataset("generation"), "generations"),
        (lambda: dimension(GENERATIONS, "modell"), "model"),
        (lambda: measure(GENERATIONS, "costs"), "cost"),
        (lambda: measure(GENERATIONS, "latency_sum"), "avg_latency"),
        (lambda: filter_(GENERATIONS, "metadat"), "metadata"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(find: Callable[[], object], allowed: str) -> None:
    with pytest.raises(UnknownName) as raised:
        find()
    assert allowed in raised.value.allowed
    assert f"Did you mean {allowed}" in str(raised.value) or allowed in str(raised.value)


def test_the_contracts_names_are_there() -> None:
    group_bys = "ai_service model status_code api_key config workspace provider prompt"
    assert {d.name for d in GENERATIONS.dimensions} == {*group_bys.split(" "), "unpriced_reason", "user", "retries"}
    columns = (
        "requests cost total_tokens avg_tokens avg_input_tokens avg_output_tokens avg_latency p95_latency p99_latency "
        "success_rate error_count cache_hit_rate last_seen first_seen"
    )
    ours = (
        "unpriced_requests priced_requests unpriced_tokens cost_low cost_high unbounded_requests avg_cost error_rate "
        "p50_latency p90_latency users user_requests requests_per_user error_codes only_provider "
        "cache_hits simple_hits semantic_hits simple_cache_savings semantic_cache_savings unpriced_hits "
        "avg_hit_latency avg_miss_latency rescued_by_retry rescued_by_fallback feedbacks "
        "requests_with_feedback avg_weighted_feedback"
    )
    assert {*columns.split(" "), *ours.split(" ")} == {m.name for m in public_measures(GENERATIONS)}


def test_each_engine_spells_every_neutral_function() -> None:
    assert NEUTRAL.keys() <= DUCKDB.keys()
    assert NEUTRAL.keys() <= CLICKHOUSE.keys()


def test_an_unknown_neutral_function_is_refused() -> None:
    with pytest.raises(KeyError, match="GL_MEDIAN"):
        call("GL_MEDIAN", "id")
    assert [str(node.this) for node in neutral_calls(call("GL_RATIO", call("GL_COUNT"), "id"))] == [
        "GL_RATIO",
        "GL_COUNT",
    ]


def test_a_name_stands_for_one_expression() -> None:
    first = call("GL_SUM_INT", "size")
    named("unit_test.size", first)
    named("unit_test.size", call("GL_SUM_INT", column("size")))
    assert expression_named("unit_test.size") is first
    with pytest.raises(ValueError, match="another expression"):
        named("unit_test.size", call("GL_COUNT"))


def test_a_rollup_keeps_every_part_that_adds_up_with_room_for_money() -> None:
    for rollup in ROLLUP_OF.values():
        assert rollup.keys[:2] == ("organisation_id", "workspace_slug")
        assert rollup.dataset.column("cost").kind is Kind.MONEY_SUM
        assert all(rollup.dataset.has_column(part.name) for part in GENERATIONS.measures if part.merge)
