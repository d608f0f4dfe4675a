"""Brings a warehouse to the catalog's schema, one version after the other."""

from collections.abc import Mapping
from dataclasses import replace

from warehouse.catalog.model import Dataset
from warehouse.catalog.registry import DATASETS
from warehouse.engines.base import Engine
from warehouse.storage.migrations import Migration, migrations


def migrate(engine: Engine, datasets: Mapping[str, Dataset] = DATASETS) -> list[str]:
    """Adds every table and column the warehouse lacks; says what was done, nothing when it was up to date.

    The store itself says what it has, so a run that was killed is simply run again.
    """
    done: list[str] = []
    for step in migrations():
        changed = [dataset for dataset in datasets.values() if step.version in {of.since for of in dataset.columns}]
        wanted = [at_version(dataset, step.version) for dataset in changed]
        done += engine.create(dataset for dataset in wanted if dataset is not None)
    return done


def at_version(dataset: Dataset, version: int) -> Dataset | None:
    """The dataset as that schema version knew it (its measures aside); None before its first column."""
    columns = tuple(column for column in dataset.columns if column.since <= version)
    if not columns:
        return None
    names = {column.name for column in columns}
    return replace(
        dataset,
        columns=columns,
        revision_column=dataset.revision_column if dataset.revision_column in names else None,
        dimensions=tuple(each for each in dataset.dimensions if each.column in names),
        filters=tuple(each for each in dataset.filters if each.through or names.issuperset(each.columns)),
        measures=(),
        ratios=(),
    )


def missing_steps(steps: tuple[Migration, ...], datasets: Mapping[str, Dataset] = DATASETS) -> list[str]:
    """Where the catalog and the migrations disagree, in words; empty when every column has its step."""
    added = {(table, column.name): column.since for table, of in datasets.items() for column in of.columns}
    first = {table: min(column.since for column in of.columns) for table, of in datasets.items()}
    wrong: list[str] = []
    for (table, column), since in added.items():
        steps_of = [step for step in steps if step.version == since]
        named = any(
            table in step.tables if since == first[table] else (table, column) in step.columns for step in steps_of
        )
        if not named:
            wrong.append(f"{table}.{column} is there since version {since}, which no migration says")
    for step in steps:
        wrong += [
            f"migration {step.version} adds {table}.{column}, which the catalog dates otherwise"
            for table, column in step.columns
            if added.get((table, column)) != step.version
        ]
        wrong += [
            f"migration {step.version} makes the table {table}, which the catalog dates otherwise"
            for table in step.tables
            if first.get(table) != step.version
        ]
    return wrong
