"""Arrow schemas and DDL of the datasets, derived from the catalog."""

import pyarrow as pa

from warehouse.catalog.model import Dataset, Kind

MONEY_PRECISION, MONEY_SUM_PRECISION, MONEY_SCALE = 18, 38, 12

ARROW_TYPES: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.TEXT_LIST: pa.list_(pa.string()),
    Kind.INTEGER: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INSTANT: pa.timestamp("us"),
    Kind.DATE: pa.date32(),
    Kind.MONEY: pa.decimal128(MONEY_PRECISION, MONEY_SCALE),
    Kind.MONEY_SUM: pa.decimal128(MONEY_SUM_PRECISION, MONEY_SCALE),
}
"""An INSTANT is stored without a zone and always means UTC; a MONEY_SUM has room for every row's MONEY."""


def arrow_schema(dataset: Dataset) -> pa.Schema:
    """The Arrow schema of a dataset's rows, in catalog order; every field is nullable."""
    return pa.schema([pa.field(column.name, ARROW_TYPES[column.kind]) for column in dataset.columns])
