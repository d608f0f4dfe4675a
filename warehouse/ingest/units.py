"""Units and buckets of whole frames: the buckets of a row add up to its units, whatever a record said."""

import polars as pl

INPUT_BUCKETS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "cache_read_audio_tokens",
    "image_input_tokens",
    "cache_read_image_tokens",
)
OUTPUT_BUCKETS = ("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens")


def settle_units(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with buckets that add up, `total_units`, and `usage_known`.

    Without a split, all input is uncached text and all output is plain text.
    """
    frame = _settle(frame, "req_units", INPUT_BUCKETS)
    frame = _settle(frame, "res_units", OUTPUT_BUCKETS)
    both = pl.sum_horizontal("req_units", "res_units")
    known = pl.any_horizontal(pl.col("req_units", "res_units", "total_units").is_not_null())
    frame = frame.with_columns(total_units=pl.when(known).then(pl.max_horizontal("total_units", both)))
    return frame.with_columns(usage_known=usage_known())


def usage_known() -> pl.Expr:
    """True for a row that says what was used: tokens, images, or anything else that is counted."""
    counted = [pl.col(name).is_not_null() for name in ("req_units", "res_units", "generated_images")]
    return pl.any_horizontal(*counted, pl.col("units.name").list.len().fill_null(0) > 0)


def _settle(frame: pl.DataFrame, whole: str, buckets: tuple[str, ...]) -> pl.DataFrame:
    """`buckets[0]` takes what the other buckets leave of the whole."""
    plain, *others = buckets
    if all(frame[name].null_count() == frame.height for name in buckets):
        return frame.with_columns(pl.col(whole).alias(plain))
    is_split = pl.any_horizontal(pl.col(buckets).is_not_null())
    rest = pl.sum_horizontal(others)
    total = pl.max_horizontal(pl.coalesce(whole, rest + pl.col(plain).fill_null(0)), rest)
    return frame.with_columns(
        pl.when(is_split).then(total).otherwise(whole).alias(whole),
        pl.when(is_split).then(total - rest).otherwise(whole).alias(plain),
    )
