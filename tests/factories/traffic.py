"""Millions of rows as a busy gateway makes them, a day at a time: made by columns, so that benchmarks may be large.

Skewed as real traffic is: 20 organisations (the first has about 23 % of the rows), 200 workspaces, 2,000 API keys,
60 models, 5,000 end users in 40 teams, lognormal latencies, amounts with twelve decimals.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.catalog.generations import GENERATIONS
from warehouse.storage.tables import arrow_schema

FIRST_DAY = datetime(2026, 6, 1, tzinfo=UTC)
ORGANISATIONS = tuple(f"org-{number:02d}" for number in range(20))
WORKSPACES_EACH, KEYS_EACH = 10, 10
PROVIDERS = ("openai", "anthropic", "google", "bedrock", "azure-openai", "groq")
MODELS = tuple((PROVIDERS[number % len(PROVIDERS)], f"model-{number:02d}-2026-01-15") for number in range(60))
CACHE_STATUSES = ("DISABLED", "MISS", "HIT", "SEMANTIC HIT")
STATUSES = (200, 429, 500, 400)
SKEW = 0.9
USERS, TEAMS = 5_000, 40
_DAY_MS = 86_400_000

Ints = npt.NDArray[np.int64]


def requests_of_day(day: int, count: int) -> pa.Table:
    """`count` rows of generations on the day with this number, in order of arrival; the same for the same arguments."""
    pick = np.random.default_rng([day, count])
    organisation, model = _skewed(pick, len(ORGANISATIONS), count), _skewed(pick, len(MODELS), count)
    workspace = organisation * WORKSPACES_EACH + _skewed(pick, WORKSPACES_EACH, count)
    cache = _choice(pick, (0.5, 0.38, 0.1, 0.02), count)
    status = _choice(pick, (0.96, 0.02, 0.01, 0.01), count)
    tokens_in, tokens_out = _lognormal(pick, 6.5, 1.2, count), _lognormal(pick, 5, 1, count)
    cached = (tokens_in * pick.choice((0.0, 0.5), count)).astype(np.int64)
    latency = _lognormal(pick, 7, 0.7, count)
    cost = tokens_in * (250_000_000 + 7 * model) + tokens_out * (1_000_000_000 + 31 * model)
    ids, traces = _random_texts(pick, count), _random_texts(pick, count)
    filled: dict[str, pa.Array] = {
        **_who(pick, organisation, workspace),
        **_what(pick, model, status, cache),
        "created_at": _instants(pick, day, count),
        "id": ids,
        "trace_id": traces,
        "span_id": ids,
        "response_time": pa.array(latency),
        "upstream_response_time": pa.array((latency * 0.95).astype(np.int64)),
        "gateway_processing_time": pa.array(_lognormal(pick, 1.5, 0.5, count)),
        "req_units": pa.array(tokens_in),
        "res_units": pa.array(tokens_out),
        "total_units": pa.array(tokens_in + tokens_out),
        "uncached_input_tokens": pa.array(tokens_in - cached),
        "cache_read_tokens": pa.array(cached),
        "output_tokens": pa.array(tokens_out),
        "cost": _money(cost, np.asarray(pick.random(count) < 0.01)),
        "computed_cost": _money(cost, np.asarray(pick.random(count) < 0.01)),
        "uncached_input_cost": _money((tokens_in - cached) * 250_000_000),
        "output_cost": _money(tokens_out * 1_000_000_000),
        "ingested_at": _instants(pick, day + 1, 1).take(pa.array(np.zeros(count, np.int64))),
    }
    schema = arrow_schema(GENERATIONS)
    columns = [filled.get(field.name, pa.nulls(count, field.type)) for field in schema]
    return pa.table(columns, schema=schema)


def _who(pick: np.random.Generator, organisation: Ints, workspace: Ints) -> dict[str, pa.Array]:
    count = len(organisation)
    key = workspace * KEYS_EACH + _skewed(pick, KEYS_EACH, count)
    users = pick.integers(0, USERS, count)
    return {
        "organisation_id": _texts(ORGANISATIONS, organisation),
        "organisation_name": _texts([f"Organisation {name}" for name in ORGANISATIONS], organisation),
        "workspace_slug": _texts([f"ws-{n % WORKSPACES_EACH}-of-{n:03d}" for n in range(200)], workspace),
        "api_key_id": _texts([f"key-{number:04d}" for number in range(2_000)], key),
        "virtual_key": _texts([f"vk-{number:03d}" for number in range(400)], workspace * 2 + key % 2),
        "_user": _texts([f"user-{number}" for number in range(USERS)], users),
        "metadata.key": _lists(_texts(("_user", "team"), np.tile((0, 1), count))),
        "metadata.value": _lists(
            _texts(
                [*(f"user-{number}" for number in range(USERS)), *(f"team-{number:02d}" for number in range(TEAMS))],
                np.stack([users, USERS + users % TEAMS], axis=1).ravel(),
            )
        ),
    }


def _what(pick: np.random.Generator, model: Ints, status: Ints, cache: Ints) -> dict[str, pa.Array]:
    count = len(model)
    prompts, configs = [*(f"prompt-{n:03d}" for n in range(300)), None], [*(f"pc-{n:02d}" for n in range(50)), None]
    return {
        "ai_org": _texts([provider for provider, _ in MODELS], model),
        "ai_model": _texts([name for _, name in MODELS], model),
        "prompt_slug": _texts(prompts, np.minimum(pick.integers(0, 600, count), 300)),
        "config": _texts(configs, np.minimum(pick.integers(0, 80, count), 50)),
        "is_success": pa.array(status == 0),
        "response_status_code": pa.array(np.asarray(STATUSES)[status]),
        "cache_status": _texts(CACHE_STATUSES, cache),
        "request_method": _texts(("POST",), np.zeros(count, np.int64)),
        "request_url": _texts([f"https://api.{name}.example/v1/chat/completions" for name, _ in MODELS], model),
        "stream_mode": pa.array(pick.random(count) < 0.6),
        "mode": _texts(("single", "fallback"), pick.integers(0, 2, count)),
        "cost_currency": _texts(("USD",), np.zeros(count, np.int64)),
        "cost_source": _texts(("computed",), np.zeros(count, np.int64)),
        "price_id": _texts([f"price-{number:02d}" for number in range(60)], model),
    }


def _skewed(pick: np.random.Generator, kinds: int, count: int) -> Ints:
    weights = np.arange(1, kinds + 1) ** -SKEW
    return _choice(pick, tuple(weights / weights.sum()), count)


def _choice(pick: np.random.Generator, shares: Sequence[float], count: int) -> Ints:
    edges = np.cumsum(shares)[:-1]
    return np.searchsorted(edges, pick.random(count), side="right").astype(np.int64)


def _lognormal(pick: np.random.Generator, mean: float, sigma: float, count: int) -> Ints:
    return pick.lognormal(mean, sigma, count).astype(np.int64) + 1


def _instants(pick: np.random.Generator, day: int, count: int) -> pa.Array:
    start = np.datetime64((FIRST_DAY + timedelta(days=day)).replace(tzinfo=None), "ms")
    return pa.array((start + np.sort(pick.integers(0, _DAY_MS, count))).astype("datetime64[us]"))


def _texts(values: Sequence[str | None], numbers: Ints) -> pa.Array:
    return pa.array(list(values), pa.string()).take(pa.array(numbers))


def _lists(items: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(items) + 1, 2), pa.int32()), items)


def _random_texts(pick: np.random.Generator, count: int, width: int = 32) -> pa.Array:
    offsets = pa.py_buffer((np.arange(count + 1) * width).astype(np.int32))
    return pa.StringArray.from_buffers(count, offsets, pa.py_buffer(pick.bytes(count * width // 2).hex().encode()))


def _money(trillionths: Ints, absent: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    words = np.stack([trillionths, np.zeros_like(trillionths)], axis=1)  # low and high half; none is negative
    amounts = pa.Array.from_buffers(pa.decimal128(18, 12), len(trillionths), [None, pa.py_buffer(words)])
    return amounts if absent is None else pc.if_else(pa.array(absent), None, amounts)
