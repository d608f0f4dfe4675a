"""The steps of the schema and the catalog say the same."""

from dataclasses import replace

import pytest

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Kind
from warehouse.catalog.registry import DATASETS
from warehouse.storage.migrate import at_version, missing_steps
from warehouse.storage.migrations import Migration, migrations


def grown(*columns: Column) -> dict[str, object]:
    return {**DATASETS, "generations": replace(GENERATIONS, columns=(*GENERATIONS.columns, *columns))}


def test_every_column_has_the_step_that_its_version_says() -> None:
    assert missing_steps(migrations()) == []


def test_steps_count_up_from_one() -> None:
    steps = migrations()
    assert [step.version for step in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= 2
    assert all(step.reason.endswith(".") for step in steps)


def test_a_column_without_a_step_is_named() -> None:
    next_version = len(migrations()) + 1
    newer = grown(Column("carbon_grams", Kind.FLOAT, "Carbon.", since=next_version))
    assert missing_steps(migrations(), newer) == [
        f"generations.carbon_grams is there since version {next_version}, which no migration says"
    ]
    forgotten = grown(Column("carbon_grams", Kind.FLOAT, "Carbon.", since=2))
    assert missing_steps(migrations(), forgotten) == [
        "generations.carbon_grams is there since version 2, which no migration says"
    ]


def test_a_step_for_a_column_that_is_dated_otherwise_is_named() -> None:
    odd = Migration(99, "Odd.", tables=("nothing",), columns=(("generations", "cost"),))
    assert missing_steps((*migrations(), odd)) == [
        "migration 99 adds generations.cost, which the catalog dates otherwise",
        "migration 99 makes the table nothing, which the catalog dates otherwise",
    ]


def test_a_dataset_at_a_version_has_the_columns_of_its_time() -> None:
    first = at_version(GENERATIONS, 1)
    assert first is not None
    later = {column.name for column in GENERATIONS.columns} - {column.name for column in first.columns}
    assert later == {column.name for column in GENERATIONS.columns if column.since > 1}
    assert {"cache_saved_cost", "units.name"} <= later
    assert first.dimensions == GENERATIONS.dimensions
    newest = at_version(GENERATIONS, GENERATIONS.schema_version)
    assert newest is not None
    assert newest.columns == GENERATIONS.columns
    assert at_version(GENERATIONS, 0) is None


@pytest.mark.parametrize("table", DATASETS)
def test_every_table_comes_with_a_step(table: str) -> None:
    assert any(table in step.tables for step in migrations())
