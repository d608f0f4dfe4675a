"""The books that gateledger keeps about itself: what was loaded, from where, and what became of it."""

from warehouse.catalog.model import Column, Dataset, Kind, Origin, Unit

_OURS = Origin.GATELEDGER

BATCHES = Dataset(
    name="batches",
    description="One row per attempt to load a batch: received = stored + duplicates + rejected.",
    columns=(
        Column("organisation_id", Kind.TEXT, "Organisation of the batch; empty when it holds several.", origin=_OURS),
        Column("created_at", Kind.INSTANT, "When the batch was loaded.", Unit.UTC, _OURS),
        Column("id", Kind.TEXT, "Id of this entry.", origin=_OURS),
        Column("batch_id", Kind.TEXT, "Batch, as the rows it stored name it.", origin=_OURS),
        Column("load_id", Kind.TEXT, "Load that the attempt was part of.", origin=_OURS),
        Column("dataset", Kind.TEXT, "Dataset that was loaded.", origin=_OURS),
        Column("ingest_source", Kind.TEXT, "File, object or endpoint.", origin=_OURS),
        Column("received", Kind.INTEGER, "Records read.", origin=_OURS),
        Column("stored", Kind.INTEGER, "Rows stored.", origin=_OURS),
        Column("duplicates", Kind.INTEGER, "Records whose id was known.", origin=_OURS),
        Column("rejected", Kind.INTEGER, "Records put in quarantine.", origin=_OURS),
        Column("unpriced", Kind.INTEGER, "Stored rows without a cost.", origin=_OURS),
        Column("day_min", Kind.INSTANT, "Day of the oldest row.", Unit.UTC, _OURS),
        Column("day_max", Kind.INSTANT, "Day of the newest row.", Unit.UTC, _OURS),
    ),
    sort_by=("organisation_id", "created_at"),
)

LOG_OBJECTS = Dataset(
    name="log_objects",
    description="One row per object of a log store that was read, so that a run reads only what is new.",
    columns=(
        Column("store", Kind.TEXT, "URL of the log store.", origin=_OURS),
        Column("created_at", Kind.INSTANT, "When the object was last modified.", Unit.UTC, _OURS),
        Column("id", Kind.TEXT, "Hash of store, path and entity tag.", origin=_OURS),
        Column("path", Kind.TEXT, "Path within the store.", origin=_OURS),
        Column("size", Kind.INTEGER, "Bytes.", origin=_OURS),
        Column("batch_id", Kind.TEXT, "Batch that it was loaded with.", origin=_OURS),
    ),
    sort_by=("store", "created_at"),
)
