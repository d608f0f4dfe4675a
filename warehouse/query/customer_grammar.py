"""The SQL that a caller may write: one SELECT, of nothing but what is listed here.

Text becomes a tree by sqlglot's DuckDB grammar; a tree then holds only the kinds of nodes of `_NODES`, each with only
the parts listed. What is not listed is refused, whatever it is: a new version of the grammar opens no new door.
"""

from collections.abc import Iterator, Mapping

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from warehouse.errors import InvalidInput
from warehouse.query.customer_functions import FUNCTIONS, PARTS, PREFIX, TYPES, UNITS

DIALECT = "duckdb"
LONGEST = 20_000
"""Characters of a query."""
MOST_TOKENS, DEEPEST_PARENTHESES, DEEPEST_TREE, MOST_NODES = 4_000, 24, 150, 8_000
MOST_TABLES, MOST_STARS = 12, 4
"""Names after FROM and JOIN, and `*` that stand for columns: each may multiply the columns of the next."""

_OPENED, _CLOSED = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}, TokenType.R_PAREN
_CALLED = {TokenType.VAR, TokenType.LEFT, TokenType.RIGHT, TokenType.REPLACE, TokenType.FIRST}
_SPECIAL = frozenset({"CAST", "TRY_CAST", "EXTRACT"})

_QUERY = {"with_", "order", "limit", "offset"}
_BINARY = {"this", "expression"}
_NODES: Mapping[type[exp.Expr], set[str]] = {
    exp.Select: _QUERY | {"expressions", "distinct", "from_", "joins", "where", "group", "having", "qualify"},
    exp.Union: _QUERY | _BINARY | {"distinct"},
    exp.Except: _QUERY | _BINARY | {"distinct"},
    exp.Intersect: _QUERY | _BINARY | {"distinct"},
    exp.With: {"expressions"},
    exp.CTE: {"this", "alias"},
    exp.From: {"this"},
    exp.Join: {"this", "on", "using", "side", "kind"},
    exp.Table: {"this", "alias"},
    exp.TableAlias: {"this"},
    exp.Subquery: {"this", "alias"},
    exp.Where: {"this"},
    exp.Group: {"expressions"},
    exp.Having: {"this"},
    exp.Qualify: {"this"},
    exp.Order: {"expressions"},
    exp.Ordered: {"this", "desc", "nulls_first"},
    exp.Limit: {"expression"},
    exp.Offset: {"expression"},
    exp.Distinct: {"expressions"},
    exp.Alias: {"this", "alias"},
    exp.Column: {"this", "table"},
    exp.Identifier: {"this", "quoted"},
    exp.Star: set(),
    exp.Literal: {"this", "is_string"},
    exp.Boolean: {"this"},
    exp.Null: set(),
    exp.Placeholder: {"this"},
    exp.Paren: {"this"},
    exp.Tuple: {"expressions"},
    exp.Case: {"this", "ifs", "default"},
    exp.If: {"this", "true"},
    exp.In: {"this", "expressions", "query"},
    exp.Between: {"this", "low", "high"},
    exp.Exists: {"this"},
    exp.Cast: {"this", "to"},
    exp.TryCast: {"this", "to", "safe"},
    exp.DataType: {"this", "expressions", "nested"},
    exp.DataTypeParam: {"this"},
    exp.Extract: {"this", "expression"},
    exp.Interval: {"this", "unit"},
    exp.Var: {"this"},
    exp.CurrentTimestamp: set(),
    exp.CurrentDate: set(),
    exp.Anonymous: {"this", "expressions"},
    exp.Window: {"this", "partition_by", "order", "spec", "over"},
    exp.WindowSpec: {"kind", "start", "start_side", "end", "end_side"},
    exp.Filter: _BINARY,
    exp.Neg: {"this"},
    exp.Not: {"this"},
    exp.Div: _BINARY | {"typed", "safe"},
    exp.DPipe: _BINARY | {"safe"},
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.And, exp.Or, exp.Is), _BINARY),
    **dict.fromkeys((exp.Like, exp.ILike), _BINARY | {"negate"}),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), _BINARY),
}

_JOINS = {"", "INNER", "CROSS", "OUTER"}


def parse(sql: str) -> exp.Expr:
    """The tree of one statement of any kind; a call of the function `f` is the unknown function `PREFIX + f`.

    Raises: InvalidInput.
    """
    if len(sql) > LONGEST:
        raise InvalidInput(f"sql: {len(sql)} characters; at most {LONGEST} are allowed")
    check_text("sql", sql)
    try:
        statements = Dialect.get_or_raise(DIALECT).parser().parse(_tokens(sql), sql)
    except SqlglotError as error:
        raise InvalidInput(f"sql: this is no SELECT that can be read: {_told(error)}") from None
    except RecursionError:
        raise InvalidInput("sql: it is nested too deep") from None
    found = [statement for statement in statements if statement is not None]
    if len(found) != 1:
        raise InvalidInput(f"sql: exactly one SELECT is allowed, not {len(found)} statements")
    root: exp.Expr = found[0]
    _check_size(root)
    for node in root.walk():
        # A comment may hold what sqlglot takes for notes of its own, and engines for hints.
        node.pop_comments()
        node.meta.clear()
    return root


def check_text(where: str, value: str) -> None:
    """Nothing, when engines can hold the text. Raises: InvalidInput."""
    if "\x00" in value or (not value.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise InvalidInput(f"{where}: it holds NUL, or half of a character")


def check(root: exp.Expr) -> exp.Query:
    """The same tree, when it is one SELECT of nothing but what is allowed.

    Raises: InvalidInput that says what is not allowed and what is.
    """
    _check_size(root)
    for node in root.walk():
        _check_node(node)
    while isinstance(root, exp.Subquery) and not root.alias:
        root = root.this
    if not isinstance(root, exp.Select | exp.SetOperation):
        raise refused(root, "only SELECT is allowed")
    if not root.find(exp.Select):
        raise refused(root, "only SELECT is allowed")
    return root


def check_written_out(tree: exp.Query) -> None:
    """Nothing, when a query whose columns have been written out under their tables is still what is allowed.

    Raises: InvalidInput for a name that stands for a whole row, or for nothing.
    """
    for node in tree.walk():
        if isinstance(node, exp.Coalesce):
            continue  # what USING is written out as
        if isinstance(node, exp.TableColumn):
            raise refused(node, "the name of a view is no column; name a column of it")
        if isinstance(node, exp.Column) and not node.table and not _is_of_answer(node):
            raise refused(node, "there is no such column")
        _check_node(node)


def _is_of_answer(node: exp.Column) -> bool:
    """True for a name of the answer's own columns, which ORDER BY may use."""
    order = node.find_ancestor(exp.Order, exp.Query)
    return isinstance(order, exp.Order) and node.name in getattr(order.parent, "named_selects", ())


def refused(node: exp.Expr, why: str) -> InvalidInput:
    """The error that shows the part of the query that is refused."""
    written = " ".join(node.sql(dialect=DIALECT, comments=False).replace(PREFIX, "").split())
    return InvalidInput(f"sql: {written[:80]}{'…' if len(written) > 80 else ''}: {why}")


def _tokens(sql: str) -> list[Token]:
    """The words of a query, with every function's name marked, so that the grammar gives none a meaning of its own."""
    tokens = list(Dialect.get_or_raise(DIALECT).tokenize(sql))
    if len(tokens) > MOST_TOKENS:
        raise InvalidInput(f"sql: {len(tokens)} words and signs; at most {MOST_TOKENS} are allowed")
    _check_parentheses(tokens)
    marked: list[Token] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1].token_type if index + 1 < len(tokens) else None
        if following is TokenType.L_PAREN and token.token_type in _CALLED and token.text.upper() not in _SPECIAL:
            name = PREFIX + token.text.lower()
            token = Token(TokenType.VAR, name, token.line, token.col, token.start, token.end)
        marked.append(token)
    return marked


def _check_parentheses(tokens: list[Token]) -> None:
    depth = deepest = 0
    for token in tokens:
        depth += (token.token_type in _OPENED) - (token.token_type is _CLOSED)
        deepest = max(depth, deepest)
    if deepest > DEEPEST_PARENTHESES:
        raise InvalidInput(f"sql: parentheses within {deepest} others; at most {DEEPEST_PARENTHESES} are allowed")


def _check_size(root: exp.Expr) -> None:
    """Counts without recursion: the depth of the tree is what it looks for."""
    stack, nodes = [(root, 1)], 0
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > DEEPEST_TREE:
            told = "write a long chain of OR as IN (…)"
            raise InvalidInput(f"sql: it is nested deeper than {DEEPEST_TREE} levels; {told}")
        if nodes > MOST_NODES:
            raise InvalidInput(f"sql: it has more than {MOST_NODES} parts")
        stack += [(child, depth + 1) for child in node.iter_expressions()]
    if (tables := sum(1 for _ in root.find_all(exp.Table))) > MOST_TABLES:
        raise InvalidInput(f"sql: {tables} names after FROM and JOIN; at most {MOST_TABLES} are allowed")
    if (stars := sum(1 for star in root.find_all(exp.Star) if not isinstance(star.parent, exp.Anonymous))) > MOST_STARS:
        raise InvalidInput(f"sql: {stars} times *; at most {MOST_STARS} are allowed, name the columns")


def _check_node(node: exp.Expr) -> None:
    allowed = _NODES.get(type(node))
    if allowed is None:
        raise refused(node, f"{type(node).__name__.upper()} is not allowed")
    for name, value in node.args.items():
        if name not in allowed and value not in (None, False, [], ""):
            if isinstance(node, exp.Table | exp.Column) and name in ("db", "catalog"):
                raise refused(node, "a name has at most one dot: write generations or feedbacks, and view.column")
            raise refused(node, f"{name.rstrip('_').upper()} is not allowed here")
    for problem in _problems(node):
        raise refused(node, problem)


def _problems(node: exp.Expr) -> Iterator[str]:
    match node:
        case exp.Anonymous():
            yield from _problems_of_call(node)
        case exp.Table() if not isinstance(node.this, exp.Identifier):
            yield "no table function is allowed; the views are generations and feedbacks"
        case exp.Tuple() if not isinstance(node.parent, exp.In):
            yield "a list of values is allowed beside IN only"
        case exp.Star() if not isinstance(node.parent, exp.Select | exp.Column | exp.Anonymous):
            yield "* is allowed as a column of a SELECT and in count(*) only"
        case exp.Join() if str(node.args.get("kind") or "").upper() not in _JOINS:
            yield "JOIN, LEFT, RIGHT, FULL and CROSS JOIN are allowed"
        case exp.Distinct() if not isinstance(node.parent, exp.Select | exp.SetOperation | exp.Anonymous):
            yield "DISTINCT is not allowed here"
        case exp.DataType() if node.this not in TYPES or (node.expressions and node.this is not exp.DType.DECIMAL):
            yield f"this type is not allowed; allowed: {', '.join(sorted(set(TYPES.values())))}"
        case exp.Select() if not node.expressions:
            yield "SELECT names at least one column"
        case exp.Limit() | exp.Offset() if not _is_whole(node.expression) or node.expression.is_string:
            yield "a whole number is required"
        case exp.If() if not isinstance(node.parent, exp.Case):
            yield "IF is not allowed; write CASE WHEN … THEN … ELSE … END"
        case exp.Extract() if node.this.name.lower() not in PARTS:
            yield f"the part is one of {', '.join(PARTS)}"
        case exp.TryCast() if TYPES.get(node.to.this) != "DOUBLE":
            yield "TRY_CAST is for DOUBLE only"
        case exp.Interval() if not (isinstance(node.this, exp.Literal) and _is_unit(node.args.get("unit"))):
            yield f"an interval is INTERVAL 7 DAY: a whole number and one of {', '.join(UNITS)}"
        case exp.Interval() if not _is_whole(node.this) or len(node.this.name) > 6:
            yield "an interval has a whole number of at most 6 digits"
        case exp.Interval() if not isinstance(node.parent, exp.Add | exp.Sub):
            yield "an interval can only be added to an instant, or taken from one"
        case exp.WindowSpec() if any(_is_odd_edge(node.args.get(name)) for name in ("start", "end")):
            yield "a frame goes from and to UNBOUNDED, CURRENT ROW or a whole number of rows"
        case exp.Window() if str(node.args.get("over") or "").upper() != "OVER" or not _is_windowed(node.this):
            yield "OVER follows a call of a function"
        case exp.Filter() if not isinstance(node.this, exp.Anonymous):
            yield "FILTER follows a call of an aggregate"
        case exp.Placeholder() if not isinstance(node.this, str) or not node.this:
            yield "a parameter is written :name"
        case exp.Identifier() if not isinstance(node.this, str) or not node.this or "\x00" in node.this:
            yield "a name cannot be empty"
        case _:
            return


def _is_windowed(node: object) -> bool:
    return isinstance(node.this if isinstance(node, exp.Filter) else node, exp.Anonymous)


def _is_unit(unit: object) -> bool:
    return isinstance(unit, exp.Var) and unit.name.lower() in UNITS


def _is_whole(value: object) -> bool:
    return isinstance(value, exp.Literal) and value.name.isascii() and value.name.isdigit()


def _is_odd_edge(edge: object) -> bool:
    if isinstance(edge, exp.Literal):
        return edge.is_string or not edge.name.isdigit()
    return str(edge).upper() not in ("UNBOUNDED", "CURRENT ROW", "NONE")


def _problems_of_call(node: exp.Anonymous) -> Iterator[str]:
    name = node.this.removeprefix(PREFIX) if isinstance(node.this, str) and node.this.startswith(PREFIX) else ""
    function = FUNCTIONS.get(name)
    if function is None:
        yield f"this function is not allowed; allowed: {', '.join(FUNCTIONS)}"
        return
    of = node.expressions
    stars = any(isinstance(each, exp.Star) for each in of)
    distinct = any(isinstance(each, exp.Distinct) for each in of)
    if (stars or distinct) and (name != "count" or len(of) != 1):
        yield "* and DISTINCT are for count only"
    elif distinct and len(of[0].expressions) != 1:
        yield "count(DISTINCT …) counts the values of one expression"
    elif not function.least <= len(of) <= function.most:
        yield f"it is {function.signature}"
    elif function.literal is not None and not isinstance(of[function.literal], exp.Literal):
        yield f"argument {function.literal + 1} of {function.signature} must be written out, not computed"
    elif function.units and of[0].name.lower() not in function.units:
        yield f"its first argument is one of {', '.join(repr(unit) for unit in function.units)}"


def _told(error: SqlglotError) -> str:
    """What the grammar says, without the marks that a terminal would underline with."""
    said = str(error).replace("\x1b[4m", "").replace("\x1b[0m", "").replace(PREFIX, "")
    return " ".join(said.split())[:200]
