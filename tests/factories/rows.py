"""Random but valid rows: several organisations with the same slugs, blanks, hostile texts, odd instants."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.storage.tables import arrow_schema

ORGANISATIONS = ("org-a", "org-b", "org-'c\\")
WORKSPACES = ("default", "prod", "Prod", "équipe-✓", "o'brien", None)
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "模型-7b", "a__b", None)
PROVIDERS = ("openai", "anthropic", "bedrock", None)
API_KEYS = ("key-1", "key-2", "key-3", None)
CONFIGS = ("pc-fallback", "pc-cache", None, None)
PROMPTS = ("greeting", "grüße", None)
VIRTUAL_KEYS = ("openai-main", "openai-eu", None)
STATUSES = (200, 200, 200, 200, 201, 246, 400, 401, 429, 500, None)
CACHE_STATUSES = ("HIT", "hit", "Semantic Hit", "MISS", "semantic miss", "REFRESH", "DISABLED", "disabled", None)
USERS = ("ann", "bob", "Bob", "zoë", "", None)
METADATA_KEYS = ("team", "_user", "Team", "te'am", "team\\", "ключ", "a b")
METADATA_VALUES = ("search", "ads", "", "Search", "x'; DROP TABLE generations; --", "наука", "a\nb", "100%", "\\'")
HOSTILE = (
    "' OR 1=1 --",
    "\\' OR 1=1 --",
    '"; DROP TABLE generations; --',
    "org-b') OR ('1'='1",
    "nul\x00byte",
    "{p:String}",
    "$1 ? :name %(x)s",
    "line\nbreak\r\ttab",
    "__SQLGLOT__LBREAK__",
    "/* comment */ -- x",
    "𝕌𝕟𝕚\u202ecode\ufeff",
    "`backtick` \"quote\"",
    "%_[a-z]*",
)  # fmt: skip

FIRST_DAY = datetime(2026, 3, 27, tzinfo=UTC)
DAYS = 5
"""Over the European change to summer time (2026-03-29 01:00 UTC)."""
_EDGES = (
    FIRST_DAY,
    FIRST_DAY + timedelta(days=1, milliseconds=-1),
    FIRST_DAY + timedelta(days=1),
    datetime(2026, 3, 29, 0, 59, 59, 999000, UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 30, 0, 1000, UTC),
    FIRST_DAY + timedelta(days=DAYS, milliseconds=-1),
)


def some_instant(random: Random) -> datetime:
    """An instant within the days of the rows, to the millisecond; often on an edge."""
    if random.random() < 0.15:
        return random.choice(_EDGES)
    return FIRST_DAY + timedelta(milliseconds=random.randrange(DAYS * 86_400_000))


def generations(seed: int, count: int, *, prefix: str = "g") -> pa.Table:
    """`count` rows of generations; the same for the same seed. Ids are unique within a prefix."""
    random = Random(seed)
    return as_generations([_generation(random, f"{prefix}-{seed}-{index}") for index in range(count)])


def feedbacks(seed: int, of: pa.Table, count: int) -> pa.Table:
    """Feedback on traces of these rows, given up to 40 days later, also by organisations that do not own the trace."""
    random = Random(seed)
    owners = list(
        zip(*(of[name].to_pylist() for name in ("organisation_id", "workspace_slug", "trace_id")), strict=True)
    )
    return as_feedbacks([_feedback(random, f"f-{seed}-{index}", random.choice(owners)) for index in range(count)])


def as_generations(records: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows of generations from records that name only some columns; the others are NULL."""
    return pa.Table.from_pylist([_naive(record) for record in records], schema=arrow_schema(GENERATIONS))


def as_feedbacks(records: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows of feedbacks from records that name only some columns; the others are NULL."""
    return pa.Table.from_pylist([_naive(record) for record in records], schema=arrow_schema(FEEDBACKS))


def _naive(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in record.items()
    }


def _generation(random: Random, id_: str) -> dict[str, Any]:
    status = random.choice(STATUSES)
    known_tokens = random.random() < 0.9
    req, res = (random.randrange(0, 5000), random.randrange(0, 900)) if known_tokens else (None, None)
    keys = random.sample(METADATA_KEYS, random.randrange(0, 4)) if random.random() < 0.95 else None
    cost = _cost(random)
    low, high = _bounds_of(random, cost)
    return {
        "organisation_id": random.choice(ORGANISATIONS),
        "created_at": some_instant(random),
        "workspace_slug": random.choice(WORKSPACES),
        "id": id_,
        "organisation_name": "Organisation",
        "api_key_id": random.choice(API_KEYS),
        "ai_org": random.choice(PROVIDERS),
        "ai_model": random.choice(MODELS) if random.random() < 0.95 else random.choice(HOSTILE),
        "virtual_key": random.choice(VIRTUAL_KEYS),
        "config": random.choice(CONFIGS),
        "prompt_slug": random.choice(PROMPTS),
        "is_success": None if status is None else 200 <= status < 300,
        "response_status_code": status,
        "response_time": random.choice((None, random.randrange(1, 90_000), 250)),
        "cache_status": random.choice(CACHE_STATUSES),
        "trace_id": random.choice((None, f"trace-{random.randrange(25)}")),
        "span_id": f"span-{random.randrange(50)}",
        "metadata.key": keys,
        "metadata.value": None if keys is None else [random.choice(METADATA_VALUES) for _ in keys],
        "req_units": req,
        "res_units": res,
        "total_units": None if req is None or res is None else req + res,
        "cost_currency": "USD",
        "cost": cost,
        "cost_source": "" if cost is None else "computed",
        "cost_low": low,
        "cost_high": high,
        "unpriced_reason": "no price" if cost is None else None,
        "batch_id": f"batch-{random.randrange(3)}",
        "ingested_at": FIRST_DAY + timedelta(days=DAYS),
        **_drawn(Random(id_)),
    }


def _drawn(random: Random) -> dict[str, Any]:
    """What graphs draw beside all that."""
    return {
        "_user": random.choice(USERS),
        "cache_saved_cost": random.choice((None, Decimal(0), Decimal(random.randrange(10**13)).scaleb(-12))),
        "retry_success_count": random.choice((None, 0, 0, 1, 2, -1)),
        "mode": random.choice((None, "single", "fallback", "Fallback", "loadbalance")),
        "last_used_option_index": random.choice((None, 0, 0, 1, 2)),
    }


def _cost(random: Random) -> Decimal | None:
    kind = random.random()
    if kind < 0.15:
        return None
    if kind < 0.25:
        return Decimal(0)
    if kind < 0.3:
        return Decimal("999999.999999999999")
    return Decimal(random.randrange(10**13)).scaleb(-12)


def _bounds_of(random: Random, cost: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """As pricing fills them; None for rows that are older than the bounds."""
    if random.random() < 0.2:
        return None, None
    if cost is not None:
        return cost, cost
    low = Decimal(random.randrange(10**13)).scaleb(-12)
    return low, random.choice((None, low, low + Decimal(random.randrange(10**13)).scaleb(-12)))


def _feedback(random: Random, id_: str, owner: tuple[str, str | None, str | None]) -> dict[str, Any]:
    organisation, workspace, trace = owner
    if random.random() < 0.2:
        organisation = random.choice(ORGANISATIONS)
    value, weight = random.randrange(-10, 11), random.choice((0.0, 0.25, 0.5, 1.0))
    return {
        "organisation_id": organisation,
        "created_at": some_instant(random) + timedelta(days=random.choice((0, 0, 40))),
        "workspace_slug": workspace,
        "id": id_,
        "trace_id": trace,
        "value": value,
        "weight": weight,
        "weighted": None if random.random() < 0.1 else value * weight,
    }
