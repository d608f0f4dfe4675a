"""One frame of requests: who asked which model what, when, and what came of it. Everything a record is made of."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from warehouse.sample.draws import Draws, pick, zipf
from warehouse.sample.models import MODELS, UNKNOWN, UNKNOWN_SHARE, Kind, Model, Shape
from warehouse.sample.timetable import Slot
from warehouse.sample.world import World

ALL_MODELS: tuple[Model, ...] = (*MODELS, UNKNOWN)
_OWN_MODEL_SHARE = 0.55
_NEW_TRACE_SHARE = 0.62
_TROUBLE_SHARE = 0.05
_RESCUED_SHARE = 0.75
"""Of troubled requests whose config retries."""

_STATUSES = (429, 500, 400, 503, 401, 404, 408)
_STATUS_WEIGHTS = (0.44, 0.16, 0.17, 0.1, 0.05, 0.04, 0.04)
_CACHE_STATUSES = ("MISS", "HIT", "REFRESH", "SEMANTIC MISS", "SEMANTIC HIT")
_CACHE_WEIGHTS = {"simple": (0.86, 0.13, 0.01, 0.0, 0.0), "semantic": (0.04, 0.09, 0.01, 0.75, 0.11)}
_SPAN_NAMES = ("plan", "retrieve", "rerank", "answer", "check")


def requests_of(batch: Sequence[Slot], world: World, draws: Draws) -> pl.DataFrame:
    """The requests of consecutive slots, ordered by time; `hour_ms` is the UTC hour each belongs to."""
    frame = _places(batch)
    for stage in (_traces(draws), _owners(world, draws), _models(world, draws), _routes(world, draws)):
        frame = frame.with_columns(stage)
    for stage in (_outcomes(draws), _sizes(draws), _buckets(draws), _buckets_of_rest(), _latencies(draws)):
        frame = frame.with_columns(stage)
    return frame.with_columns(_times(draws)).sort("at_ms", "row")


def _places(batch: Sequence[Slot]) -> pl.DataFrame:
    """A row per request: its number, and the slot it lies in."""
    first, rows = batch[0].first_row, sum(slot.rows for slot in batch)
    slots = pl.DataFrame(
        {
            "first": [slot.first_row for slot in batch],
            "rows": [slot.rows for slot in batch],
            "start_ms": [_epoch_ms(slot.start) for slot in batch],
            "end_ms": [_epoch_ms(slot.end) for slot in batch],
            "hour_ms": [_epoch_ms(slot.hour) for slot in batch],
        },
        schema_overrides={"first": pl.UInt64},
    )
    repeated = slots.select(pl.exclude("rows").repeat_by("rows").explode())
    return repeated.with_columns(pl.int_range(first, first + rows, dtype=pl.UInt64, eager=True).alias("row"))


def _traces(draws: Draws) -> Sequence[pl.Expr]:
    starts = draws.happens("trace starts", _NEW_TRACE_SHARE) | (pl.col("row") == pl.col("first"))
    trace = pl.when(starts).then(pl.col("row")).forward_fill()
    return [trace.alias("trace"), (pl.col("row") - trace).cast(pl.UInt32).alias("span")]


def _owners(world: World, draws: Draws) -> Sequence[pl.Expr]:
    app = draws.choice("app", [app.weight for app in world.apps], row="trace")
    user = draws.choice("user", zipf(len(world.end_users), 0.9), row="trace")
    return [app.alias("app"), user.alias("user")]


def _models(world: World, draws: Draws) -> Sequence[pl.Expr]:
    weights = zipf(len(MODELS), 1.05)
    favourites = [draws.key(f"favourite/{app.workspace}/{app.api_key_id}") % 8 for app in world.apps]
    own = draws.happens("own model", _OWN_MODEL_SHARE)
    chosen = pl.when(own).then(pick(favourites, pl.col("app"))).otherwise(draws.choice("model", weights))
    unknown = draws.happens("unknown model", UNKNOWN_SHARE)
    return [pl.when(unknown).then(len(MODELS)).otherwise(chosen).cast(pl.UInt32).alias("model")]


def _of_model(values: Sequence[float] | Sequence[bool]) -> pl.Expr:
    return pick(values, pl.col("model"))


def _routes(world: World, draws: Draws) -> Sequence[pl.Expr]:
    routing = pick([app.routing for app in world.apps], pl.col("app"))
    index = (
        pl.when(routing == "fallback")
        .then(draws.happens("fell back", 0.07).cast(pl.Int64))
        .when(routing == "loadbalance")
        .then(draws.happens("second target", 0.3).cast(pl.Int64))
        .otherwise(0)
    )
    is_chat = _of_model([model.kind is Kind.CHAT for model in ALL_MODELS])
    cache = pick([app.cache for app in world.apps], pl.col("app"))
    status = (
        pl.when(~is_chat | cache.is_null())
        .then(pl.lit("DISABLED"))
        .when(cache == "simple")
        .then(pick(_CACHE_STATUSES, draws.choice("simple cache", _CACHE_WEIGHTS["simple"])))
        .otherwise(pick(_CACHE_STATUSES, draws.choice("semantic cache", _CACHE_WEIGHTS["semantic"])))
    )
    return [
        routing.alias("mode"),
        index.alias("option"),
        status.alias("cache_status"),
        pl.when(is_chat).then(cache).alias("cache_type"),
        pick([app.retries for app in world.apps], pl.col("app")).alias("retries"),
        is_chat.alias("is_chat"),
        (is_chat & draws.happens("stream", 0.46)).alias("stream"),
    ]


def _outcomes(draws: Draws) -> Sequence[pl.Expr]:
    hit = pl.col("cache_status").str.ends_with("HIT")
    trouble = draws.happens("trouble", _TROUBLE_SHARE) & ~hit
    status = pick(_STATUSES, draws.choice("status", _STATUS_WEIGHTS))
    retryable = (pl.col("retries") > 0) & ((status == 429) | (status >= 500))
    rescued = trouble & retryable & draws.happens("rescued", _RESCUED_SHARE)
    failed = trouble & ~rescued
    tries = pick((1, 2, 3), draws.choice("tries", (0.7, 0.22, 0.08)))
    return [
        hit.alias("hit"),
        failed.alias("failed"),
        pl.when(failed).then(status).otherwise(200).alias("status"),
        pl.when(rescued).then(tries).when(failed & retryable).then(-1).otherwise(0).cast(pl.Int64).alias("retry"),
    ]


def _sizes(draws: Draws) -> Sequence[pl.Expr]:
    fixed = _of_model([model.kind is Kind.IMAGE for model in ALL_MODELS])
    size_in = draws.lognormal("input", _of_model([model.input_tokens for model in ALL_MODELS]), 0.9)
    median_out = _of_model([model.output_tokens for model in ALL_MODELS])
    size_out = pl.when(fixed).then(median_out).otherwise(draws.lognormal("output", median_out, 0.8))
    served = pl.when(pl.col("failed")).then(0)
    most_in = size_in.clip(3, 180_000).round().cast(pl.Int64)
    most_out = size_out.clip(0, 16_000).round().cast(pl.Int64)
    return [
        served.otherwise(most_in).alias("req_units"),
        served.when(median_out > 0).then(pl.max_horizontal(most_out, pl.lit(1))).otherwise(0).alias("res_units"),
    ]


def _buckets(draws: Draws) -> Sequence[pl.Expr]:
    """The parts of input and output; provider caches work in steps of 128 tokens from 1,024 on."""
    total = pl.col("req_units")
    cachable = _of_model([model.caches for model in ALL_MODELS]) & (total >= 1024)
    part = 0.4 + 0.55 * draws.uniform("cached part")
    read = pl.when(cachable & draws.happens("prompt cache read", 0.42)).then(_steps(total * part)).otherwise(0)
    writes = (
        _of_model([model.writes_cache for model in ALL_MODELS]) & cachable & draws.happens("prompt cache write", 0.22)
    )
    rest = _steps((total - read) * (0.3 + 0.6 * draws.uniform("written part")))
    # Only Anthropic's own usage tells how long a written cache lives.
    tells = _of_model([model.shape is Shape.ANTHROPIC for model in ALL_MODELS])
    long_lived = tells & draws.happens("prompt cache write 1h", 0.15)
    is_image = _of_model([model.kind is Kind.IMAGE for model in ALL_MODELS])
    reasons = _of_model([model.reasons for model in ALL_MODELS])
    thought = (pl.col("res_units") * (0.2 + 0.5 * draws.uniform("reasoning part"))).floor().cast(pl.Int64)
    return [
        read.alias("cache_read_tokens"),
        pl.when(writes & ~long_lived).then(rest).otherwise(0).alias("cache_write_tokens"),
        pl.when(writes & long_lived).then(rest).otherwise(0).alias("cache_write_1h_tokens"),
        pl.when(reasons).then(thought).otherwise(0).alias("reasoning_tokens"),
        pl.when(is_image).then(pl.col("res_units")).otherwise(0).alias("image_output_tokens"),
        (is_image & ~pl.col("failed")).cast(pl.Int64).alias("generated_images"),
    ]


def _buckets_of_rest() -> Sequence[pl.Expr]:
    cached = pl.col("cache_read_tokens") + pl.col("cache_write_tokens") + pl.col("cache_write_1h_tokens")
    special = pl.col("reasoning_tokens") + pl.col("image_output_tokens")
    return [
        (pl.col("req_units") - cached).alias("uncached_input_tokens"),
        (pl.col("res_units") - special).alias("output_tokens"),
        (pl.col("req_units") + pl.col("res_units")).alias("total_units"),
    ]


def _latencies(draws: Draws) -> Sequence[pl.Expr]:
    """Time grows with the output and swings by a lognormal factor; retries wait; a gateway cache answers at once."""
    first = _of_model([model.first_token_ms for model in ALL_MODELS])
    per_token = _of_model([model.per_token_ms for model in ALL_MODELS])
    read_ms = pl.col("req_units") * 0.02
    steady = first + per_token * pl.col("res_units") + read_ms
    upstream = draws.lognormal("latency", steady, 0.32) + pl.max_horizontal(pl.col("retry"), pl.lit(0)) * 900
    refused = draws.lognormal("refusal", pl.lit(180.0), 0.7)
    upstream_ms = (
        pl.when(pl.col("hit")).then(0).when(pl.col("failed")).then(refused).otherwise(upstream).clip(0, 600_000)
    )
    return [
        upstream_ms.round().cast(pl.Int64).alias("upstream_ms"),
        (1 + 4 * draws.uniform("parse")).floor().cast(pl.Int64).alias("parse_ms"),
        (3 + 14 * draws.uniform("prepare")).floor().cast(pl.Int64).alias("prepare_ms"),
        pl.when(pl.col("cache_status") == "DISABLED")
        .then(0)
        .otherwise((2 + 22 * draws.uniform("cache")).floor())
        .cast(pl.Int64)
        .alias("cache_ms"),
    ]


def _times(draws: Draws) -> Sequence[pl.Expr]:
    """The spans of a trace follow each other; none leaves the slot."""
    length = pl.col("end_ms") - pl.col("start_ms")
    begins = (draws.uniform("time", row="trace") * length).floor().cast(pl.Int64)
    pause = (draws.uniform("gap") * 350 * (pl.col("span") > 0)).floor().cast(pl.Int64)
    at = pl.col("start_ms") + begins + pl.col("span").cast(pl.Int64) * 400 + pause
    return [
        pl.min_horizontal(at, pl.col("end_ms") - 1).alias("at_ms"),
        pick(_SPAN_NAMES, pl.min_horizontal(pl.col("span"), pl.lit(4))).alias("span_name"),
    ]


def _steps(tokens: pl.Expr) -> pl.Expr:
    return (tokens / 128).floor().cast(pl.Int64) * 128


def _epoch_ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
