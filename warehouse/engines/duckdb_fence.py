"""What a caller's query may be made of when it comes to DuckDB, by DuckDB's own parser.

The grammar of `warehouse/query/customer_grammar.py` is the first wall. This one knows nothing of it: it looks at the
text that is about to run, as DuckDB itself reads it. Its statement types are no wall: of 2.0, one that writes a file,
`WITH x AS (COPY … TO …) SELECT …`, is a SELECT. So only what is listed here runs, and what a new version adds does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import orjson

from warehouse.errors import InvalidInput

_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE"})
_TABLES = frozenset({"EMPTY", "BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION"})
_PARTS = frozenset({"LIMIT_MODIFIER", "ORDER_MODIFIER", "DISTINCT_MODIFIER"})
_ORDERS = frozenset({"ORDER_DEFAULT", "ASCENDING", "DESCENDING"})
_KINDS = _NODES | _TABLES | _PARTS | _ORDERS
"""Kinds of queries, of what stands after FROM, and of what follows them."""

_CLASSES = frozenset(
    {
        "BETWEEN", "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "OPERATOR",
        "SUBQUERY", "TYPE", "WINDOW",
    }
)  # fmt: skip
"""Kinds of expressions. A parameter is none of them: it is the list of a dataset's files, and stands only there."""

_FUNCTIONS = frozenset(
    {
        "count_star", "count", "sum", "avg", "min", "max", "any_value", "arg_max", "arg_min", "quantile_cont",
        "row_number", "rank", "dense_rank", "lag", "lead", "first_value", "last_value",
        "abs", "ceil", "floor", "round", "sign", "trunc", "greatest", "least", "nullif",
        "lower", "upper", "length", "substr", "left", "right", "replace", "trim", "concat", "starts_with", "ends_with",
        "contains", "regexp_matches", "len", "list_contains", "list_extract", "list_position", "list_value", "row",
        "date_trunc", "date_part", "date_diff", "to_seconds", "to_minutes", "to_hours", "to_days", "to_weeks",
        "to_months", "to_quarters", "to_years",
        "+", "-", "*", "/", "%", "||", "~~", "!~~", "~~*", "!~~*",
    }
)  # fmt: skip
"""Functions and operators that read nothing but their arguments."""
READER = "read_parquet"
_OPTIONS = frozenset({"hive_partitioning", "union_by_name"})

Node = Mapping[str, Any]


def check_fenced(serialized: str) -> None:
    """Nothing, when the query that DuckDB's `json_serialize_sql` tells of only reads the datasets' files.

    Raises: InvalidInput.
    """
    told = orjson.loads(serialized)
    if told.get("error"):
        raise _refused("what is no SELECT")
    if len(told["statements"]) != 1:
        raise _refused("several statements")
    _check(told["statements"][0], frozenset())


def _check(part: object, known: frozenset[str]) -> None:
    """Looks at all parts; `known` are the common tables that can be seen there."""
    if isinstance(part, Sequence) and not isinstance(part, str | bytes):
        for each in cast("Sequence[object]", part):
            _check(each, known)
    elif isinstance(part, Mapping):
        node = cast("Node", part)
        known |= _common_tables(node)
        for each in _children(node, known):
            _check(each, known)


def _common_tables(node: Node) -> set[str]:
    tables = node.get("cte_map")
    return {each["key"] for each in tables["map"]} if isinstance(tables, Mapping) else set()


def _children(node: Node, known: frozenset[str]) -> Iterable[object]:
    """What is below a node that may be there."""
    kind = node.get("type")
    if "class" in node:
        if node["class"] not in _CLASSES:
            raise _refused(f"{node['class']}")
    elif isinstance(kind, str) and kind not in _KINDS:
        raise _refused(kind)
    if kind == "TABLE_FUNCTION" and "class" not in node:
        _check_reader(node)
        return ()
    if kind == "BASE_TABLE" and "class" not in node:
        _check_table(node, known)
    name = node.get("function_name")
    if name is not None and (str(name).lower() not in _FUNCTIONS or node.get("schema") or node.get("catalog")):
        raise _refused(f"the function {name}")
    return node.values()


def _check_table(node: Node, known: frozenset[str]) -> None:
    """A common table of the query: the database has no table of its own, but views that tell of it."""
    path = node["qualified_name"]["path"]
    if len(path) != 1 or path[0] not in known:
        raise _refused(f"the table {'.'.join(path)}")


def _check_reader(node: Node) -> None:
    """The files of a dataset, whose names came beside the text and not in it."""
    function = node["function"]
    arguments = [each["expression"] for each in function["arguments"]]
    is_list = bool(arguments) and arguments[0]["class"] == "PARAMETER"
    if function["qualified_name"]["path"] != [READER] or not is_list:
        raise _refused(f"the function {function['function_name']}")
    for option in arguments[1:]:
        named = option["class"] == "COMPARISON" and option["left"].get("column_names")
        if not named or named[0] not in _OPTIONS or option["right"]["class"] != "CONSTANT":
            raise _refused(f"an option of {READER}")


def _refused(what: str) -> InvalidInput:
    return InvalidInput(f"The query holds {what}, which is not allowed.")
