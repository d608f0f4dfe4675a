"""docs/catalog.md: what can be asked of the warehouse, and the SQL it becomes on each engine.

Run: `python -m warehouse.query.reference [FILE]`; a test fails when the file is not what this writes.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sqlglot import exp

from warehouse.catalog.model import Column, Dataset, Dimension, Filter, Measure, Ratio
from warehouse.catalog.registry import DATASETS
from warehouse.engines.base import Engine
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.query.compile import divided

TARGET = Path("docs/catalog.md")

_HEAD = """# The catalog

Everything that is stored and everything that can be asked, derived from `warehouse/catalog`. Written by
`python -m warehouse.query.reference`; do not edit it by hand.

Two rules hold for every question: it names a tenant scope (one organisation, and all or some of its workspaces), and
where a sum of money is asked, the number of requests without a price comes with it. Instants are UTC, to the
millisecond; a time range includes both ends. An empty text as a filter's value asks for the rows without one.
"""


def reference(engines: Sequence[Engine]) -> str:
    """The whole page as Markdown, with SQL of these engines."""
    contents = [f"- [`{name}`](#{name}) {of.description}" for name, of in DATASETS.items()]
    sections = ["\n".join(_section(of, engines)) for of in DATASETS.values()]
    return "\n".join([_HEAD, *contents, "", "\n\n".join(sections), ""])


def expression_of(dataset: Dataset, measure: Measure | Ratio) -> exp.Expr:
    """The neutral tree of a measure over rows; a ratio divides its parts over the same rows."""
    if isinstance(measure, Measure):
        return measure.expression.copy()
    parts = {f"m_{part.name}": part.expression for part in dataset.measures}
    return divided(measure).transform(
        lambda node: parts[node.name].copy() if isinstance(node, exp.Column) and node.name in parts else node
    )


def spelled(engine: Engine, expression: exp.Expr) -> str:
    """An expression in an engine's SQL."""
    return engine.lower(exp.select(expression, copy=False)).selects[0].sql(dialect=engine.dialect)


def _section(of: Dataset, engines: Sequence[Engine]) -> Iterator[str]:
    yield f"## {of.name}\n"
    yield f"{of.description}\n"
    yield f"Sorted by {', '.join(f'`{name}`' for name in of.sort_by)}; " + (
        f"a row is known by its `{of.id_column}`.\n" if of.id_column else "replaced day by day.\n"
    )
    yield from _table(("column", "kind", "unit", "filled by", "since", "meaning"), map(_column, of.columns))
    if of.dimensions:
        yield "\n### Group by\n"
        yield from _table(("group-by", "column", "key of the answer", "meaning"), map(_dimension, of.dimensions))
        yield "\nAlso `metadata.<key>`, any key of the request metadata."
    if of.measures:
        yield "\n### Measures\n"
        yield "A measure that is not offered is a part of a ratio; one that does not add up is never summed.\n"
        yield from _table(("measure", "kind", "unit", "offered", "adds up", "meaning"), _measures(of))
        yield from _sql(of, engines)
    if of.filters:
        yield "\n### Filters\n"
        yield from _table(("filter", "passes when", "value", "unit", "range", "meaning"), map(_filter, of.filters))


def _sql(of: Dataset, engines: Sequence[Engine]) -> Iterator[str]:
    yield "\n### SQL of the measures"
    for measure in (*of.measures, *of.ratios):
        yield f"\n**{measure.name}**\n"
        yield "```sql"
        for engine in engines:
            yield f"-- {engine.name}"
            yield spelled(engine, expression_of(of, measure))
        yield "```"


def _column(of: Column) -> tuple[str, ...]:
    return (f"`{of.name}`", of.kind, of.unit, of.origin, str(of.since), of.description)


def _dimension(of: Dimension) -> tuple[str, ...]:
    return (f"`{of.name}`", f"`{of.column}`", f"`{of.key}`", of.description)


def _measures(of: Dataset) -> Iterator[tuple[str, ...]]:
    for measure in of.measures:
        beside = f" Always with `{measure.beside}`." if measure.beside else ""
        offered, adds = ("no" if measure.internal else "yes"), measure.merge or "no"
        yield (f"`{measure.name}`", measure.kind, measure.unit, offered, adds, measure.description + beside)
    for ratio in of.ratios:
        meaning = f"{ratio.description} `{ratio.numerator}` ÷ `{ratio.denominator}`"
        scaled = f"{meaning} × {ratio.scale}." if ratio.scale != 1 else f"{meaning}."
        yield (f"`{ratio.name}`", ratio.kind, ratio.unit, "yes", "no", scaled)


def _filter(of: Filter) -> tuple[str, ...]:
    where = f" of {of.through} with the row's `trace_id`: the mean" if of.through else ""
    columns = ", ".join(f"`{name}`" for name in of.columns)
    return (f"`{of.name}`", f"{columns}{where}: {of.operator}", of.kind, of.unit, _range(of), of.description)


def _range(of: Filter) -> str:
    if of.minimum is None and of.maximum is None:
        return ""
    low = "" if of.minimum is None else f"{of.minimum:g}"
    return f"{low} to {of.maximum:g}" if of.maximum is not None else f"{low} or more"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for line in lines:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |"


def main(target: Path) -> None:
    """Writes the page. Neither engine is connected: only their spelling is needed."""
    lake, clickhouse = DuckDBEngine("lake"), ClickHouseEngine.connect("clickhouse://default@localhost/default")
    try:
        target.write_text(reference([lake, clickhouse]), encoding="utf-8")
    finally:
        lake.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
