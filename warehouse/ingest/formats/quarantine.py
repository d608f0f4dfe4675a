"""A file of the quarantine, loaded again: each record is read the way it was read the first time."""

from collections.abc import Iterator, Mapping

from typing_extensions import override

from warehouse.ingest.fields import parse_object
from warehouse.ingest.formats.base import Format, ReadOptions
from warehouse.ingest.formats.envelopes import Kept, Lookup, read_kept
from warehouse.ingest.opening import Opened
from warehouse.ingest.quarantine import VERSION_FIELD, original_of
from warehouse.ingest.records import BadRecord, Original, Piece, RawRow


class QuarantineFile(Format):
    name = "quarantine"
    description = "A quarantine file of an earlier load, once the reason is gone."

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    @override
    def fits(self, opened: Opened, options: ReadOptions) -> bool:
        return opened.is_json and any(VERSION_FIELD in record for record in opened.samples)

    @override
    def row_of(self, data: bytes, context: Mapping[str, object]) -> RawRow:
        raise BadRecord("a quarantine entry within a quarantine entry")

    @override
    def pieces(self, opened: Opened, options: ReadOptions) -> Iterator[Piece]:
        for chunk in opened.json_chunks():
            kept = [_kept(original) for original in chunk.originals()]
            yield from read_kept(chunk.source_name, chunk.base_name, kept, self._lookup)


def _kept(line: Original) -> Kept:
    try:
        return Kept(original_of(parse_object(line.data)))
    except BadRecord as error:
        return Kept(line, error=error)
