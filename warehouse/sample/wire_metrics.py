"""Requests as analytics rows: the fields a gateway writes, and the token buckets under the catalog's names.

Source: dataplane contract 4.3, in the field order of the public sample file.
"""

import polars as pl

from warehouse.sample.draws import Draws, pick
from warehouse.sample.requests import ALL_MODELS
from warehouse.sample.world import World

_GATEWAY_VERSION, _SDK_VERSION = "2.4.1", "1.14.2"
_BUCKETS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "image_output_tokens",
    "generated_images",
)


def metrics_of(requests: pl.DataFrame, world: World, draws: Draws) -> pl.DataFrame:
    """One analytics row per request; numbers are floats where the gateway writes floats."""
    fields = _identity(world, draws) | _call(draws) | _entities(world, draws) | _timings() | _trace(draws)
    return requests.select(
        *(expression.alias(name) for name, expression in fields.items()), *(pl.col(name) for name in _BUCKETS)
    )


def app_column(world: World, field: str) -> pl.Expr:
    """A field of the app of each request."""
    return pick([getattr(app, field) for app in world.apps], pl.col("app"))


def instant_text() -> pl.Expr:
    """The time of each request, ISO 8601 in UTC to the millisecond."""
    return pl.from_epoch(pl.col("at_ms"), time_unit="ms").dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")


def virtual_key() -> pl.Expr:
    """The virtual key of each request: the provider, and the app's environment."""
    return pick([f"{model.ai_org}-main" for model in ALL_MODELS], pl.col("model"))


def _identity(world: World, draws: Draws) -> dict[str, pl.Expr]:
    fields = {"id": draws.uuid("id")}
    if world.named_organisation:
        fields["organisation_id"] = pl.lit(world.organisation_id)
    if world.named_workspaces:
        fields["workspace_slug"] = app_column(world, "workspace")
    return fields | {"created_at": instant_text(), "user_id": app_column(world, "user_id")}


def _call(draws: Draws) -> dict[str, pl.Expr]:
    return {
        "is_success": _flag(~pl.col("failed")),
        "ai_org": pick([model.ai_org for model in ALL_MODELS], pl.col("model")),
        "ai_org_auth_hash": pick([f"{draws.key(model.ai_org):016x}" for model in ALL_MODELS], pl.col("model")),
        "ai_model": pick([model.name for model in ALL_MODELS], pl.col("model")),
        "req_units": pl.col("req_units").cast(pl.Float64),
        "res_units": pl.col("res_units").cast(pl.Float64),
        "total_units": pl.col("total_units").cast(pl.Float64),
        "cost": pl.lit(None, pl.Float64),
        "cost_currency": pl.lit("USD"),
        "request_url": pick([model.url for model in ALL_MODELS], pl.col("model")),
        "request_method": pl.lit("POST"),
        "response_status_code": pl.col("status").cast(pl.Float64),
        "response_time": _total_ms().cast(pl.Float64),
        "is_proxy_call": pl.lit(0.0),
        "cache_status": pl.col("cache_status"),
        "cache_type": pl.col("cache_type"),
        "stream_mode": _flag(pl.col("stream")),
        "retry_success_count": pl.col("retry").cast(pl.String),
        "mode": pl.col("mode"),
        "last_used_option_index": pl.col("option"),
    }


def _entities(world: World, draws: Draws) -> dict[str, pl.Expr]:
    prompt, config = app_column(world, "prompt"), app_column(world, "config")
    user = pick(world.end_users, pl.col("user"))
    environment, team = app_column(world, "environment"), app_column(world, "team")
    return {
        "virtual_key": virtual_key(),
        "api_key_id": app_column(world, "api_key_id"),
        "config": config,
        "config_id": app_column(world, "config_id"),
        "config_version_id": app_column(world, "config_version_id"),
        "prompt_slug": prompt,
        "prompt_id": app_column(world, "prompt_id"),
        "prompt_version_id": app_column(world, "prompt_version_id"),
        "_environment": environment,
        "_user": user,
        "_organisation": pl.lit(None, pl.String),
        "_prompt": prompt,
        "metadata": pl.struct(
            pl.concat_list(*map(pl.lit, ("team", "app", "_environment", "_user"))).alias("key"),
            pl.concat_list(team, app_column(world, "name"), environment, user).alias("value"),
        ),
        "extra_key": pl.lit(None, pl.String),
        "extra_value": pl.lit(None, pl.String),
        "source": pl.lit("rubeus"),
        "runtime": pick(("python", "node"), draws.choice("runtime", (0.7, 0.3), row="trace")),
        "runtime_version": pl.lit(None, pl.String),
        "sdk_version": pl.lit(_SDK_VERSION),
        "license_id": pl.lit(None, pl.String),
        "gateway_version": pl.lit(_GATEWAY_VERSION),
        "log_store_file_path_format": pl.lit("v2"),
    }


def _timings() -> dict[str, pl.Expr]:
    gateway_ms = pl.col("parse_ms") * 2 + pl.col("prepare_ms") + pl.col("cache_ms")
    return {
        "request_parsing_time": pl.col("parse_ms"),
        "pre_processing_time": pl.col("prepare_ms"),
        "cache_processing_time": pl.col("cache_ms"),
        "response_parsing_time": pl.col("parse_ms"),
        "gateway_processing_time": gateway_ms,
        "upstream_response_time": pl.col("upstream_ms"),
        "ttlt": pl.when(pl.col("stream") & ~pl.col("failed")).then(_total_ms()),
    }


def _trace(draws: Draws) -> dict[str, pl.Expr]:
    return {
        "trace_id": draws.uuid("trace", row="trace"),
        "span_id": draws.hex16("span"),
        # A trace bears the number of its first row, so this is the id of its first span.
        "parent_span_id": pl.when(pl.col("span") > 0).then(draws.hex16("span", row="trace")),
        "span_name": pl.col("span_name"),
        "internal_trace_id": draws.uuid("internal trace", row="trace"),
    }


def _total_ms() -> pl.Expr:
    return pl.col("upstream_ms") + pl.col("parse_ms") * 2 + pl.col("prepare_ms") + pl.col("cache_ms")


def _flag(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Float64)
