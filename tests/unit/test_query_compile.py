"""The tree of a question: pure, the same each time, always within the scope, and quick to make."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest
from sqlglot import exp

from tests.factories import questions, rows
from warehouse.engines.base import Window, windows_of
from warehouse.query.compile import compile_grouped, measures_of
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery

SINCE, UNTIL = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, 11, 30, 0, 999, tzinfo=UTC)
QUESTION = GroupedQuery(TenantScope("org"), SINCE, UNTIL, ("model",))


def instants_in(tree: exp.Expr) -> list[str]:
    calls = [node for node in tree.find_all(exp.Anonymous) if node.this == "GL_INSTANT"]
    return sorted(call.expressions[0].name for call in calls)


def test_the_same_question_gives_the_same_tree() -> None:
    for number in range(60):
        query = questions.some_question(Random(number))
        assert compile_grouped(query).sql() == compile_grouped(questions.some_question(Random(number))).sql()


def test_every_table_of_a_tree_is_read_within_the_scope() -> None:
    for number in range(200):
        query = questions.some_question(Random(number))
        selects = [table.parent_select for table in compile_grouped(query).find_all(exp.Table)]
        assert selects
        for select in selects:
            assert isinstance(select, exp.Select)
            conditions = list(select.args["where"].this.flatten())
            alone = query.scope.workspaces == frozenset()
            assert any(
                is_scope(condition, query.scope) or (alone and condition == exp.false()) for condition in conditions
            )


def is_scope(condition: exp.Expr, scope: TenantScope) -> bool:
    parts = list(condition.unnest().flatten()) if isinstance(condition.unnest(), exp.And) else [condition.unnest()]
    own = [part for part in parts if isinstance(part, exp.EQ) and part.this.name == "organisation_id"]
    return len(own) == 1 and own[0].expression.name == scope.organisation_id


def test_values_become_literals_and_nothing_else() -> None:
    for hostile in rows.HOSTILE:
        plain, odd = (
            compile_grouped(
                replace(
                    QUESTION,
                    scope=TenantScope(text, frozenset({text})),
                    by=(f"metadata.{text}",),
                    conditions=(Condition("configs", (text,)), Condition("metadata", ((text, text),))),
                )
            )
            for text in ("plain", hostile)
        )
        shape = [type(node) for node in plain.walk()]
        assert [type(node) for node in odd.walk()] == shape
        assert {node.name for node in odd.find_all(exp.Literal) if node.is_string} >= {hostile}
        assert [node.name for node in odd.find_all(exp.Identifier)] == [
            node.name for node in plain.find_all(exp.Identifier)
        ]


def test_instants_are_cut_to_the_millisecond_in_utc() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    query = replace(QUESTION, since=datetime(2026, 2, 1, 3, 0, 0, 1999, india), until=UNTIL)
    assert instants_in(compile_grouped(query)) == ["2026-01-31 21:30:00.001", "2026-02-02 11:30:00.000"]


def test_feedback_is_read_whenever_it_was_given() -> None:
    query = replace(QUESTION, conditions=(Condition("weighted_feedback_min", 1),))
    windows = {table.name: windows_of(table) for table in compile_grouped(query).copy().find_all(exp.Table)}
    assert windows == {"generations": (Window(SINCE, UNTIL),), "feedbacks": (Window(),)}


def test_money_never_comes_without_the_number_of_unpriced_requests() -> None:
    assert measures_of(replace(QUESTION, measures=("cost",))) == ("cost", "unpriced_requests")
    assert measures_of(replace(QUESTION, measures=("unpriced_requests", "cost"))) == ("unpriced_requests", "cost")
    assert measures_of(QUESTION) == ("requests",)


@pytest.mark.parametrize(
    ("name", "value", "literal"),
    [
        ("total_units_min", 10.2, "11"),
        ("total_units_max", 10.8, "10"),
        ("cost_min", 0.1, "0.100000000000"),
        ("cost_min", 1e-13, "0.000000000001"),
        ("cost_max", 1e-13, "0.000000000000"),
        ("weighted_feedback_max", 0.1, "0.1"),
    ],
)
def test_a_bound_is_rounded_to_what_passes_the_same_rows(name: str, value: float, literal: str) -> None:
    tree = compile_grouped(replace(QUESTION, conditions=(Condition(name, value),)))
    assert literal in {node.name for node in tree.find_all(exp.Literal)}
