"""The price book's history and what was corrected by it: both only ever grow."""

from warehouse.catalog.generations import COST
from warehouse.catalog.model import Column, Dataset, Kind, Origin, Unit

_OURS = Origin.GATELEDGER
SINCE = 5
"""The schema version that brought both datasets."""

PRICES = Dataset(
    name="prices",
    description="One row per version of a model's prices, as a price file said it; nothing is overwritten.",
    columns=(
        Column("provider", Kind.TEXT, "Provider slug.", origin=_OURS, since=SINCE),
        Column("known_from", Kind.INSTANT, "When the version was first seen.", Unit.UTC, _OURS, since=SINCE),
        Column("model", Kind.TEXT, "Key of the model in the provider's file.", origin=_OURS, since=SINCE),
        Column("id", Kind.TEXT, "Hash of provider, model, content and when it was first seen.", origin=_OURS, since=SINCE),
        Column("content", Kind.TEXT, "Hash of all that decides a cost.", origin=_OURS, since=SINCE),
        Column("source", Kind.TEXT, "Where the file came from.", origin=_OURS, since=SINCE),
        Column("entry", Kind.TEXT, "The model's entry in the file as JSON, every digit kept.", origin=_OURS, since=SINCE),
        Column("defaults", Kind.TEXT, "The file's entry `default` as JSON, every digit kept.", origin=_OURS, since=SINCE),
    ),
    sort_by=("provider", "known_from"),
    time_column="known_from",
)  # fmt: skip

CORRECTED: tuple[Column, ...] = tuple(column for column in COST if column.name != "reported_cost")
"""The columns of a request that a correction sets; what the gateway reported is not ours to change."""
OLD, NEW = "old_", "new_"
"""What begins the name of a corrected column's value before and after."""

CORRECTIONS = Dataset(
    name="corrections",
    description="One row per request and re-pricing that changed its cost: all of the cost before and after.",
    columns=(
        Column("organisation_id", Kind.TEXT, "Organisation that owns the request.", origin=_OURS, since=SINCE),
        Column("created_at", Kind.INSTANT, "When the request was made.", Unit.UTC, _OURS, since=SINCE),
        Column("workspace_slug", Kind.TEXT, "Workspace of the request, by slug.", origin=_OURS, since=SINCE),
        Column("id", Kind.TEXT, "Hash of the request's id and the re-pricing.", origin=_OURS, since=SINCE),
        Column("row_id", Kind.TEXT, "Id of the request.", origin=_OURS, since=SINCE),
        Column("reprice_id", Kind.TEXT, "The re-pricing that made the correction.", origin=_OURS, since=SINCE),
        Column("corrected_at", Kind.INSTANT, "Since when the new cost counts as known.", Unit.UTC, _OURS, since=SINCE),
        Column("was_corrected_at", Kind.INSTANT, "When the cost had been corrected before; empty for the first time.", Unit.UTC, _OURS, since=SINCE),
        Column("why", Kind.TEXT, "repriced, newly_priced, newly_unpriced or reallocated.", origin=_OURS, since=SINCE),
        *(
            Column(prefix + column.name, column.kind, f"Value {when} the correction of {column.name}.", column.unit, _OURS, since=max(SINCE, column.since))
            for column in CORRECTED
            for prefix, when in ((OLD, "before"), (NEW, "after"))
        ),
    ),
    sort_by=("organisation_id", "workspace_slug", "created_at"),
)  # fmt: skip
