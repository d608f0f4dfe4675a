"""What was used beside tokens: names and quantities of whole frames, made canonical or refused row by row."""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

import polars as pl

from warehouse.ingest.fields import UNIT_NAME, UNIT_QUANTITY
from warehouse.ingest.values import MAX_COUNT, Problems
from warehouse.pricing.units import QUANTITY_DIGITS, UNIT_NAME_PATTERN

_EMPTY = pl.lit([], dtype=pl.List(pl.String()))
_STEP = Decimal(1).scaleb(-QUANTITY_DIGITS)
_ROW = "row"


def settle_quantities(frame: pl.DataFrame, problems: Problems) -> pl.DataFrame:
    """The frame with lists that are never NULL, always parallel, and without what was used zero times.

    A quantity keeps six decimals: a microsecond of audio, a millionth of a search.
    """
    given = frame.select(pl.col(UNIT_NAME, UNIT_QUANTITY).fill_null(_EMPTY))
    sizes = given.select(names=pl.col(UNIT_NAME).list.len(), quantities=pl.col(UNIT_QUANTITY).list.len())
    if not sizes.select(pl.any_horizontal(pl.all() > 0).any()).item():
        return frame.with_columns(given)
    uneven = sizes["names"] != sizes["quantities"]
    problems.add(uneven, "units.name and units.quantity differ in number")
    flat = (
        given.with_row_index(_ROW)
        .filter(~uneven & (sizes["names"] > 0))
        .explode(UNIT_NAME, UNIT_QUANTITY, empty_as_null=False)
    )
    flat = flat.with_columns(_judged(flat[UNIT_QUANTITY])).with_columns(
        ~pl.col(UNIT_NAME).fill_null("").str.contains(f"^(?:{UNIT_NAME_PATTERN})$").alias("nameless")
    )
    for is_wrong, reason, detail in (
        (flat["nameless"], "units.name is not lower case words joined by _", UNIT_NAME),
        (flat["wrong"] == "number", "units.quantity is not a number", UNIT_QUANTITY),
        (flat["wrong"] == "negative", "units.quantity is negative", UNIT_QUANTITY),
        (flat["wrong"] == "large", "units.quantity is absurdly large", UNIT_QUANTITY),
    ):
        _tell(problems, frame.height, flat.filter(is_wrong), reason, detail)
    kept = flat.filter((pl.col("text") != "0").fill_null(value=False))
    lists = kept.group_by(_ROW, maintain_order=True).agg(UNIT_NAME, pl.col("text").alias(UNIT_QUANTITY))
    rows = pl.select(pl.int_range(frame.height, dtype=pl.UInt32).alias(_ROW))
    settled = rows.join(lists, on=_ROW, how="left", maintain_order="left")
    return frame.with_columns(settled.select(pl.col(UNIT_NAME, UNIT_QUANTITY).fill_null(_EMPTY)))


def _tell(problems: Problems, height: int, wrong: pl.DataFrame, reason: str, detail: str) -> None:
    if wrong.height:
        flags = pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True)
        texts = pl.repeat(None, height, dtype=pl.String, eager=True)
        first = wrong.unique(_ROW, keep="first", maintain_order=True)
        problems.add(flags.scatter(first[_ROW], values=True), reason, texts.scatter(first[_ROW], first[detail]))


def _judged(quantities: pl.Series) -> list[pl.Series]:
    """Each quantity as canonical text, and what is wrong with it; a text is looked at once however often it stands."""
    distinct = quantities.unique().to_list()
    found = {text: quantity_of(text) for text in distinct}
    texts = {given: text for given, (text, _) in found.items()}
    wrong = {given: reason for given, (_, reason) in found.items()}
    return [
        quantities.replace_strict(texts, return_dtype=pl.String).alias("text"),
        quantities.replace_strict(wrong, return_dtype=pl.String).alias("wrong"),
    ]


def quantity_of(given: str | None) -> tuple[str | None, str | None]:
    """The canonical text of a quantity, or what is wrong: number, negative, large."""
    try:
        number = Decimal((given or "").strip())
    except InvalidOperation:
        return None, "number"
    if not number.is_finite():
        return None, "number"
    if number < 0:
        return None, "negative"
    if number > MAX_COUNT:
        return None, "large"
    kept = number.quantize(_STEP, ROUND_HALF_EVEN)
    return (format(kept.normalize(), "f") if kept else "0"), None
