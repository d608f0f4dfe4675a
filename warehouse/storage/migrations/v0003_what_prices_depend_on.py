"""What a price may depend on besides tokens."""

from warehouse.storage.migrations import Migration

MIGRATION = Migration(
    version=3,
    reason="A request can be priced again only if the row keeps all that its price depended on.",
    columns=(
        ("generations", "execution_mode"),
        ("generations", "region"),
        ("generations", "image_quality"),
        ("generations", "image_size"),
        ("generations", "units.name"),
        ("generations", "units.quantity"),
    ),
)
