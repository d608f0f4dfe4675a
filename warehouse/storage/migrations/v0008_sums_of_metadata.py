"""Sums by day of each value of the metadata's keys, where those repeat."""

from warehouse.storage.migrations import Migration

MIGRATION = Migration(
    version=8,
    reason="What a team costs, by any key of the metadata, reads as little as what a model costs.",
    tables=("rollup_day_metadata",),
)
