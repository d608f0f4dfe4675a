"""The statements that the ClickHouse engine runs for itself: probing ids, storing rows, fingerprints, upkeep."""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlglot import exp

from warehouse.catalog.functions import column
from warehouse.catalog.model import Dataset, Kind
from warehouse.engines.base import EXPECTED, Window
from warehouse.engines.clickhouse_spelling import UTC, function, instant
from warehouse.storage.ddl import DIALECT, Topology, assignment, stored_name, table

INCOMING = "gateledger_incoming"
"""A session's temporary table that holds the rows of one append."""
STAGING = "_staging_"
"""Part of the name of a table that derived days are prepared in."""


def known_rows(dataset: Dataset, days: Sequence[date], topology: Topology) -> exp.Select:
    """Id and time of the stored rows, within those UTC days, whose id is among the incoming ones."""
    wanted = exp.select(_id(dataset)).from_(table(INCOMING))
    # On shards the incoming table exists only where the session is, so its ids have to be sent along.
    within = exp.In(this=_id(dataset), query=exp.Subquery(this=wanted), is_global=topology.sharded)
    names = [
        column
        for column in (dataset.id_column, dataset.time_column, "batch_id")
        if column and dataset.has_column(column)
    ]
    return (
        exp.select(*(column(name) for name in names))
        .from_(table(dataset.name))
        .where(_within_days(dataset, days))
        .where(within)
    )


def store_incoming(dataset: Dataset, days: Sequence[date], topology: Topology, token: str) -> exp.Insert:
    """Moves the incoming rows whose id is not stored yet into the dataset's table, as one block."""
    known = known_rows(dataset, days, topology)
    known.set("expressions", [_id(dataset)])
    columns = [column(each.name) for each in dataset.columns]
    rows = exp.select(*columns).from_(table(INCOMING))
    rows = rows.where(exp.Not(this=exp.In(this=_id(dataset), query=exp.Subquery(this=known))))
    # One block is one part per partition: fewer parts, and a token stands for the same rows each time.
    settings: dict[str, float | str] = {
        "max_insert_threads": 1,
        "min_insert_block_size_rows": 100_000_000,
        "min_insert_block_size_bytes": 0,
        "max_partitions_per_insert_block": 0,
    }
    if topology.clustered:
        settings |= {"insert_deduplicate": 1, "insert_deduplication_token": token}
    if topology.sharded:
        settings["distributed_foreground_insert"] = 1
    target = exp.Schema(
        this=table(dataset.name), expressions=[exp.to_identifier(c.name, quoted=True) for c in dataset.columns]
    )
    return exp.Insert(
        this=target,
        expression=rows,
        settings=exp.SettingsProperty(expressions=[assignment(name, value) for name, value in settings.items()]),
    )


def day_fingerprints(dataset: Dataset, window: Window) -> exp.Select:
    """For each UTC day that holds rows: the day, its rows and a hash that does not depend on their order.

    Rows are added, aged out or rewritten with a new revision, so times and revisions tell: hashing those (narrow)
    columns is enough. A derived day is replaced whole and often keeps its number of rows: there every column counts.
    """
    day = _day(dataset)
    content = column(dataset.time_column)
    if dataset.id_column is None:
        content = function("tuple", *(column(each.name) for each in dataset.columns))
    elif dataset.revision_column is not None:
        content = function("tuple", content, column(dataset.revision_column))
    query = exp.select(
        exp.alias_(day, "day", quoted=True),
        exp.alias_(function("toInt64", function("count")), "rows", quoted=True),
        exp.alias_(function("hex", function("sumWithOverflow", function("cityHash64", content))), "hash", quoted=True),
    )
    query = query.from_(table(dataset.name)).group_by(day.copy())
    if window.since is not None:
        query = query.where(exp.GTE(this=day.copy(), expression=_date(window.since.date())))
    if window.until is not None:
        query = query.where(exp.LTE(this=day.copy(), expression=_date(window.until.date())))
    return query


def set_columns(dataset: Dataset, staged: Dataset, database: str, bounds: tuple[str, str]) -> exp.Alter:
    """The mutation that sets columns of the rows that are staged, where they have the revision that is expected."""
    own = {staged.id_column, staged.time_column, EXPECTED}
    assignments = [
        exp.EQ(this=column(each.name), expression=_looked_up(staged, database, each.name))
        for each in staged.columns
        if each.name not in own
    ]
    revision = column(str(staged.revision_column))
    expected = _looked_up(staged, database, EXPECTED)
    same = exp.EQ(this=revision, expression=expected)
    neither = exp.and_(*(exp.Is(this=each.copy(), expression=exp.Null()) for each in (revision, expected)))
    where = exp.and_(*_staged_rows(dataset, staged, database, bounds), exp.or_(same, neither))
    words = [", ".join(each.sql(dialect=DIALECT) for each in assignments), "WHERE", where.sql(dialect=DIALECT)]
    action = exp.Command(this="UPDATE", expression=" ".join(words))
    return exp.Alter(this=table(dataset.name, database), kind="TABLE", actions=[action])


def count_settled(dataset: Dataset, staged: Dataset, database: str, bounds: tuple[str, str]) -> exp.Select:
    """How many of the staged rows bear their new revision."""
    name = str(staged.revision_column)
    settled = exp.EQ(this=column(name), expression=_looked_up(staged, database, name))
    return count_rows(dataset.name).where(*_staged_rows(dataset, staged, database, bounds), settled)


def _staged_rows(dataset: Dataset, staged: Dataset, database: str, bounds: tuple[str, str]) -> list[exp.Expr]:
    time = column(dataset.time_column)
    first, last = (instant(exp.Literal.string(bound)) for bound in bounds)
    ids = exp.select(_id(staged)).from_(table(staged.name, database))
    return [
        exp.Between(this=time, low=first, high=last),
        exp.In(this=_id(dataset), query=exp.Subquery(this=ids)),
        exp.EQ(this=time.copy(), expression=_looked_up(staged, database, dataset.time_column)),
    ]


def _looked_up(staged: Dataset, database: str, name: str) -> exp.Expr:
    place = exp.Literal.string(f"{database}.{staged.name}")
    return function("joinGet", place, exp.Literal.string(name), _id(staged))


def parts_version(name: str, database: str, topology: Topology) -> exp.Select:
    """Parts and a hash of what they hold: it changes with every insert and replacement, and not when parts merge."""
    parts = table("parts", "system")
    keys: list[exp.Expr] = [column("partition_id")]
    source: exp.Expr = parts
    if topology.sharded:
        source = exp.Table(
            this=function("cluster", exp.Literal.string(topology.cluster or ""), exp.column("parts", table="system"))
        )
        keys.append(function("hostName"))
    # A part that was mutated carries a version above its blocks; else the field only says where it began.
    mutated = exp.GT(this=column("data_version"), expression=column("max_block_number"))
    mutation = function("if", mutated, column("data_version"), exp.Literal.number(0))
    newest = (function("max", column("max_block_number")), function("max", mutation))
    state = function("tuple", *keys, function("sum", column("rows")), *newest)
    per_partition = (
        exp.select(exp.alias_(function("cityHash64", state), "state"), exp.alias_(function("count"), "parts"))
        .from_(source)
        .where(_text_is("database", database), _text_is("table", stored_name(name, topology)), column("active"))
        .group_by(*(key.copy() for key in keys))
    )
    # Partitions differ in their id, so their hashes can be added in any order.
    return exp.select(
        exp.alias_(function("toInt64", function("sum", column("parts"))), "parts", quoted=True),
        exp.alias_(function("hex", function("sumWithOverflow", column("state"))), "hash", quoted=True),
    ).from_(per_partition.subquery("partitions"))


def table_columns(name: str, database: str) -> exp.Select:
    """The columns of a table; none where there is no table."""
    return (
        exp.select(column("name"))
        .from_(table("columns", "system"))
        .where(_text_is("database", database), _text_is("table", name))
    )


def table_definition(name: str, database: str) -> exp.Select:
    """The engine clause of a table as the server prints it."""
    return (
        exp.select(column("engine_full"))
        .from_(table("tables", "system"))
        .where(_text_is("database", database), _text_is("name", name))
    )


def forgotten_staging(database: str, before: str) -> exp.Select:
    """Names of staging tables that nothing has touched since the instant `before`."""
    named = exp.GT(
        this=function("position", column("name"), exp.Literal.string(STAGING)), expression=exp.Literal.number(0)
    )
    old = exp.LT(this=column("metadata_modification_time"), expression=instant(exp.Literal.string(before)))
    return exp.select(column("name")).from_(table("tables", "system")).where(_text_is("database", database), named, old)


def count_rows(name: str) -> exp.Select:
    return exp.select(exp.alias_(function("toInt64", function("count")), "rows", quoted=True)).from_(table(name))


def count_before(dataset: Dataset, before: date) -> exp.Select:
    """How many rows lie on days before `before`."""
    return count_rows(dataset.name).where(_is_before(dataset, before))


def delete_before(dataset: Dataset, before: date, database: str, topology: Topology) -> exp.Alter:
    """The mutation that deletes the rows of days before `before`, on every shard."""
    words = ["WHERE", _is_before(dataset, before).sql(dialect=DIALECT)]
    action = exp.Command(this="DELETE", expression=" ".join(words))
    cluster = exp.OnCluster(this=exp.to_identifier(topology.cluster, quoted=True)) if topology.cluster else None
    stored = table(stored_name(dataset.name, topology), database)
    return exp.Alter(this=stored, kind="TABLE", actions=[action], cluster=cluster)


def _is_before(dataset: Dataset, before: date) -> exp.Expr:
    return exp.LT(this=_day(dataset), expression=_date(before))


def _within_days(dataset: Dataset, days: Sequence[date]) -> exp.Expr:
    time = column(dataset.time_column)
    first, end = instant(_midnight(min(days))), instant(_midnight(max(days) + timedelta(days=1)))
    bounds = exp.and_(exp.GTE(this=time, expression=first), exp.LT(this=time.copy(), expression=end))
    if len(days) == (max(days) - min(days)).days + 1:
        return bounds
    return exp.and_(bounds, exp.In(this=_day(dataset), expressions=[_date(day) for day in days]))


def _day(dataset: Dataset) -> exp.Expr:
    time = column(dataset.time_column)
    return time if dataset.column(dataset.time_column).kind is Kind.DATE else function("toDate", time, UTC.copy())


def _date(day: date) -> exp.Expr:
    return function("toDate", exp.Literal.string(day.isoformat()))


def _midnight(day: date) -> exp.Expr:
    return exp.Literal.string(f"{day.isoformat()} 00:00:00.000")


def _id(dataset: Dataset) -> exp.Column:
    if dataset.id_column is None:
        raise ValueError(f"{dataset.name} is derived: its rows have no id")
    return column(dataset.id_column)


def _text_is(name: str, value: str) -> exp.EQ:
    return exp.EQ(this=column(name), expression=exp.Literal.string(value))
