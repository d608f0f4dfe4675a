"""Text columns become typed columns; what cannot is named, row by row.

Every cast is done for whole columns at once. Only where a column came out with fewer values than it had does a
second, slower look decide which values were wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce

import numpy as np
import polars as pl
import pyarrow as pa

MAX_ID_LENGTH = 255
MAX_TEXT_BYTES = 65_536
MAX_COUNT = 10**12
"""More tokens, milliseconds or anything else than this is a fault of the sender."""

EARLIEST, LATEST = datetime(2000, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - naive means UTC in every frame
MAX_COST_CENTS = 999_999
"""What DECIMAL(18,12) holds."""

_BLANK = r"^\s*$"
_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")
_USUAL = "2026-05-01T00:00:00.455Z"
_FAST_INSTANT = "%Y-%m-%dT%H:%M:%S%.fZ"
_ANY_INSTANT = "%Y-%m-%dT%H:%M:%S%.f%#z"
_DATE_AND_CLOCK = r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?(?:[.,](\d{1,9})\d*)?)?"
_INSTANT_PARTS = rf"(?i)^\s*{_DATE_AND_CLOCK}\s*(Z|UTC|GMT|[+-]\d{{2}}:?\d{{2}})?\s*$"


class Problems:
    """The first reason of each row that cannot be stored."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._found: list[tuple[pl.Series, str, pl.Series | None]] = []

    def add(self, wrong: pl.Series, reason: str, detail: pl.Series | None = None) -> None:
        """`reason` for the rows where `wrong` is true; `detail` is the value that was found, as text."""
        if wrong.any():
            self._found.append((wrong.fill_null(value=False), reason, detail))

    def any(self) -> bool:
        return bool(self._found)

    def bad(self) -> pl.Series:
        """True for the rows that have a reason."""
        empty = pl.repeat(value=False, n=self._height, dtype=pl.Boolean, eager=True)
        return reduce(lambda a, b: a | b, (wrong for wrong, _, _ in self._found), empty)

    def each(self) -> list[tuple[int, str, str]]:
        """(row, reason, detail), by row; the first reason that was found wins."""
        reasons: dict[int, tuple[str, str]] = {}
        for wrong, reason, detail in self._found:
            for row in wrong.arg_true().to_list():
                if row not in reasons:
                    text = "" if detail is None else str(detail[row] if detail[row] is not None else "")
                    reasons[row] = (reason, text[:200])
        return [(row, *reasons[row]) for row in sorted(reasons)]


def blanks_to_null(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with blank text as NULL in those columns."""
    if frame.is_empty():
        return frame
    names = [name for name in names if frame[name].null_count() < frame.height]
    # Blank text sorts before everything else, so the least value of a column tells whether a closer look pays.
    least = frame.select(pl.col(names).min()).row(0)
    blank = [name for name, first in zip(names, least, strict=True) if first is not None and first < "!"]
    return frame.with_columns(
        pl.when(pl.col(n).str.contains(_BLANK)).then(None).otherwise(pl.col(n)).alias(n) for n in blank
    )


def integers(raw: pl.DataFrame, names: Sequence[str], rounded: frozenset[str], problems: Problems) -> list[pl.Series]:
    """Whole numbers from 0 up; floats without a fraction count, those of `rounded` columns are rounded."""
    typed = raw.select(pl.col(names).cast(pl.Int64, strict=False))
    numbers = [name for name in names if raw.schema[name] == pl.Float64()]
    # A cast of numbers cuts fractions off without a word.
    whole = raw.select(pl.col(name) == typed[name].cast(pl.Float64) for name in numbers)
    found: list[pl.Series] = []
    for name in names:
        series, given = typed[name], raw[name]
        is_cut = name in whole.columns and not whole[name].all()
        if is_cut or series.null_count() != given.null_count():
            given = given.cast(pl.String)
            exact = given.cast(pl.Int64, strict=False) if is_cut else series
            series = _second_look(exact, given, is_rounded=name in rounded, problems=problems)
        found.append(series)
    return found


def _second_look(series: pl.Series, given: pl.Series, *, is_rounded: bool, problems: Problems) -> pl.Series:
    name = given.name
    floats = given.str.strip_chars().cast(pl.Float64, strict=False)
    whole = floats.round(0)
    fits = whole.abs() < 2**53
    usable = fits if is_rounded else fits & (whole == floats)
    series = series.zip_with(series.is_not_null(), whole.set(~usable.fill_null(value=False), None).cast(pl.Int64))
    unread = given.is_not_null() & series.is_null()
    not_a_number = unread & floats.is_null()
    problems.add(not_a_number, f"{name} is not a number", given)
    problems.add(unread & ~not_a_number & ~fits.fill_null(value=False), f"{name} is absurdly large", given)
    problems.add(unread & ~not_a_number, f"{name} is not a whole number", given)
    return series


def within(series: pl.Series, least: int, most: int, problems: Problems) -> pl.Series:
    """The same series; values outside of the range become problems."""
    low, high = series.min(), series.max()
    if isinstance(low, int) and low < least:
        problems.add(
            series < least, f"{series.name} is negative" if least == 0 else f"{series.name} is too small", series
        )
    if isinstance(high, int) and high > most:
        problems.add(series > most, f"{series.name} is absurdly large", series)
    return series


def booleans(raw: pl.DataFrame, names: Sequence[str], problems: Problems) -> list[pl.Series]:
    """True and false in any of their spellings: true, 1, 1.0, yes."""
    mapping = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
    typed = raw.select(_as_flag(name, raw.schema[name], mapping) for name in names)
    for name in names:
        if typed[name].null_count() != raw[name].null_count():
            problems.add(raw[name].is_not_null() & typed[name].is_null(), f"{name} is not true or false", raw[name])
    return [typed[name] for name in names]


def _as_flag(name: str, kind: pl.DataType, mapping: Mapping[str, bool]) -> pl.Expr:
    if kind == pl.Boolean():
        return pl.col(name)
    if kind.is_numeric():
        return pl.when(pl.col(name) == 1).then(statement=True).when(pl.col(name) == 0).then(statement=False).alias(name)
    text = pl.col(name).str.to_lowercase() if kind == pl.String() else pl.col(name).cast(pl.String)
    return text.replace_strict(mapping, default=None, return_dtype=pl.Boolean)


def floats(given: pl.Series, least: float, most: float, problems: Problems) -> pl.Series:
    """Numbers within a range."""
    series = given.cast(pl.Float64, strict=False)
    problems.add(given.is_not_null() & series.is_null(), f"{given.name} is not a number", given)
    outside = (series < least) | (series > most) | series.is_nan()
    problems.add(outside, f"{given.name} is not from {least:g} to {most:g}", given)
    return series


def money_cents(given: pl.Series, cents_per_unit: int, problems: Problems) -> pl.Series:
    """Cents as DECIMAL(18,12), rounded half to even there. `cents_per_unit` is 100 for text in dollars."""
    wide = pl.Decimal(38, 14)
    exact = given.cast(wide, strict=False)
    if exact.null_count() != given.null_count():
        exact = given.str.strip_chars().cast(wide, strict=False)
        problems.add(given.is_not_null() & exact.is_null(), f"{given.name} is not an amount", given)
    if exact.null_count() == len(exact):
        return exact.cast(pl.Decimal(18, 12))
    cents = (exact * pl.Series([cents_per_unit], dtype=pl.Int64)).cast(pl.Decimal(38, 12), strict=False)
    problems.add(exact.is_not_null() & cents.is_null(), f"{given.name} is absurdly large", given)
    problems.add(cents < 0, f"{given.name} is negative", given)
    problems.add(cents > MAX_COST_CENTS, f"{given.name} is absurdly large", given)
    return cents.cast(pl.Decimal(18, 12), strict=False)


def instants(given: pl.Series, problems: Problems, *, required: bool) -> pl.Series:
    """UTC instants cut to the millisecond, naive.

    No zone means UTC; a bare number is seconds, ms, us or ns since 1970, told by its size.
    """
    series = _usual_instants(given)
    if series is None:
        series = given.str.to_datetime(_FAST_INSTANT, time_unit="us", strict=False)
    if series.null_count() != given.null_count():
        series = series.zip_with(series.is_not_null(), _any_instant(given))
        problems.add(given.is_not_null() & series.is_null(), f"{given.name} is not a time", given)
    if required:
        problems.add(given.is_null(), f"{given.name} is missing")
    problems.add((series < EARLIEST) | (series >= LATEST), f"{given.name} is out of range", given)
    return series.dt.cast_time_unit("ms").dt.cast_time_unit("us")


def _usual_instants(given: pl.Series) -> pl.Series | None:
    """The instants where all are written as gateways do, `2026-05-01T00:00:00.455Z`; None where one is not."""
    texts = given.to_arrow(compat_level=pl.CompatLevel.oldest())
    if not len(texts) or texts.null_count or texts.offset:
        return None
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[: len(texts) + 1]
    if ends[0] or (np.diff(ends) != len(_USUAL)).any():
        return None
    if (np.frombuffer(data, np.uint8)[len(_USUAL) - 1 : ends[-1] : len(_USUAL)] != ord("Z")).any():
        return None
    try:
        instants = texts.cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid:
        return None
    return pl.Series(given.name, instants.view(pa.timestamp("us")))


def _any_instant(given: pl.Series) -> pl.Series:
    text = pl.col("given")
    part = [text.str.extract(_INSTANT_PARTS, group) for group in range(1, 6)]
    zone = part[4].str.to_uppercase().replace({"UTC": "Z", "GMT": "Z"}).fill_null("Z")
    canonical = pl.concat_str(
        part[0],
        pl.lit("T"),
        part[1].fill_null("00:00"),
        part[2].fill_null(":00"),
        pl.lit("."),
        part[3].fill_null("0"),
        zone,
    )
    number = text.str.strip_chars().cast(pl.Float64, strict=False)
    size = number.abs()
    scale = pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).when(size < 1e17).then(1.0).otherwise(1e-3)
    epoch = (number * scale).round(0).cast(pl.Int64, strict=False)
    frame = pl.DataFrame({"given": given}).select(
        iso=canonical.str.to_datetime(_ANY_INSTANT, time_unit="us", strict=False).dt.replace_time_zone(None),
        epoch=pl.when(size < 1e20).then(epoch).cast(pl.Datetime("us")),
    )
    return frame.select(pl.coalesce("iso", "epoch")).to_series().alias(given.name)


def text_lengths(frame: pl.DataFrame, names: Iterable[str], problems: Problems) -> None:
    """A problem for each text that is longer than a column takes."""
    given = (name for name in names if frame[name].null_count() < frame.height)
    limits = {name: MAX_ID_LENGTH if name == "id" else MAX_TEXT_BYTES for name in given}
    if not limits:
        return
    longest = frame.select(pl.col(list(limits)).str.len_bytes().max()).row(0)
    for (name, limit), size in zip(limits.items(), longest, strict=True):
        if size is not None and size > limit:
            problems.add(frame[name].str.len_bytes() > limit, f"{name} is longer than {limit} bytes", frame[name])
