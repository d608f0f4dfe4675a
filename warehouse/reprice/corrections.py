"""Corrections as a log that is written first: a row bears a correction, or the next re-pricing makes it bear it.

A correction holds all of the cost before and after. The row names the newest correction it bears (`repriced_at`), so
that setting the row is the one step by which a correction takes effect; one that no row bears yet has changed nothing.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl
import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.prices import CORRECTIONS, NEW
from warehouse.engines.base import EXPECTED, Batch, Engine, Window, scan
from warehouse.query.conditions import MILLISECOND, instant
from warehouse.reprice.differences import NAMES
from warehouse.storage.tables import arrow_schema

_DAY = timedelta(days=1)
_INSTANT = pl.Datetime("us")


def newest_correction(engine: Engine) -> datetime | None:
    """When the newest correction was made; None without one."""
    tree = exp.select(exp.alias_(call("GL_MAX", "corrected_at"), "at")).from_(CORRECTIONS.name)
    return engine.query(tree).to_pylist()[0]["at"]


def write(engine: Engine, changes: pl.DataFrame, reprice_id: str, corrected_at: datetime) -> int:
    """How many rows bear their correction; the corrections are durable before the first of them is touched."""
    rows = changes.rename({"id": "row_id", "repriced_at": "was_corrected_at"}).with_columns(
        pl.lit(reprice_id).alias("reprice_id"),
        pl.lit(corrected_at.replace(tzinfo=None), dtype=_INSTANT).alias("corrected_at"),
        pl.concat_str(pl.lit(reprice_id + "/"), "row_id").alias("id"),
    )
    schema = arrow_schema(CORRECTIONS)
    table = rows.select(schema.names).to_arrow(compat_level=pl.CompatLevel.newest()).cast(schema)
    batch = Batch(_hash(reprice_id, rows["row_id"]))
    engine.append(CORRECTIONS, table, batch)
    return engine.rewrite(GENERATIONS, _settings(rows), batch)


def settle(engine: Engine) -> int:
    """How many rows got the correction that a re-pricing was killed before giving them."""
    newest = newest_correction(engine)
    if newest is None:
        return 0
    settled = 0
    for day in _days(engine, newest):
        pending = _pending(engine, newest, day)
        if pending.height:
            batch = Batch(_hash(str(pending["reprice_id"][0]), pending["row_id"], "settled"))
            settled += engine.rewrite(GENERATIONS, _settings(pending), batch)
    return settled


def _settings(corrections: pl.DataFrame) -> pa.Table:
    """What the rows of some corrections are set to."""
    columns = [
        pl.col("row_id").alias("id"),
        pl.col("created_at"),
        pl.col("corrected_at").alias("repriced_at"),
        pl.col("was_corrected_at").alias(EXPECTED),
        *(pl.col(NEW + name).alias(name) for name in NAMES),
    ]
    table = corrections.select(columns).to_arrow(compat_level=pl.CompatLevel.newest())
    schema = arrow_schema(GENERATIONS)
    types = {EXPECTED: pa.timestamp("us")}
    fields = [pa.field(name, types.get(name) or schema.field(name).type) for name in table.schema.names]
    return table.cast(pa.schema(fields))


def _days(engine: Engine, corrected_at: datetime) -> Iterator[Window]:
    """The days of the requests that were corrected then."""
    day = exp.alias_(call("GL_DAY", "created_at"), "day")
    tree = exp.select(day).distinct().from_(CORRECTIONS.name).where(_corrected(column("corrected_at"), corrected_at))
    for row in engine.query(tree).sort_by("day").to_pylist():
        start = datetime(row["day"].year, row["day"].month, row["day"].day, tzinfo=UTC)
        yield Window(start, start + _DAY - MILLISECOND)


def _pending(engine: Engine, corrected_at: datetime, day: Window) -> pl.DataFrame:
    """The corrections of a day that their rows do not bear yet."""
    made, row = (partial(_of, table) for table in ("made", "request"))
    names = [field.name for field in arrow_schema(CORRECTIONS)]
    requests = scan(GENERATIONS.name, day).as_("request")
    requests.meta["windows"] = (day,)
    corrections = scan(CORRECTIONS.name, day).as_("made")
    corrections.meta["windows"] = (day,)
    same = exp.and_(row("id").eq(made("row_id")), row("created_at").eq(made("created_at")))
    unborne = exp.or_(
        exp.Is(this=row("repriced_at"), expression=exp.Null()),
        exp.LT(this=row("repriced_at"), expression=made("corrected_at")),
    )
    tree = exp.select(*(exp.alias_(made(name), name, quoted=True) for name in names)).from_(corrections)
    tree = tree.join(requests, on=same, join_type="inner")
    tree = tree.where(_corrected(made("corrected_at"), corrected_at), unborne)
    frame = pl.DataFrame(engine.query(tree, day))
    return frame.with_columns(
        pl.col("created_at", "corrected_at", "was_corrected_at")
        .cast(pl.Datetime("us", "UTC"))
        .dt.replace_time_zone(None)
    )


def _corrected(made_at: exp.Expr, corrected_at: datetime) -> exp.Expr:
    return exp.EQ(this=made_at, expression=instant(corrected_at))


def _of(table: str, name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=table)


def _hash(reprice_id: str, ids: pl.Series, *more: str) -> str:
    return hashlib.sha256("\n".join((reprice_id, *more, *ids.sort().to_list())).encode()).hexdigest()[:32]
