"""DuckDB's answers in the types every engine gives."""

import re

import pyarrow as pa

from warehouse.errors import QueryTooLarge

_POINTED_AT = re.compile(r"\s*(LINE \d+:|Candidate |Possible solutions|\* ).*", re.DOTALL)
_UTC = pa.timestamp("us", tz="UTC")


def read_answer(reader: pa.RecordBatchReader, most_rows: int | None) -> pa.Table:
    """All rows of an answer, in the types every engine gives. Raises: QueryTooLarge beyond `most_rows`."""
    batches: list[pa.RecordBatch] = []
    count = 0
    for batch in reader:
        count += batch.num_rows
        if most_rows is not None and count > most_rows:
            raise QueryTooLarge(f"the answer has more than {most_rows} rows; narrow it or ask page by page")
        batches.append(batch)
    return _neutral(pa.Table.from_batches(batches, reader.schema))


def fault(said: str) -> str:
    """What DuckDB says is wrong with a caller's query, without the SQL that it was made into."""
    return f"The query cannot be answered: {' '.join(_POINTED_AT.sub('', said).split())[:300]}"


def _neutral(answer: pa.Table) -> pa.Table:
    """The answer in the types every engine gives."""
    schema = pa.schema([pa.field(field.name, _neutral_type(field.type)) for field in answer.schema])
    return answer if answer.schema.equals(schema) else answer.cast(schema)


def _neutral_type(of: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(of):
        return _UTC
    if pa.types.is_integer(of) or (pa.types.is_decimal(of) and of.scale == 0):
        return pa.int64()  # a decimal without a scale is a HUGEINT
    if pa.types.is_floating(of):
        return pa.float64()
    if pa.types.is_list(of):
        return pa.list_(_neutral_type(of.value_type))
    return of
