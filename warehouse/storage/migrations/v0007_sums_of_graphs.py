"""What graphs draw of caches, rescues and users, summed by day and hour."""

from warehouse.storage.migrations import Migration

_ROLLUPS = (
    "rollup_hour_workspace",
    "rollup_day_model",
    "rollup_day_api_key",
    "rollup_day_prompt",
    "rollup_day_config",
)
_SUMS = (
    "simple_hits",
    "semantic_hits",
    "simple_cache_savings",
    "semantic_cache_savings",
    "unpriced_hits",
    "hit_latency_sum",
    "hit_latency_count",
    "miss_latency_sum",
    "miss_latency_count",
    "rescued_by_retry",
    "rescued_by_fallback",
    "user_requests",
)

MIGRATION = Migration(
    version=7,
    reason="A graph of caches, rescues or users reads as little as one of costs.",
    columns=tuple((rollup, name) for rollup in _ROLLUPS for name in _SUMS),
)
