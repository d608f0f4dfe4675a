"""Files whose every row a question wants by its time: of those, DuckDB need not read the time to see it."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from sqlglot import exp

from warehouse.engines.base import Window, predicate_of_windows
from warehouse.storage.lake_names import parse

_LAST = timedelta(days=1, milliseconds=-1)
"""From the start of a day to the last instant that rows can have on it."""


def whole_days(files: Sequence[str], windows: Sequence[Window]) -> tuple[list[str], list[str]]:
    """The files of days that lie within one of the windows from end to end, and the other files."""
    whole: list[str] = []
    others: list[str] = []
    for file in files:
        start = datetime.combine(parse(file).day, time(), UTC)
        covered = any(
            (window.since is None or window.since <= start) and (window.until is None or window.until >= start + _LAST)
            for window in windows
        )
        (whole if covered else others).append(file)
    return whole, others


def time_predicate(table: exp.Table, time_column: str) -> exp.Expr | None:
    """Where the SELECT over this table asks for its windows; None where it also reads the time for something else."""
    select = table.parent_select
    if select is None or not isinstance(table.parent, exp.From):
        return None
    where = select.args.get("where")
    found = predicate_of_windows(where) if where else None
    if found is None:
        return None
    within = {id(node) for node in found.walk()}
    read_for_more = any(_reads(node, time_column) for node in select.walk() if id(node) not in within)
    return None if read_for_more else found


def _reads(node: exp.Expr, name: str) -> bool:
    if isinstance(node, exp.Column):
        return node.name == name
    # A named expression of the catalog is text by now.
    return isinstance(node, exp.Var) and exp.to_identifier(name, quoted=True).sql(dialect="duckdb") in node.name


def apart(whole: exp.Table, others: exp.Table, predicate: exp.Expr, alias: str) -> exp.Subquery:
    """The rows of both tables, of the second those for which the predicate holds."""
    every = exp.select(exp.Star(), copy=False).from_(whole, copy=False)
    some = exp.select(exp.Star(), copy=False).from_(others, copy=False).where(predicate, copy=False)
    both = exp.union(every, some, distinct=False, copy=False)
    return exp.Subquery(this=both, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
