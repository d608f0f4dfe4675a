"""Random questions about the rows of `tests.factories.rows`, many with values that try to break out of SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import isclose
from random import Random
from typing import Any

import pyarrow as pa

from tests.factories import rows
from tests.factories.oracle import MEASURES
from warehouse.catalog.generations import GENERATIONS
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, FilterValue, GroupedQuery, Order

ALL_MEASURES = tuple(MEASURES)
UNMERGED = frozenset(
    {
        *("p50_latency", "p90_latency", "p95_latency", "p99_latency", "users", "requests_per_user", "error_codes"),
        "only_provider",
    }
)
"""What no rollup can answer."""
DIMENSIONS = tuple(dimension.name for dimension in GENERATIONS.dimensions)
FILTERS = tuple(filter_.name for filter_ in GENERATIONS.filters)
_METADATA = tuple(f"metadata.{key}" for key in (*rows.METADATA_KEYS, *rows.HOSTILE))
_TEXTS: dict[str, Sequence[str | None]] = {
    "virtual_keys": rows.VIRTUAL_KEYS,
    "configs": rows.CONFIGS,
    "prompt_slug": rows.PROMPTS,
    "api_key_ids": rows.API_KEYS,
    "trace_id": tuple(f"trace-{number}" for number in range(25)),
    "span_id": tuple(f"span-{number}" for number in range(50)),
    "cache_status": rows.CACHE_STATUSES,
    "cost_source": ("computed", None, "reported"),
}


def some_question(random: Random, **fixed: Any) -> GroupedQuery:
    """A question that checks itself, with any combination of what a question can hold."""
    by = tuple(dict.fromkeys(_some_dimension(random) for _ in range(random.choice((1, 1, 1, 2, 3)))))
    measures = tuple(random.sample(ALL_MEASURES, random.randrange(1, len(ALL_MEASURES) + 1)))
    since, until = sorted((_some_end(random), _some_end(random)))
    asked: dict[str, Any] = {
        "scope": some_scope(random),
        "since": since,
        "until": until,
        "by": by,
        "measures": measures,
        "conditions": tuple(some_condition(random) for _ in range(random.choice((0, 0, 1, 1, 2, 3)))),
        "order": _some_order(random, by, measures),
        "limit": random.choice((None, None, 0, 1, 3, 50)),
        "offset": random.choice((0, 0, 0, 1, 2, 7, 1000)),
        "include_total": random.random() < 0.8,
    }
    return GroupedQuery(**(asked | fixed))


def some_scope(random: Random) -> TenantScope:
    """One organisation, known or not, and all, some or none of its workspaces."""
    organisation = random.choice((*rows.ORGANISATIONS, *rows.ORGANISATIONS, random.choice(rows.HOSTILE)))
    if random.random() < 0.5:
        return TenantScope(organisation)
    slugs = [slug for slug in rows.WORKSPACES if slug is not None] + [random.choice(rows.HOSTILE)]
    return TenantScope(organisation, frozenset(random.sample(slugs, random.randrange(0, 4))))


def some_condition(random: Random) -> Condition:
    """One filter with a value that it takes."""
    name = random.choice(FILTERS)
    return Condition(name, _some_value(random, name))


def differences(expected: Sequence[dict[str, Any]], found: pa.Table) -> list[str]:
    """Where an answer differs from the expected lines; only fractions may differ, and only in the 12th digit."""
    lines = found.to_pylist()
    if len(lines) != len(expected):
        return [f"{len(lines)} groups instead of {len(expected)}"]
    return [
        f"group {index}, {name}: {line.get(name)!r} instead of {wanted!r}"
        for index, (want, line) in enumerate(zip(expected, lines, strict=True))
        for name, wanted in want.items()
        if not _is_same(wanted, line.get(name))
    ]


def _is_same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        return isclose(wanted, found, rel_tol=1e-12, abs_tol=1e-12)
    return wanted == found and (wanted is None) == (found is None)


def _some_dimension(random: Random) -> str:
    return random.choice(DIMENSIONS) if random.random() < 0.75 else random.choice(_METADATA)


def _some_end(random: Random) -> datetime:
    end = rows.some_instant(random) + timedelta(microseconds=random.choice((0, 0, 1, 999)))
    if random.random() < 0.3:
        end = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return end.astimezone(timezone(timedelta(minutes=random.choice((0, 330, -210)))))


def _some_order(random: Random, by: Sequence[str], measures: Sequence[str]) -> tuple[Order, ...]:
    able = [*by, *measures, "requests"]
    names = dict.fromkeys(random.choice(able) for _ in range(random.randrange(0, 3)))
    return tuple(Order(name, random.choice(("asc", "desc"))) for name in names)


def _some_value(random: Random, name: str) -> FilterValue:
    if name.startswith("weighted_feedback"):
        return random.choice((-10, -2.5, 0, 0.25, 3, Decimal("1.5")))
    if name in ("cost_min", "cost_max"):
        return random.choice((0, 0.1, 3.3, Decimal("5.0000000000001"), 1_000_000, 10**15))
    if name.endswith(("_min", "_max")):
        return random.choice((0, 10, 250, 1000.5, 4000, Decimal("99.9"), 10**17))
    if name == "status_code":
        return tuple(random.sample((200, 201, 246, 400, 429, 500, 0, 999), random.randrange(0, 4)))
    if name == "metadata":
        keys = random.sample((*rows.METADATA_KEYS, random.choice(rows.HOSTILE)), random.randrange(0, 3))
        return tuple((key, random.choice((*rows.METADATA_VALUES, random.choice(rows.HOSTILE)))) for key in keys)
    if name == "ai_org_model":
        providers, models = (*rows.PROVIDERS, random.choice(rows.HOSTILE)), (*rows.MODELS, random.choice(rows.HOSTILE))
        return tuple(
            (random.choice(providers) or "", random.choice(models) or "") for _ in range(random.randrange(0, 4))
        )
    texts = [text or "" for text in _TEXTS[name]] + [random.choice(rows.HOSTILE)]
    return tuple(random.sample(texts, random.randrange(0, 4)))


def some_rollup_question(random: Random) -> GroupedQuery:
    """A question that a rollup can answer for its whole days, over most of the rows' days."""
    name, keys = random.choice(
        (
            ("workspace", ()),
            ("model", ("ai_service", "workspace")),
            ("ai_service", ("model",)),
            ("api_key", ("workspace",)),
            ("prompt", ()),
            ("config", ("workspace",)),
            ("metadata.team", ("workspace",)),
            ("metadata._user", ()),
        )
    )
    summed = tuple(measure for measure in ALL_MEASURES if measure not in UNMERGED)
    filters = {"api_key": "api_key_ids", "prompt": "prompt_slug", "config": "configs", "model": "ai_org_model"}
    by = (name, *keys[: random.randrange(3)])
    measures = tuple(random.sample(summed, random.randrange(1, len(summed) + 1)))
    conditions = ()
    if name in filters and random.random() < 0.4:
        conditions = (Condition(filters[name], _some_value(random, filters[name])),)
    elif (name == "workspace" or name.startswith("metadata.")) and random.random() < 0.4:
        key = name.removeprefix("metadata.") if name != "workspace" else random.choice(rows.METADATA_KEYS)
        conditions = (Condition("metadata", ((key, random.choice(rows.METADATA_VALUES)),)),)
    return some_question(
        random,
        by=by,
        measures=measures,
        conditions=conditions,
        order=_some_order(random, by, measures),
        since=rows.FIRST_DAY + timedelta(milliseconds=random.choice((0, 0, 1, 3_600_000, 90_000_000))),
        until=rows.FIRST_DAY + timedelta(days=rows.DAYS, milliseconds=-random.choice((1, 1, 2, 3_600_000, 90_000_000))),
    )
