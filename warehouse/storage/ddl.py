"""ClickHouse statements that make and change the tables of a dataset, as sqlglot trees derived from the catalog.

One catalog, three shapes (dataplane 4.4): plain MergeTree on one server; ReplicatedMergeTree; and with sharding
`<table>_local` on every shard with a Distributed `<table>` in front. A name in `Topology.cluster` adds ON CLUSTER.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from warehouse.catalog.model import Column, Dataset, Kind, Operator, Origin
from warehouse.errors import ConfigurationError
from warehouse.storage.tables import MONEY_PRECISION, MONEY_SCALE, MONEY_SUM_PRECISION

DIALECT = "clickhouse"
LOCAL = "_local"
REPLICA_PATH = "/clickhouse/tables/{shard}/{database}/{table}"
DEDUPLICATION_WINDOW = 1000
"""Inserts per table whose token is remembered."""

_FEW_VALUES = "LowCardinality(Nullable(String))"
_NULLABLE: dict[Kind, str] = {
    Kind.TEXT: "Nullable(String)",
    Kind.TEXT_LIST: "Array(String)",
    Kind.INTEGER: "Nullable(Int64)",
    Kind.FLOAT: "Nullable(Float64)",
    Kind.BOOLEAN: "Nullable(Bool)",
    Kind.INSTANT: "Nullable(DateTime64(3, 'UTC'))",
    Kind.DATE: "Nullable(Date32)",
    Kind.MONEY: f"Nullable(Decimal({MONEY_PRECISION}, {MONEY_SCALE}))",
    Kind.MONEY_SUM: f"Nullable(Decimal({MONEY_SUM_PRECISION}, {MONEY_SCALE}))",
}
_REQUIRED: dict[Kind, str] = {Kind.TEXT: "String", Kind.INSTANT: "DateTime64(3, 'UTC')", Kind.DATE: "Date"}


@dataclass(frozen=True, slots=True)
class Topology:
    """How tables lie on servers, and how long rows are kept.

    Raises: ConfigurationError for shards without the name of their cluster.
    """

    replicated: bool = False
    sharded: bool = False
    cluster: str | None = None
    retention_days: int | None = None

    def __post_init__(self) -> None:
        if self.sharded and not self.cluster:
            raise ConfigurationError("CLICKHOUSE_SHARDING_ENABLED needs CLICKHOUSE_CLUSTER_NAME")

    @property
    def clustered(self) -> bool:
        return self.replicated or self.sharded


ONE_SERVER = Topology()
"""Plain tables, kept for ever."""


def column_type(dataset: Dataset, column: Column) -> exp.DataType:
    """The ClickHouse type of a column.

    Every column is Nullable, as in the lake, but for the id and the time. A list has no NULL in ClickHouse: it
    becomes the empty list. Texts that are grouped or sorted by are dictionary-encoded.
    """
    if column.name in {dataset.id_column, dataset.time_column}:
        text = _REQUIRED[column.kind]
    elif column.kind is Kind.TEXT and column.name in _texts_with_few_values(dataset):
        text = _FEW_VALUES
    else:
        text = _NULLABLE[column.kind]
    return exp.DataType.build(text, dialect=DIALECT)


def table(name: str, database: str | None = None) -> exp.Table:
    """A quoted table name."""
    return exp.table_(
        exp.to_identifier(name, quoted=True), db=exp.to_identifier(database, quoted=True) if database else None
    )


def stored_name(name: str, topology: Topology) -> str:
    """The table that holds the parts: `<name>_local` where a Distributed table stands in front of it."""
    return name + LOCAL if topology.sharded else name


def create_table(dataset: Dataset, database: str, topology: Topology, *, name: str = "") -> list[exp.Create]:
    """The statements that create a dataset's table and the Distributed one in front, by another `name` if given."""
    name = name or dataset.name
    stored = table(stored_name(name, topology), database)
    statements = [
        exp.Create(
            this=exp.Schema(this=stored, expressions=column_definitions(dataset)),
            kind="TABLE",
            exists=True,
            properties=exp.Properties(expressions=[*_on_cluster(topology), *_layout(dataset, topology)]),
        )
    ]
    if topology.sharded:
        engine = _call(
            "Distributed",
            exp.Literal.string(topology.cluster or ""),
            exp.Literal.string(database),
            exp.Literal.string(name + LOCAL),
            _sharding_key(dataset),
        )
        properties = exp.Properties(expressions=[*_on_cluster(topology), exp.EngineProperty(this=engine)])
        schema = exp.Schema(this=table(name, database), expressions=column_definitions(dataset))
        statements.append(exp.Create(this=schema, kind="TABLE", exists=True, properties=properties))
    return statements


def create_incoming(dataset: Dataset, name: str) -> exp.Create:
    """A session's own table in memory with the dataset's columns, gone when the session ends."""
    properties = exp.Properties(
        expressions=[exp.TemporaryProperty(), exp.EngineProperty(this=exp.to_identifier("Memory"))]
    )
    return exp.Create(
        this=exp.Schema(this=table(name), expressions=column_definitions(dataset)), kind="TABLE", properties=properties
    )


def create_lookup(dataset: Dataset, database: str) -> exp.Create:
    """A table that `joinGet` finds a row's columns in by id."""
    engine = _call("Join", exp.var("ANY"), exp.var("LEFT"), _column(str(dataset.id_column)))
    return exp.Create(
        this=exp.Schema(this=table(dataset.name, database), expressions=column_definitions(dataset)),
        kind="TABLE",
        properties=exp.Properties(expressions=[exp.EngineProperty(this=engine)]),
    )


def add_columns(dataset: Dataset, columns: Sequence[Column], database: str, topology: Topology) -> list[exp.Alter]:
    """The statements that add columns to a dataset's tables; rows that are there read NULL."""
    definitions = [_definition(dataset, column) for column in columns]
    for definition in definitions:
        definition.set("exists", True)
    names = dict.fromkeys((stored_name(dataset.name, topology), dataset.name))
    return [_alter(name, [each.copy() for each in definitions], database, topology) for name in names]


def set_retention(dataset: Dataset, database: str, topology: Topology) -> exp.Alter | None:
    """The statement that sets how long rows are kept; None where nothing is to be set."""
    ttl = _ttl(dataset, topology)
    if ttl is None:
        return None
    action = exp.AlterModifySqlSecurity(expressions=[ttl])  # sqlglot's name for everything that MODIFY takes
    return _alter(stored_name(dataset.name, topology), [action], database, topology)


def drop_table(name: str, database: str, topology: Topology) -> list[exp.Drop]:
    """The statements that remove a table with all it holds."""
    names = dict.fromkeys((name, stored_name(name, topology)))
    return [drop_stored(each, database, topology) for each in names]


def drop_stored(name: str, database: str, topology: Topology) -> exp.Drop:
    """The statement that removes exactly this table, on every shard."""
    cluster = _cluster(_shards_only(topology))
    return exp.Drop(tables=[table(name, database)], kind="TABLE", exists=True, sync=True, cluster=cluster)


def replace_partition(dataset: Dataset, partition: str, staging: str, database: str, topology: Topology) -> exp.Alter:
    """The statement that swaps one partition for the one of the staging table, at once."""
    action = exp.ReplacePartition(
        expression=exp.Partition(expressions=[exp.Literal.string(partition)]),
        source=table(stored_name(staging, topology), database),
    )
    return _alter(stored_name(dataset.name, topology), [action], database, _shards_only(topology))


def drop_partition(dataset: Dataset, partition: str, database: str, topology: Topology) -> exp.Alter:
    """The statement that empties one partition."""
    partitions = [exp.Partition(expressions=[exp.Literal.string(partition)])]
    action = exp.DropPartition(expressions=partitions)
    return _alter(stored_name(dataset.name, topology), [action], database, _shards_only(topology))


def sync_replicas(name: str, database: str, topology: Topology) -> exp.Command:
    """The statement that waits until every replica has what was inserted (before parts of it move elsewhere)."""
    words = ["SYNC", "REPLICA"]
    if topology.cluster:
        words += ["ON", "CLUSTER", exp.to_identifier(topology.cluster, quoted=True).sql(dialect=DIALECT)]
    words.append(table(stored_name(name, topology), database).sql(dialect=DIALECT))
    return exp.Command(this="SYSTEM", expression=" ".join(words))


def column_definitions(dataset: Dataset) -> list[exp.Expr]:
    """Name and type of each column, in catalog order."""
    return [_definition(dataset, column) for column in dataset.columns]


def _definition(dataset: Dataset, column: Column) -> exp.ColumnDef:
    return exp.ColumnDef(this=exp.to_identifier(column.name, quoted=True), kind=column_type(dataset, column))


def _texts_with_few_values(dataset: Dataset) -> set[str]:
    by_case = {name for f in dataset.filters if f.operator is Operator.ONE_OF_IGNORING_CASE for name in f.columns}
    return {*dataset.sort_by, *(dimension.column for dimension in dataset.dimensions), *by_case}


def _layout(dataset: Dataset, topology: Topology) -> Iterable[exp.Expr]:
    time = dataset.column(dataset.time_column)
    name = "MergeTree"
    engine = _call(name)
    if topology.replicated:
        engine = _call("Replicated" + name, exp.Literal.string(REPLICA_PATH), exp.Literal.string("{replica}"))
    yield exp.EngineProperty(this=engine)
    yield exp.PartitionedByProperty(
        this=_call("toYYYYMM", _column(time.name)) if time.kind is Kind.INSTANT else _column(time.name)
    )
    key = exp.Tuple(expressions=[_sort_key(dataset, name) for name in dataset.sort_by])
    yield exp.Order(expressions=[key])
    ttl = _ttl(dataset, topology)
    if ttl is not None:
        yield ttl
    settings = {"allow_nullable_key": 1, "fsync_after_insert": 1, "fsync_part_directory": 1}
    if not topology.replicated:
        settings["non_replicated_deduplication_window"] = DEDUPLICATION_WINDOW
    yield exp.SettingsProperty(expressions=[assignment(name, value) for name, value in settings.items()])


def assignment(name: str, value: float | str) -> exp.EQ:
    """A setting with its value, for a SETTINGS clause."""
    literal = exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(value)
    return exp.EQ(this=exp.column(exp.to_identifier(name)), expression=literal)


def _sort_key(dataset: Dataset, name: str) -> exp.Expr:
    if name == dataset.time_column and dataset.column(name).kind is Kind.INSTANT:
        return _call("toStartOfHour", _column(name))
    return _column(name)


def _sharding_key(dataset: Dataset) -> exp.Expr:
    # A derived day stays whole on one shard, so that replacing it is one step; rows spread by id.
    if dataset.id_column is None:
        return _call("toRelativeDayNum", _column(dataset.time_column))
    return _call("cityHash64", _column(dataset.id_column))


def kept_days(dataset: Dataset, topology: Topology) -> int | None:
    """For how many days from its time a row of the dataset is kept; None for ever."""
    # Only what gateways sent ages: the books of loads and log objects must outlive the rows they vouch for.
    of_gateways = any(column.origin is Origin.GATEWAY for column in dataset.columns)
    ages = dataset.holds_rows or (dataset.id_column is not None and of_gateways)
    if topology.retention_days is None or not ages:
        return None
    # A derived day goes with the last of its rows, and whole.
    return topology.retention_days + (dataset.id_column is None)


def _ttl(dataset: Dataset, topology: Topology) -> exp.MergeTreeTTL | None:
    days = kept_days(dataset, topology)
    if days is None:
        return None
    kept = exp.Interval(this=exp.Literal.number(days), unit=exp.var("DAY"))
    expires = exp.Add(this=_call("toDateTime", _column(dataset.time_column)), expression=kept)
    return exp.MergeTreeTTL(expressions=[expires])


def _alter(name: str, actions: Sequence[exp.Expr], database: str, topology: Topology) -> exp.Alter:
    return exp.Alter(this=table(name, database), kind="TABLE", actions=list(actions), cluster=_cluster(topology))


def _shards_only(topology: Topology) -> Topology:
    # Replicas of one shard copy a partition's change by themselves; only other shards have to be told.
    return topology if topology.sharded else ONE_SERVER


def _cluster(topology: Topology) -> exp.OnCluster | None:
    return exp.OnCluster(this=exp.to_identifier(topology.cluster, quoted=True)) if topology.cluster else None


def _on_cluster(topology: Topology) -> list[exp.Expr]:
    cluster = _cluster(topology)
    return [cluster] if cluster else []


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))


def _call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))
