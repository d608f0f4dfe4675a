"""What travels from a source to the normaliser: records as they came, and why one cannot be a row."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset
from warehouse.ingest.ownership import Ownership

RawRow = Mapping[str, str | list[str] | None]
"""A record as text by raw column; what a text means is the normaliser's business."""


class BadRecord(Exception):
    """A record that cannot be a row. `reason` is one of few, `detail` says what was found."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it came: its number in the source (from 1), its place in the decompressed bytes, its bytes."""

    record: int
    offset: int | None
    data: bytes
    source: str = ""
    """Where it first came from, when that is not the source it was read from."""
    format: str = ""
    """What it is, when that is not what its source is."""
    context: Mapping[str, object] = field(default_factory=dict[str, object])
    """What else must be known to read it again."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that goes to quarantine."""

    reason: str
    detail: str
    source: str
    original: Original
    format: str
    context: Mapping[str, object] = field(default_factory=dict[str, object])
    """How the record was read (mapping, constants, header), so that it can be read again."""


class Chunk(ABC):
    """Some consecutive records of one source, still with their bytes."""

    source_name: str
    base_name: str

    @property
    @abstractmethod
    def count(self) -> int:
        """How many records it holds."""

    @property
    @abstractmethod
    def size(self) -> int:
        """About how many bytes it keeps in memory."""

    @abstractmethod
    def originals(self) -> Sequence[Original]:
        """The records as they came, in order; made when asked for."""


@dataclass(frozen=True)
class Singles(Chunk):
    """Records that were not cut from the bytes of their source: kept ones, or none at all."""

    source_name: str
    base_name: str
    items: Sequence[Original]

    @property
    def count(self) -> int:
        return len(self.items)

    @property
    def size(self) -> int:
        return sum(len(item.data) for item in self.items)

    def originals(self) -> Sequence[Original]:
        return self.items


@dataclass(frozen=True)
class Piece:
    """What a format made of a chunk: rows as text, by frame or one by one, and what it had to refuse."""

    chunk: Chunk
    frame: pl.DataFrame | None
    """Columns: raw columns, all text, and `_index`: the position of the record within the chunk."""
    rows: Sequence[tuple[int, RawRow]] = ()
    """(position within the chunk, row)."""
    bad: Sequence[tuple[int, BadRecord]] = ()
    dataset: Dataset = GENERATIONS
    owner: Ownership | None = None
    """Whose the rows are, where that is not the loader's to say."""
    is_tidy: bool = False
    """No text of the frame is blank or too long: nobody needs to look again."""

    @property
    def height(self) -> int:
        return (self.frame.height if self.frame is not None else 0) + len(self.rows)
