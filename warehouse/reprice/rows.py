"""The stored requests that a re-pricing looks at, in pieces that fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl
from sqlglot import exp

from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import BUCKETS, COST, GENERATIONS, SERVED
from warehouse.engines.base import Engine, Window, scan
from warehouse.ingest.units import usage_known
from warehouse.pricing.names import model_keys, provider_slug
from warehouse.query.conditions import MILLISECOND, is_one_of, within_windows

CHUNK_ROWS = 100_000
"""Rows read at once, but for a minute that has more."""
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_PAIR = ("ai_org", "ai_model")
_OTHERS = (
    "organisation_id",
    "created_at",
    "workspace_slug",
    "id",
    "ai_org",
    "ai_model",
    "virtual_key",
    "is_success",
    "cache_status",
    "req_units",
    "res_units",
    "repriced_at",
)
COLUMNS: tuple[str, ...] = (*_OTHERS, *(of.name for of in (*BUCKETS, *SERVED, *COST)))
"""What a price depends on, what it came to, and whose the request is."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Requests between two instants (both included), of one provider or model when named."""

    since: datetime
    until: datetime
    provider: str | None = None
    model: str | None = None

    @property
    def window(self) -> Window:
        return Window(self.since, self.until)

    def takes_provider(self, name: str | None) -> bool:
        """Whether a request's provider, by any of its names, is the one that is asked for."""
        return self.provider is None or provider_slug(name) == provider_slug(self.provider)

    def takes_model(self, provider: str | None, name: str | None) -> bool:
        """Whether a request's model is the one that is asked for, or wraps its name."""
        if self.model is None:
            return True
        wanted = self.model.casefold()
        return any(key.casefold() == wanted for key in model_keys(provider_slug(provider), name or ""))


def days_of(engine: Engine, selection: Selection) -> list[date]:
    """The UTC days that hold rows, in order."""
    first, last = selection.since.astimezone(UTC).date(), selection.until.astimezone(UTC).date()
    return sorted(day for day in engine.day_fingerprints(GENERATIONS, selection.window) if first <= day <= last)


def frames_of(engine: Engine, selection: Selection, day: date) -> Iterator[pl.DataFrame]:
    """The rows of a day that are selected, in pieces, ready to be priced.

    Shape: `COLUMNS` and `usage_known`; instants without a zone, as rows are stored.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    whole = Window(max(selection.since, start), min(selection.until, start + _DAY - MILLISECOND))
    names = _names(engine, selection, whole)
    if names is None or names.height:
        for window in _windows(engine, whole):
            frame = _read(engine, window, names)
            if frame.height:
                yield frame


def _names(engine: Engine, selection: Selection, window: Window) -> pl.DataFrame | None:
    """The pairs of provider and model that requests use for what is selected; None when everything is."""
    if selection.provider is None and selection.model is None:
        return None
    tree = exp.select(column("ai_org"), column("ai_model")).distinct().from_(scan(GENERATIONS.name, window))
    found = engine.query(tree.where(within_windows("created_at", [window])), window).to_pylist()
    pairs = [
        (row["ai_org"], row["ai_model"])
        for row in found
        if selection.takes_provider(row["ai_org"]) and selection.takes_model(row["ai_org"], row["ai_model"])
    ]
    return pl.DataFrame(pairs, schema=dict.fromkeys(_PAIR, pl.String()), orient="row")


def _windows(engine: Engine, whole: Window) -> Iterator[Window]:
    """Stretches of whole minutes with at most `CHUNK_ROWS` rows each."""
    minute = call("GL_BUCKET", "created_at", int(_MINUTE.total_seconds()))
    tree = exp.select(exp.alias_(minute, "minute"), exp.alias_(call("GL_COUNT"), "rows"))
    tree = tree.from_(scan(GENERATIONS.name, whole)).where(within_windows("created_at", [whole]))
    counts = engine.query(tree.group_by(exp.column("minute")), whole).sort_by("minute").to_pylist()
    start, held = whole.since, 0
    for row in counts:
        if held and held + row["rows"] > CHUNK_ROWS:
            yield Window(start, row["minute"] - MILLISECOND)
            start, held = row["minute"], 0
        held += row["rows"]
    if held:
        yield Window(start, whole.until)


def _read(engine: Engine, window: Window, names: pl.DataFrame | None) -> pl.DataFrame:
    tree = exp.select(*(column(name) for name in COLUMNS)).from_(scan(GENERATIONS.name, window))
    tree = tree.where(within_windows("created_at", [window]))
    if names is not None:
        tree = tree.where(*(is_one_of(name, names[name].fill_null("").unique().sort()) for name in _PAIR))
    frame = pl.DataFrame(engine.query(tree, window))
    if names is not None:
        frame = frame.join(names, on=_PAIR, how="semi", nulls_equal=True, maintain_order="left")
    return frame.with_columns(
        pl.col("created_at", "repriced_at").dt.replace_time_zone(None), usage_known().alias("usage_known")
    )
