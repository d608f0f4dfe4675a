"""Analytics rows as the gateway writes them: the contract's columns by name. Source: dataplane contract 4.3."""

from collections.abc import Iterable, Iterator, Mapping

from typing_extensions import override

from warehouse.errors import SourceError
from warehouse.ingest.fields import parse_object
from warehouse.ingest.formats.base import Format, ReadOptions
from warehouse.ingest.formats.json_columns import columns_of, fields_of, plan_of, read_chunks, row_of
from warehouse.ingest.formats.parquet import parquet_pieces
from warehouse.ingest.opening import Container, Opened
from warehouse.ingest.records import Piece, RawRow

_TELLING = {"ai_org", "ai_model", "req_units", "res_units", "total_units", "response_status_code", "is_success"}


def looks_like_metrics(names: Iterable[str]) -> bool:
    """True where field names are those of analytics rows."""
    given = set(names)
    return "created_at" in given and len(given & _TELLING) > 0 and not {"request", "response"} <= given


class Metrics(Format):
    name = "metrics"
    description = "Analytics rows of the gateway: NDJSON, a JSON array, one object, or Parquet."

    @override
    def fits(self, opened: Opened, options: ReadOptions) -> bool:
        if options.mapping or opened.container is Container.TEXT_TABLE:
            return False
        return looks_like_metrics(opened.header or fields_of(opened.samples))

    @override
    def row_of(self, data: bytes, context: Mapping[str, object]) -> RawRow:
        return row_of(parse_object(data), columns_of(self.dataset))

    @override
    def pieces(self, opened: Opened, options: ReadOptions) -> Iterator[Piece]:
        columns = columns_of(self.dataset)
        if opened.container is Container.PARQUET:
            yield from parquet_pieces(opened, columns)
        elif opened.is_json:
            plan = plan_of(columns, opened.samples)
            yield from read_chunks(opened.json_chunks(), plan)
        elif opened.container is not Container.EMPTY:
            raise SourceError(f"{opened.source.name} is {opened.container}; the format metrics is JSON or Parquet.")
