"""What a gateway cache hit would have cost."""

from warehouse.storage.migrations import Migration

MIGRATION = Migration(
    version=2,
    reason="A cache hit costs nothing; what it saved is worth knowing.",
    columns=(("generations", "cache_saved_cost"),),
)
