"""A source opened: what it holds is told by its first bytes, not by its name."""

import csv
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import SourceError
from warehouse.ingest.fields import parse_json
from warehouse.ingest.framing import BYTE_ORDER_MARK, MAX_RECORD_BYTES, JsonLines, is_lines, line_chunks, value_chunks
from warehouse.ingest.records import BadRecord
from warehouse.ingest.source import BLOCK_BYTES, Counted, PlainBlocks, Source, SourceDamaged

HEAD_BYTES = 256 << 10
_SAMPLES = 50
_PARQUET = b"PAR1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
DELIMITERS = ",;\t|"


class UnfitSource(SourceError):
    """A source that can be read but holds nothing we know; `head` is its start."""

    def __init__(self, message: str, head: bytes) -> None:
        self.head = head
        super().__init__(message)


class Container(StrEnum):
    """How records lie in a source."""

    JSON_LINES = "JSON lines"
    JSON_VALUES = "JSON"
    TEXT_TABLE = "CSV"
    PARQUET = "Parquet"
    EMPTY = "empty"


@dataclass
class Opened:
    """An open source: its container, what its first records look like, and its blocks from the start."""

    source: Source
    container: Container
    samples: Sequence[Mapping[str, object]]
    """The first JSON objects that could be read."""
    header: Sequence[str]
    """Field names of a table."""
    header_line: str
    """The first line of a text table."""
    head: bytes
    blocks: Iterator[bytes]
    parquet: pq.ParquetFile | None
    close: Callable[[], None]
    plain: PlainBlocks | None = None

    @property
    def damage(self) -> SourceDamaged | None:
        """What ended the source early, known once its records are read."""
        return self.plain.damage if self.plain else None

    @property
    def is_json(self) -> bool:
        return self.container in {Container.JSON_LINES, Container.JSON_VALUES}

    def json_chunks(self) -> Iterator[JsonLines]:
        """The records of JSON text, in chunks."""
        cut = line_chunks if self.container is Container.JSON_LINES else value_chunks
        return cut(self.source.name, self.source.base_name, self.blocks)


def open_source(source: Source, on_read: Callable[[int], None]) -> Opened:
    """The source, open. `on_read` is told the stored bytes as they are read.

    Raises: SourceError when it cannot be opened or is no text; SourceDamaged when even its start cannot be read.
    """
    stack = ExitStack()
    try:
        return _open(source, on_read, stack)
    except BaseException:
        stack.close()
        raise


def _open(source: Source, on_read: Callable[[int], None], stack: ExitStack) -> Opened:
    try:
        stream = stack.enter_context(source.open())
        first = stream.read(HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{source.name} cannot be read: {error}") from error
    if first.startswith(_PARQUET):
        on_read(source.size or 0)
        file = _parquet(source, first, stream, stack)
        return Opened(source, Container.PARQUET, (), file.schema_arrow.names, "", b"", iter(()), file, stack.close)
    on_read(len(first))
    plain = PlainBlocks(cast("BinaryIO", Counted(stream, on_read)), first)
    head, blocks = _head(plain)
    if plain.damage is not None and not head:
        raise plain.damage
    container = _container(source, head)
    samples = _samples(head, container) if container in {Container.JSON_LINES, Container.JSON_VALUES} else ()
    header, line = (table_header(head)[0], first_line(head)) if container is Container.TEXT_TABLE else ((), "")
    return Opened(source, container, samples, header, line, head, blocks, None, stack.close, plain)


def _parquet(source: Source, first: bytes, stream: BinaryIO, stack: ExitStack) -> pq.ParquetFile:
    if not stream.seekable():
        # A Parquet file starts at its end: a stream that only runs forward goes through the disk.
        copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        copy.write(first)
        while block := stream.read(BLOCK_BYTES):
            copy.write(block)
        stream = cast("BinaryIO", copy)
    stream.seek(0)
    try:
        return pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise UnfitSource(f"{source.name} starts like a Parquet file but is none: {error}", first) from error


def _head(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Enough of the start to hold a whole line, and all blocks again."""
    read: list[bytes] = []
    size = 0
    for block in blocks:
        read.append(block)
        size += len(block)
        if size >= HEAD_BYTES and (b"\n" in block or size >= MAX_RECORD_BYTES):
            break
    return b"".join(read), chain(read, blocks)


def _container(source: Source, head: bytes) -> Container:
    if head.startswith(_UTF_16):
        raise UnfitSource(f"{source.name} is neither UTF-8 text nor Parquet.", head)
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if not text:
        return Container.EMPTY
    if text[:1] == b"[" or text[:1] == b"{":
        return Container.JSON_LINES if is_lines(text) else Container.JSON_VALUES
    if any(line.lstrip()[:1] == b"{" for line in text.split(b"\n", _SAMPLES)[:_SAMPLES]):
        return Container.JSON_LINES
    if b"\x00" in head[:1024]:
        raise UnfitSource(f"{source.name} is neither UTF-8 text nor Parquet.", head)
    return Container.TEXT_TABLE


def _samples(head: bytes, container: Container) -> Sequence[Mapping[str, object]]:
    cut = line_chunks if container is Container.JSON_LINES else value_chunks
    found: list[Mapping[str, object]] = []
    originals = (original for chunk in cut("", "", [head]) for original in chunk.originals())
    for original in islice(originals, _SAMPLES):
        try:
            value = parse_json(original.data)
        except BadRecord:
            continue
        if isinstance(value, dict):
            found.append(cast("Mapping[str, object]", value))
    return found


def first_line(head: bytes) -> str:
    """The first line that is not blank."""
    line = next((line for line in head.removeprefix(BYTE_ORDER_MARK).splitlines() if line.strip()), b"")
    return line.decode("utf-8", "replace")


def table_header(head: bytes, wanted: Sequence[str] = ()) -> tuple[list[str], str]:
    """Field names and delimiter of a text table, judged by its first line.

    The delimiter is the one that finds all `wanted` names, else the one that finds most names.
    """
    text = first_line(head)
    found = {mark: [name.strip() for name in next(csv.reader([text], delimiter=mark), [])] for mark in DELIMITERS}
    for mark, names in found.items():
        if wanted and set(wanted) <= set(names):
            return names, mark
    mark = max(found, key=lambda one: len(found[one]))
    return found[mark], mark
