"""Any table by a mapping: CSV and its relatives, NDJSON, a JSON array, or Parquet. Source: DECISIONS "--map, --set"."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import cast

from typing_extensions import override

from warehouse.errors import InvalidInput, SourceError, UnknownName
from warehouse.ingest.fields import (
    FIELDS,
    LISTS,
    METADATA_FIELD,
    METADATA_KEY,
    METADATA_VALUE,
    UNIT_NAME,
    UNIT_QUANTITY,
    UNITS_FIELD,
    as_text,
    metadata_lists,
    parse_object,
    unit_lists,
)
from warehouse.ingest.formats.base import Format, ReadOptions, read_rows
from warehouse.ingest.formats.json_columns import fields_of, plan_of, read_chunks, row_of
from warehouse.ingest.formats.metrics import looks_like_metrics
from warehouse.ingest.formats.parquet import parquet_pieces
from warehouse.ingest.framing import BYTE_ORDER_MARK, MAX_RECORD_BYTES
from warehouse.ingest.normalise import UNITS
from warehouse.ingest.opening import Container, Opened, table_header
from warehouse.ingest.records import BadRecord, Original, Piece, RawRow, Singles

_ROWS = 8192
_WHOLES = (METADATA_FIELD, UNITS_FIELD)


class Table(Format):
    name = "table"
    description = "Any CSV, NDJSON or Parquet, with --map COLUMN=FIELD and --set COLUMN=VALUE."

    @override
    def fits(self, opened: Opened, options: ReadOptions) -> bool:
        if options.mapping:
            return True
        return opened.container is Container.TEXT_TABLE and looks_like_metrics(opened.header)

    @override
    def row_of(self, data: bytes, context: Mapping[str, object]) -> RawRow:
        mapping = cast("Mapping[str, str]", context.get("mapping") or {})
        header = context.get("header")
        if not isinstance(header, str):
            return row_of(parse_object(data), mapping)
        names, mark = table_header(header.encode(), tuple(mapping.values()))
        rows = list(csv.reader([data.decode("utf-8", "replace")], delimiter=mark, strict=True))
        return _row(rows[0] if rows else [], names, mapping or _same_names(names))

    @override
    def pieces(self, opened: Opened, options: ReadOptions) -> Iterator[Piece]:
        names = list(opened.header) or fields_of(opened.samples)
        if opened.container is Container.TEXT_TABLE:
            names, _ = table_header(opened.head, tuple(options.mapping.values()))
        mapping = options.mapping or _same_names(names)
        if opened.container is Container.EMPTY:
            return
        check_mapping(mapping, names, options.constants, opened.source.name)
        if opened.container is Container.PARQUET:
            yield from parquet_pieces(opened, mapping)
        elif opened.is_json:
            plan = plan_of(mapping, opened.samples)
            yield from read_chunks(opened.json_chunks(), plan)
        else:
            yield from _text_pieces(opened, mapping)


def check_columns(mapping: Mapping[str, str]) -> None:
    """Nothing, when all mapped names are columns of ours. Raises: UnknownName with near misses, InvalidInput."""
    ours = (*(name for name in FIELDS["generations"] if name not in LISTS), *_WHOLES)
    for name in mapping:
        if name in UNITS:
            raise InvalidInput(f"{name} is no column: say --set {name}={'|'.join(UNITS[name])}.")
        if name not in (*ours, *LISTS):
            raise UnknownName("column", name, ours)


def check_mapping(
    mapping: Mapping[str, str], names: Sequence[str], constants: Mapping[str, str], source_name: str
) -> None:
    """Nothing, when the mapping fits the source. Raises: UnknownName with near misses, InvalidInput, SourceError."""
    check_columns(mapping)
    for field in mapping.values():
        if field not in names:
            raise UnknownName(f"field of {source_name}", field, names)
        if list(names).count(field) > 1:
            raise SourceError(f"{source_name} has the field '{field}' more than once.")
    if "created_at" not in mapping and "created_at" not in constants:
        raise InvalidInput(f"Nothing fills created_at: map it to a field of {source_name}: {', '.join(names)}.")


def _same_names(names: Sequence[str]) -> Mapping[str, str]:
    known = (*FIELDS["generations"], *_WHOLES)
    return {name: name for name in names if name in known}


def _text_pieces(opened: Opened, mapping: Mapping[str, str]) -> Iterator[Piece]:
    names, mark = table_header(opened.head, tuple(mapping.values()))
    rows = _records(opened, mark)
    next(rows, None)
    record = 1
    while True:
        found = list(islice(rows, _ROWS))
        if not found:
            return
        originals = [Original(record + i, offset, data) for i, (offset, data, _) in enumerate(found)]
        fields = {id(original): cells for original, (_, _, cells) in zip(originals, found, strict=True)}
        record += len(found)
        chunk = Singles(opened.source.name, opened.source.base_name, originals)
        yield read_rows(chunk, lambda one, fields=fields: _row(fields[id(one)], names, mapping))


def _row(cells: list[str] | BadRecord, names: Sequence[str], mapping: Mapping[str, str]) -> RawRow:
    if isinstance(cells, BadRecord):
        raise cells
    if len(cells) != len(names):
        raise BadRecord("wrong number of fields", f"{len(cells)} instead of {len(names)}")
    record = dict(zip(names, cells, strict=True))
    row: dict[str, str | list[str] | None] = {
        ours: as_text(ours, record[theirs]) for ours, theirs in mapping.items() if ours not in _WHOLES
    }
    for name in LISTS:
        if name in row:
            row[name] = _list(name, row[name])
    if METADATA_FIELD in mapping:
        row[METADATA_KEY], row[METADATA_VALUE] = metadata_lists(record[mapping[METADATA_FIELD]])
    if UNITS_FIELD in mapping:
        row[UNIT_NAME], row[UNIT_QUANTITY] = unit_lists(record[mapping[UNITS_FIELD]])
    return row


def _list(name: str, text: str | list[str] | None) -> list[str]:
    found = parse_object(b'{"a":' + str(text).encode() + b"}")["a"] if text else []
    if not isinstance(found, list):
        raise BadRecord(f"{name} is not a list")
    return [as_text(name, item) or "" for item in cast("list[object]", found)]


class _Lines:
    """The lines of a stream as text, remembering the bytes of those that were taken since the last `take`."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._taken: list[bytes] = []
        self._offset = 0

    def __iter__(self) -> Iterator[str]:
        rest = b""
        is_first = True
        for block in self._blocks:
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_RECORD_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                yield self._text(line + b"\n", is_first=is_first)
                is_first = False
        if rest:
            yield self._text(rest, is_first=is_first)

    def _text(self, line: bytes, *, is_first: bool) -> str:
        self._taken.append(line)
        if is_first:
            line = line.removeprefix(BYTE_ORDER_MARK)
        return line.decode("utf-8", "surrogateescape")

    def take(self) -> tuple[int, bytes]:
        """Where the taken lines begin, and their bytes."""
        data = b"".join(self._taken)
        self._taken = []
        offset = self._offset
        self._offset += len(data)
        return offset, data


def _records(opened: Opened, mark: str) -> Iterator[tuple[int, bytes, list[str] | BadRecord]]:
    """(offset, bytes, fields) of each record, the header too; blank lines are none."""
    lines = _Lines(opened.blocks)
    reader = csv.reader(iter(lines), delimiter=mark, strict=True)
    while True:
        try:
            cells: list[str] | BadRecord | None = next(reader, None)
        except csv.Error as error:
            cells = BadRecord("not a valid line of a table", str(error))
        if cells is None:
            return
        offset, data = lines.take()
        if cells == [] or (isinstance(cells, list) and not any(cell.strip() for cell in cells)):
            continue
        if isinstance(cells, list) and not data.isascii() and _is_broken(cells):
            cells = BadRecord("not valid UTF-8")
        yield offset, data.rstrip(b"\r\n"), cells


def _is_broken(cells: list[str]) -> bool:
    return any("\udc80" <= mark <= "\udcff" for cell in cells for mark in cell)
