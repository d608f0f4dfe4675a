"""What the requests without a price cost at least and at most."""

from warehouse.storage.migrations import Migration

_ROLLUPS = (
    "rollup_hour_workspace",
    "rollup_day_model",
    "rollup_day_api_key",
    "rollup_day_prompt",
    "rollup_day_config",
)
_SUMS = ("priced_requests", "unpriced_tokens", "cost_low", "cost_high", "unbounded_requests")

MIGRATION = Migration(
    version=4,
    reason="A sum of money says how much of it is unknown, and between which amounts the unknown lies.",
    columns=(
        ("generations", "cost_low"),
        ("generations", "cost_high"),
        *((rollup, name) for rollup in _ROLLUPS for name in _SUMS),
    ),
)
