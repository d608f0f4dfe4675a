"""Arrow schemas of the datasets, derived from the catalog, and rows brought to them."""

import pyarrow as pa

from warehouse.catalog.model import Dataset, Kind
from warehouse.errors import InvalidInput

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


def with_views(schema: pa.Schema) -> pa.Schema:
    """The schema with its texts as views, as Polars keeps them: given and written without a copy."""
    return pa.schema([field.with_type(pa.string_view()) if _is_text(field) else field for field in schema])


def conform(dataset: Dataset, rows: pa.Table, *, views: bool = False) -> pa.Table:
    """The rows with exactly the dataset's columns and types, in catalog order; with `views` all its texts are such
    where those of the rows are.

    Raises: InvalidInput when a column is missing or unknown, or a value does not fit.
    """
    schema = arrow_schema(dataset)
    if views and any(pa.types.is_string_view(kind) for kind in rows.schema.types):
        schema = with_views(schema)
    if rows.schema.equals(schema):
        return rows
    missing = sorted(set(schema.names) - set(rows.schema.names))
    unknown = sorted(set(rows.schema.names) - set(schema.names))
    if missing or unknown or len(rows.schema.names) != len(schema.names):
        raise InvalidInput(
            f"rows of {dataset.name} need exactly its columns; missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}"
        )
    try:
        return rows.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(f"rows of {dataset.name} do not have its types: {error}") from error


def check_keys(dataset: Dataset, rows: pa.Table) -> None:
    """Nothing, when every row has an id and an instant. Raises: InvalidInput."""
    for name in filter(None, (dataset.time_column, dataset.id_column)):
        absent = rows.column(name).null_count
        if absent:
            raise InvalidInput(f"{absent} rows of {dataset.name} have no {name}, which every row needs")


def _is_text(field: pa.Field) -> bool:
    return pa.types.is_string(field.type)
