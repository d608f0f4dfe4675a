"""What a source format is. A new one is a file beside this one and a line in `registry.py`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset
from warehouse.ingest.fields import parse_object
from warehouse.ingest.identity import made_id
from warehouse.ingest.opening import Container, Opened
from warehouse.ingest.records import BadRecord, Chunk, Original, Piece, RawRow
from warehouse.ingest.source import base_name_of


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How the caller wants a source read: our column → the source's field, and values that hold for every record."""

    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: Mapping[str, str] = field(default_factory=dict[str, str])


class Format(ABC):
    """One kind of record: how it is recognised, and how it becomes raw rows."""

    name: str
    description: str
    dataset: Dataset = GENERATIONS

    @abstractmethod
    def fits(self, opened: Opened, options: ReadOptions) -> bool:
        """True where a source holds records of this format, judged by its first ones."""

    @abstractmethod
    def pieces(self, opened: Opened, options: ReadOptions) -> Iterator[Piece]:
        """The raw rows of a source, chunk by chunk. Raises: SourceError, UnknownName, SourceDamaged."""

    def context(self, opened: Opened, options: ReadOptions) -> Mapping[str, object]:
        """How a source is read, as the quarantine tells it, so that a record can be read again."""
        told: dict[str, object] = {}
        if opened.container is Container.TEXT_TABLE:
            told["header"] = opened.header_line
        if options.mapping:
            told["mapping"] = dict(options.mapping)
        if options.constants:
            told["constants"] = dict(options.constants)
        return told

    @abstractmethod
    def row_of(self, data: bytes, context: Mapping[str, object]) -> RawRow:
        """The raw row of one record that was kept, with the context it was kept with. Raises: BadRecord."""


class RecordFormat(Format):
    """A format whose records are read one by one."""

    @abstractmethod
    def fits_record(self, record: Mapping[str, object]) -> bool:
        """True for a record that looks like one of this format."""

    @abstractmethod
    def row(self, record: Mapping[str, object]) -> RawRow:
        """The raw row of a record. Raises: BadRecord."""

    @override
    def row_of(self, data: bytes, context: Mapping[str, object]) -> RawRow:
        return self.row(parse_object(data))

    @override
    def fits(self, opened: Opened, options: ReadOptions) -> bool:
        return opened.is_json and any(self.fits_record(record) for record in opened.samples)

    @override
    def pieces(self, opened: Opened, options: ReadOptions) -> Iterator[Piece]:
        for chunk in opened.json_chunks():
            yield read_rows(chunk, lambda original: self.row(parse_object(original.data)), dataset=self.dataset)


def read_rows(
    chunk: Chunk,
    row_of: Callable[[Original], RawRow],
    only: Sequence[int] | None = None,
    dataset: Dataset = GENERATIONS,
) -> Piece:
    """A piece of rows made one by one, all of the chunk or those at `only`; rows without an id get one."""
    rows: list[tuple[int, RawRow]] = []
    bad: list[tuple[int, BadRecord]] = []
    originals = chunk.originals()
    for index in range(len(originals)) if only is None else only:
        original = originals[index]
        try:
            row = row_of(original)
        except BadRecord as error:
            bad.append((index, error))
            continue
        identifier = row.get("id")
        if not isinstance(identifier, str) or not identifier.strip():
            base_name = base_name_of(original.source) if original.source else chunk.base_name
            row = {**row, "id": made_id(base_name, original.record, original.data)}
        rows.append((index, row))
    return Piece(chunk, None, rows, bad, dataset)
