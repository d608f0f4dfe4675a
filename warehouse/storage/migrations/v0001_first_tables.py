"""The tables of the first schema."""

from warehouse.storage.migrations import Migration

MIGRATION = Migration(
    version=1,
    reason="The first tables: requests, feedback, the books of loads, and the rollups.",
    tables=(
        "generations",
        "feedbacks",
        "batches",
        "log_objects",
        "rollup_hour_workspace",
        "rollup_day_model",
        "rollup_day_api_key",
        "rollup_day_prompt",
        "rollup_day_config",
    ),
)
