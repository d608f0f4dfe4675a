"""Records that gateledger wrote into a spool itself, read from their segments."""

from collections.abc import Callable
from typing import TypeVar

from warehouse.ingest.formats.spool import record_of_line
from warehouse.ingest.records import BadRecord, Original, Reject
from warehouse.ingest.source import Source

_Record = TypeVar("_Record")


def own_records(source: Source, form: str, parse: Callable[[bytes], _Record]) -> tuple[list[_Record], list[Reject]]:
    """The records of a segment, in order, and what is none. `parse` raises BadRecord. Raises: SourceError."""
    records: list[_Record] = []
    bad: list[Reject] = []
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            try:
                record = record_of_line(line)
                if record is not None:
                    records.append(parse(record))
            except BadRecord as error:
                if not line.endswith(b"\n"):
                    break  # a write that was cut off by a crash: it was never answered
                bad.append(Reject(error.reason, error.detail, source.name, Original(number, None, line), form))
    return records, bad
