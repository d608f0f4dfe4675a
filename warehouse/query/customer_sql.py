"""A caller's own SELECT over its own rows.

The views `generations` and `feedbacks` are put in as trees: each name after FROM that is one becomes a subquery that
holds the rows of the caller's scope and nothing else. Such a subquery ends in a limit that no row count reaches, so
that no engine moves a condition of the caller below it: else one that fails on some values (a cast, say) would be
tried on rows of other tenants, and its error would tell of them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import column, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.errors import InvalidInput, UnknownName
from warehouse.query import conditions
from warehouse.query.customer_functions import AS_LIST, PREFIX, spelled
from warehouse.query.customer_grammar import DIALECT, check, check_text, check_written_out, parse, refused
from warehouse.query.scope import TenantScope

Value = str | int | float | bool | None | Sequence[str | int | float | bool]

_HIDDEN = frozenset(
    {"batch_id", "ingest_source", "internal_trace_id", "ai_org_auth_hash", "license_id", "log_store_file_path_format"}
)
"""Columns that tell how gateledger and the gateway work, not what was asked of a model."""

VIEWS: Mapping[str, tuple[Column, ...]] = {
    dataset.name: tuple(each for each in dataset.columns if each.name not in _HIDDEN)
    for dataset in (GENERATIONS, FEEDBACKS)
}
_DATASETS: Mapping[str, Dataset] = {GENERATIONS.name: GENERATIONS, FEEDBACKS.name: FEEDBACKS}
VIEW_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "VARCHAR",
    Kind.TEXT_LIST: "VARCHAR[]",
    Kind.INTEGER: "BIGINT",
    Kind.FLOAT: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.INSTANT: "TIMESTAMP",
    Kind.MONEY: "DECIMAL(38, 12)",
}
_SCHEMA: dict[str, dict[str, str]] = {
    name: {each.name: VIEW_TYPES[each.kind] for each in columns} for name, columns in VIEWS.items()
}
_UNKNOWN_COLUMN = re.compile(r"(Unknown column: |Column ')(?P<name>[^']*?)('| |$)")
_BARRIER = exp.Literal.number(10**12)
_MOST_WRITTEN_OUT = 20_000
"""Parts of a query once the names of its columns are written out where others use them."""
_MOST_VALUES = 1_000
_WITH = "gl_with_"


@dataclass(frozen=True, slots=True)
class CustomerQuery:
    """One SELECT as a caller wrote it, and whose rows it is about."""

    scope: TenantScope
    sql: str
    now: datetime
    limit: int
    parameters: Mapping[str, Value] = field(default_factory=dict[str, Value])
    window: Window = Window()
    """The views hold only rows of this time."""


@dataclass(frozen=True, slots=True)
class CustomerAnswer:
    """At most `limit` rows; `truncated` when there are more."""

    rows: pa.Table
    truncated: bool


def run_customer(engine: Engine, query: CustomerQuery, limits: Limits) -> CustomerAnswer:
    """The answer to a caller's SELECT.

    Raises: InvalidInput, QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    tree, names = compile_customer(query)
    fenced = replace(limits, fenced=True, rows=query.limit + 1)
    rows = engine.query(spelled(tree, engine.dialect), query.window, fenced)
    return CustomerAnswer(rows.rename_columns(names).slice(0, query.limit), rows.num_rows > query.limit)


def compile_customer(query: CustomerQuery) -> tuple[exp.Query, list[str]]:
    """The tree over the scope's rows, its functions not yet spelled, and the names of its columns.

    Raises: InvalidInput.
    """
    root = parse(query.sql)
    _bind(root, query.parameters)
    tree = check(root)
    _bind_now(tree, query.now)
    written = _names_as_written(tree)
    _Names().resolve(tree, {})
    _check_growth(tree)
    tree = _qualified(tree)
    check_written_out(tree)
    names = [written.get(name, name) for name in tree.named_selects]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"sql: two columns are named {twice[0]!r}; give one another name with AS")
    _limit(tree, query.limit)
    _put_in_scope(tree, query)
    return tree, names


def _bind(root: exp.Expr, values: Mapping[str, Value]) -> None:
    """Each `:name` becomes a literal of the tree; a list becomes the items of IN (…)."""
    used: set[str] = set()
    for node in list(root.find_all(exp.Placeholder)):
        name = str(node.this or "")
        if not name or name not in values:
            raise InvalidInput(f"parameters: the query names :{name or '?'}; given: {', '.join(values) or 'none'}")
        used.add(name)
        value = values[name]
        if isinstance(value, Sequence) and not isinstance(value, str):
            _bind_list(node, name, value)
        else:
            node.replace(_literal(name, value))
    if unused := sorted(values.keys() - used):
        raise InvalidInput(f"parameters: the query does not name :{unused[0]}")


def _bind_list(node: exp.Placeholder, name: str, values: Sequence[Value]) -> None:
    if not isinstance(node.parent, exp.In) or node.arg_key != "expressions":
        raise InvalidInput(f"parameters.{name}: a list can only stand in IN (:{name})")
    if not 1 <= len(values) <= _MOST_VALUES:
        raise InvalidInput(f"parameters.{name}: from 1 to {_MOST_VALUES} values, not {len(values)}")
    place = node.parent
    others = [each for each in place.expressions if each is not node]
    place.set("expressions", [*others, *(_literal(name, value) for value in values)])


def _literal(name: str, value: Value) -> exp.Expr:
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, str):
        check_text(f"parameters.{name}", value)
        return text(value)
    if (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) >= 2**63):
        raise InvalidInput(f"parameters.{name}: a number of at most 64 bits is required")
    if not isinstance(value, int | float):
        raise InvalidInput(f"parameters.{name}: a text, a number, true, false, null or a list of such is required")
    number = exp.Literal.number(repr(abs(value)))
    return exp.paren(exp.Neg(this=number)) if value < 0 else number


def _bind_now(tree: exp.Query, now: datetime) -> None:
    """One present for the whole query: the request's."""
    for node in list(tree.find_all(exp.CurrentTimestamp, exp.CurrentDate, exp.Anonymous)):
        instant = text(now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3])
        if isinstance(node, exp.CurrentTimestamp) or node.this == PREFIX + "now":
            node.replace(exp.cast(instant, "TIMESTAMP"))
        elif isinstance(node, exp.CurrentDate) or node.this == PREFIX + "today":
            node.replace(exp.cast(text(instant.name[:10]), "DATE"))


def _names_as_written(tree: exp.Query) -> dict[str, str]:
    """The names of the answer's columns as the caller wrote them, by their lower case."""
    first: exp.Expr = tree
    while not isinstance(first, exp.Select):
        first = first.this
    return {each.alias.lower(): each.alias for each in first.expressions if isinstance(each, exp.Alias)}


class _Names:
    """Gives every common table a name that is no table's, and every name after FROM its meaning.

    So a common table named `generations` hides the view where SQL says so, and where it cannot be seen its name
    means nothing that an engine could know.
    """

    def __init__(self) -> None:
        self._count = 0

    def resolve(self, node: exp.Expr, known: Mapping[str, str]) -> None:
        """Resolves the names below `node`, where the common tables `known` can be seen."""
        if isinstance(node, exp.Table):
            self._table(node, known)
            return
        with_ = node.args.get("with_")
        if isinstance(with_, exp.With):
            known = self._common(with_, dict(known))
        for child in node.iter_expressions():
            if child is not with_:
                self.resolve(child, known)

    def _common(self, with_: exp.With, known: dict[str, str]) -> dict[str, str]:
        names: set[str] = set()
        for table in with_.expressions:
            name = table.alias.lower()
            if name in names:
                raise InvalidInput(f"sql: WITH names {name} twice")
            names.add(name)
            self.resolve(table.this, known)
            self._count += 1
            known = {**known, name: f"{_WITH}{self._count}"}
            table.set("alias", exp.TableAlias(this=exp.to_identifier(known[name])))
        return known

    def _table(self, table: exp.Table, known: Mapping[str, str]) -> None:
        name = table.name.lower()
        if name not in known and name not in VIEWS:
            raise refused(table, f"there is no such view; allowed: {', '.join((*VIEWS, *known))}")
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
        table.set("this", exp.to_identifier(known.get(name, name), quoted=True))


def _check_growth(tree: exp.Query) -> None:
    """A name of a column that is used in the same SELECT is written out: a chain of them doubles at every step."""
    for select in tree.find_all(exp.Select):
        sizes: dict[str, int] = {}

        def size(of: exp.Expr, sizes: dict[str, int] = sizes) -> int:
            own = sum(1 for _ in of.walk())
            named = (each for each in of.find_all(exp.Column) if not each.table)
            return own + sum(sizes.get(each.name.lower(), 0) for each in named)

        total = 0
        for each in select.expressions:
            grown = size(each)
            sizes[each.alias.lower()] = grown
            total += grown
        total += sum(
            size(select.args[name]) for name in ("where", "group", "having", "qualify") if select.args.get(name)
        )
        if total > _MOST_WRITTEN_OUT:
            raise InvalidInput("sql: names of columns are used in one another too often; use WITH for the steps")


def _qualified(tree: exp.Query) -> exp.Query:
    """The tree with every column under its table's name, every `*` written out, and names in lower case."""
    try:
        done = qualify(tree, dialect=DIALECT, schema={**_SCHEMA}, quote_identifiers=True, validate_qualify_columns=True)
    except SqlglotError as error:
        told = " ".join(str(error).split())
        unknown = _UNKNOWN_COLUMN.match(told)
        if unknown is None:
            raise InvalidInput(f"sql: {told[:200]}") from None
        known = dict.fromkeys(name for columns in _SCHEMA.values() for name in columns)
        raise UnknownName("column", unknown["name"][:80], known) from None
    except RecursionError:
        raise InvalidInput("sql: it is nested too deep") from None
    return done


def _limit(tree: exp.Query, most: int) -> None:
    """One row more than the answer may have, so that it shows whether there are more."""
    limit = tree.args.get("limit")
    rows = most + 1
    if isinstance(limit, exp.Limit):
        rows = min(rows, int(limit.expression.name))
    tree.set("limit", exp.Limit(expression=exp.Literal.number(rows)))


def _put_in_scope(tree: exp.Query, query: CustomerQuery) -> None:
    used = {each.name for each in tree.find_all(exp.Column)}
    for table in list(tree.find_all(exp.Table)):
        if table.name.startswith(_WITH):
            continue
        view = exp.Subquery(this=_scoped(_DATASETS[table.name], query, used), alias=table.args["alias"])
        table.replace(view)


def _scoped(dataset: Dataset, query: CustomerQuery, used: set[str]) -> exp.Select:
    columns = [each for each in VIEWS[dataset.name] if each.name in used or each.name == dataset.id_column]
    tree = exp.select(*(_projected(each) for each in columns)).from_(scan(dataset.name, query.window))
    within = conditions.within_windows(dataset.time_column, [query.window])
    return tree.where(conditions.within_scope(query.scope), within).limit(_BARRIER)


def _projected(of: Column) -> exp.Expr:
    value: exp.Expr = column(of.name)
    if of.kind is Kind.MONEY:
        value = exp.cast(value, VIEW_TYPES[Kind.MONEY])
    elif of.kind is Kind.TEXT_LIST:
        value = exp.Anonymous(this=AS_LIST, expressions=[value])
    return exp.alias_(value, of.name, quoted=True)
