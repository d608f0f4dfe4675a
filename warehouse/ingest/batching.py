"""Pieces of any sources become one priced Arrow table of a dataset and the rejects among them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl
import pyarrow as pa

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset
from warehouse.ingest.credentials import without_credentials
from warehouse.ingest.fields import raw_schema
from warehouse.ingest.formats.envelopes import DEFAULTS
from warehouse.ingest.identity import batch_id, made_id
from warehouse.ingest.normalise import INDEX, OWNER, PIECE, normalise
from warehouse.ingest.ordering import ordered
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.reading import Read
from warehouse.ingest.records import BadRecord, Piece, Reject
from warehouse.ingest.source import base_name_of
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.pricing.negotiated import Overlay
from warehouse.settings import CostPolicy
from warehouse.storage.tables import arrow_schema, with_views

_PRICED_BY = ("ai_org", "ai_model")
_WORTH_REHEARSING = 1024


@dataclass(frozen=True)
class Priced:
    """A batch ready to be stored, and what of it cannot be."""

    dataset: Dataset
    id: str
    table: pa.Table
    rejects: Sequence[Reject]
    reads: Sequence[Read]
    places: pl.DataFrame
    """Per row of `table`: `id`, `_piece`, `_index`, `unpriced`."""
    organisations: Sequence[str]
    span: tuple[datetime | None, datetime | None]
    """The first and the last instant of its rows."""

    @property
    def received(self) -> int:
        return self.table.num_rows + len(self.rejects)

    @property
    def source(self) -> str:
        """The batch's sources in a few words."""
        names = list(dict.fromkeys(read.source.name for read in self.reads))
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more" if names else ""


@dataclass
class Pricing:
    """What prices rows: the book, the rule which cost counts, and what was agreed."""

    book: PriceBook
    policy: CostPolicy
    overlay: Overlay | None = None
    _is_rehearsed: bool = field(default=False, init=False)

    def is_to_rehearse(self, read: Read) -> bool:
        """True, once, for a read of so many rows that more batches like theirs are to be expected; see `rehearse`."""
        frame = None if read.piece is None else read.piece.frame
        if self._is_rehearsed or frame is None or frame.height < _WORTH_REHEARSING:
            return False
        self._is_rehearsed = True
        return True


def make_batch(
    reads: Sequence[Read],
    owner: Ownership,
    constants: Mapping[str, str],
    pricing: Pricing,
    now: datetime,
) -> Priced:
    """The batch of the pieces of some reads, all of one dataset."""
    reads = [read for read in reads if read.piece is not None]
    dataset = _pieces(reads)[0].dataset
    owners = [owner]
    raws = _raw_frames(dataset, reads, owners)
    parts = [normalise(raw, dataset, owners, constants, is_tidy=is_tidy) for raw, is_tidy in raws]
    rejects = [_reject(reads[number], index, error) for number, index, error in _bad(reads)]
    # The rows as they were read take as much memory as the batch; only their records may still be asked for.
    reads = [read.without_rows() for read in reads]
    del raws
    wrong = [one for part in parts for one in part.rejects]
    rejects += [_reject(reads[number], index, BadRecord(reason, detail)) for number, index, reason, detail in wrong]
    frame = pl.concat([part.frame for part in parts]) if len(parts) > 1 else parts[0].frame
    if dataset is GENERATIONS:
        frame = price(frame, pricing.book, pricing.policy, pricing.overlay)
    name = batch_id(dataset.name, frame["id"], frame["created_at"])
    frame = frame.with_columns(
        pl.lit(name).alias("batch_id"),
        pl.lit(now.replace(tzinfo=None)).cast(pl.Datetime("us")).alias("ingested_at"),
        pl.lit(None, dtype=pl.Datetime("us")).alias("repriced_at"),
        _source_names(reads),
    )
    frame = _as_files_keep_it(frame, dataset)
    unpriced = pl.col("cost").is_null() if "cost" in frame.columns else pl.lit(value=False)
    places = frame.select("id", PIECE, INDEX, unpriced.alias("unpriced"))
    organisations = frame["organisation_id"].unique().sort().to_list()
    span = frame.select(first=pl.col("created_at").min(), last=pl.col("created_at").max()).row(0)
    return Priced(dataset, name, to_arrow(frame, dataset), rejects, reads, places, organisations, span)


def rehearse(read: Read, owner: Ownership, constants: Mapping[str, str], pricing: Pricing, now: datetime) -> None:
    """Make a batch of one row of each model among these and drop it, so that no batch waits for what is worked out
    once: the prices of these models, and the dearest of all where one is unknown.
    """
    if read.piece is None or read.piece.frame is None:
        return
    names = [name for name in _PRICED_BY if name in read.piece.frame.columns]
    if names:
        few = replace(read.piece, frame=read.piece.frame.unique(names, keep="any"), rows=(), bad=())
        make_batch([replace(read, piece=few)], owner, constants, pricing, now)


def _as_files_keep_it(frame: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The frame in the order in which the lake keeps rows: here a row is moved by its views, later with all its text.

    A batch with an id twice stays as it came, because of such rows the first that was read counts.
    """
    if dataset.id_column is None or frame[dataset.id_column].n_unique() < frame.height:
        return frame
    return ordered(frame, dataset)


def _source_names(reads: Sequence[Read]) -> pl.Expr:
    names = pl.Series([read.source.name for read in reads], dtype=pl.String)
    if names.n_unique() == 1:
        return pl.lit(names[0]).alias("ingest_source")
    return pl.lit(names).gather(pl.col(PIECE)).alias("ingest_source")


def to_arrow(frame: pl.DataFrame, dataset: Dataset) -> pa.Table:
    """The frame as the dataset's Arrow table, texts as views; a column that no record can fill is empty."""
    schema = with_views(arrow_schema(dataset))
    absent = [one for one in schema if one.name not in frame.columns]
    given = frame.select(name for name in schema.names if name in frame.columns)
    table = given.to_arrow(compat_level=pl.CompatLevel.newest())
    for one in absent:
        is_list = pa.types.is_list(one.type)
        empty = pa.array([[]], one.type).take([0] * frame.height) if is_list else pa.nulls(frame.height, one.type)
        table = table.append_column(one, empty)
    return table.select(schema.names).cast(schema)


def conflict_rejects(batch: Priced, ids: Iterable[str]) -> list[Reject]:
    """The rejects for rows whose id is stored already with another `created_at`."""
    found = batch.places.filter(pl.col("id").is_in(list(ids)))
    reason = "id is stored already with another created_at"
    return [
        _reject(batch.reads[number], index, BadRecord(reason, identifier))
        for identifier, number, index in found.select("id", PIECE, INDEX).iter_rows()
    ]


def reasons_of(rejects: Iterable[Reject]) -> Counter[str]:
    return Counter(reject.reason for reject in rejects)


def _raw_frames(dataset: Dataset, reads: Sequence[Read], owners: list[Ownership]) -> list[tuple[pl.DataFrame, bool]]:
    """The raw rows of all pieces: a frame for each way in which sources were read (as text, or typed), and whether
    its texts are tidy."""
    alike: dict[object, list[pl.DataFrame]] = {}
    untidy: set[object] = set()
    singles: list[Mapping[str, object]] = []
    for number, piece in enumerate(_pieces(reads)):
        owner = _owner(piece, owners)
        if piece.frame is not None:
            index = pl.col(INDEX).cast(pl.Int64)
            frame = piece.frame.with_columns(_place(PIECE, number), index, _place(OWNER, owner))
            way = tuple(frame.schema.items())
            alike.setdefault(way, []).append(frame)
            if not piece.is_tidy:
                untidy.add(way)
        singles += [{PIECE: number, INDEX: index, OWNER: owner, **row} for index, row in piece.rows]
    frames = [(pl.concat(group) if len(group) > 1 else group[0], way not in untidy) for way, group in alike.items()]
    if singles or not frames:
        whole = raw_schema(dataset) | {PIECE: pl.Int64(), INDEX: pl.Int64(), OWNER: pl.Int64()}
        frames.append((pl.from_dicts(singles, schema=whole) if singles else pl.DataFrame(schema=whole), False))
    return frames


def _pieces(reads: Sequence[Read]) -> list[Piece]:
    return [read.piece for read in reads if read.piece is not None]


def _place(name: str, value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.Int64).alias(name)


def _owner(piece: Piece, owners: list[Ownership]) -> int:
    if piece.owner is None:
        return 0
    for number, owner in enumerate(owners):
        if owner is piece.owner:
            return number
    owners.append(piece.owner)
    return len(owners) - 1


def _bad(reads: Sequence[Read]) -> list[tuple[int, int, BadRecord]]:
    return [(number, index, error) for number, piece in enumerate(_pieces(reads)) for index, error in piece.bad]


def _reject(read: Read, index: int, error: BadRecord) -> Reject:
    if read.piece is None:
        raise ValueError("the end of a source has no records")
    original = read.piece.chunk.originals()[index]
    name = original.format or (read.format.name if read.format else "")
    context = {**read.context, **original.context}
    kept = without_credentials(original.data)
    if kept != original.data:
        # An id that is made of the content must stay the same when the credentials in it are gone.
        made = made_id(base_name_of(original.source or read.source.name), original.record, original.data)
        context.setdefault(DEFAULTS, {"id": made})
        original = replace(original, data=kept)
    return Reject(error.reason, error.detail, original.source or read.source.name, original, name, context)
