"""The history of prices, and corrections of costs."""

from warehouse.catalog.prices import CORRECTIONS, PRICES
from warehouse.storage.migrations import Migration

MIGRATION = Migration(
    version=5,
    reason="Prices are kept as they were known, and a corrected cost says what it was before.",
    tables=(PRICES.name, CORRECTIONS.name),
    columns=(("generations", "repriced_at"),),
)
