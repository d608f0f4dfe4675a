"""The neutral functions that an expression of the catalog may use.

An expression is a sqlglot tree. What every engine spells alike is a plain sqlglot node; what they spell
differently is a call of a function named `GL_…`, which each engine lowers to its own spelling
(`warehouse/engines`). `NEUTRAL` lists them: an engine without a spelling for one fails when it is built.
"""

from sqlglot import exp

#: Name of each neutral function → what it means.
NEUTRAL: dict[str, str] = {
    "GL_COUNT": "GL_COUNT() rows, as BIGINT",
    "GL_COUNT_IF": "GL_COUNT_IF(condition) rows where it holds, as BIGINT",
    "GL_COUNT_DISTINCT": "GL_COUNT_DISTINCT(x) exact distinct non-null values, as BIGINT",
    "GL_SUM_INT": "GL_SUM_INT(x) sum of integers, as BIGINT; 0 over no values",
    "GL_SUM_FLOAT": "GL_SUM_FLOAT(x) sum of floats, as DOUBLE; NULL over no values",
    "GL_SUM_MONEY": "GL_SUM_MONEY(x) sum of money, as DECIMAL(38,12); NULL over no values",
    "GL_RATIO": "GL_RATIO(a, b) a divided by b, as DOUBLE; NULL where b is 0 or NULL",
    "GL_QUANTILE": "GL_QUANTILE(x, p) exact quantile with linear interpolation (inclusive), as DOUBLE; NULL over no values",
    "GL_MIN": "GL_MIN(x) smallest value; NULL over no values",
    "GL_MAX": "GL_MAX(x) largest value; NULL over no values",
    "GL_MAP_VALUE": "GL_MAP_VALUE(keys, values, key) the value beside a key in two parallel lists; '' where absent",
    "GL_EACH": "GL_EACH(list) each item of a list on a line of its own, as a column of a SELECT; no line for an empty list",
    "GL_LOWER": "GL_LOWER(text) text in lower case",
    "GL_JOINED": "GL_JOINED(list) the texts of a list as one text, a line break between two; '' for an empty list",
    "GL_TO_TEXT": "GL_TO_TEXT(x) a value as text; NULL as ''",
    "GL_BUCKET": "GL_BUCKET(instant, seconds) start of the UTC bucket of that many seconds, as a UTC instant",
    "GL_STEPS": "GL_STEPS(instant, origin, milliseconds) whole steps of that width from origin to a later instant, as BIGINT",
    "GL_DAY": "GL_DAY(instant) UTC calendar date",
    "GL_INSTANT": "GL_INSTANT('2026-01-31 10:00:00.000') a UTC instant literal, millisecond precision",
}


def call(name: str, *arguments: exp.Expr | str | int | float) -> exp.Anonymous:
    """A call of the neutral function `name`; text arguments are column names."""
    if name not in NEUTRAL:
        raise KeyError(f"{name} is not a neutral function; known: {', '.join(NEUTRAL)}")
    return exp.Anonymous(this=name, expressions=[_argument(argument) for argument in arguments])


NAMED = "GL_NAMED"
"""The call that stands for a whole expression of the catalog, by its name."""

_named: dict[str, exp.Expr] = {}


def named(name: str, expression: exp.Expr) -> exp.Anonymous:
    """A call that stands for `expression`: an engine spells it once and keeps the text.

    Only for the catalog's own expressions, which never change and hold no caller's value; a question then holds a
    name where the same twenty nodes would be copied, lowered and printed each time.
    """
    known = _named.setdefault(name, expression)
    if known is not expression and known != expression:
        raise ValueError(f"{name} is the name of another expression already")
    return exp.Anonymous(this=NAMED, expressions=[text(name)])


def expression_named(name: str) -> exp.Expr:
    """The expression that `named` knows by this name. Raises: KeyError."""
    return _named[name]


def column(name: str) -> exp.Column:
    """A column of the dataset, always quoted: names such as `metadata.key` hold a dot."""
    return exp.column(exp.to_identifier(name, quoted=True))


def text(value: str) -> exp.Literal:
    """A text literal (never spliced into SQL as a string)."""
    return exp.Literal.string(value)


def _argument(argument: exp.Expr | str | int | float) -> exp.Expr:
    if isinstance(argument, str):
        return column(argument)
    if isinstance(argument, int | float):
        return exp.Literal.number(argument)
    return argument


def neutral_calls(tree: exp.Expr) -> list[exp.Anonymous]:
    """Every neutral call inside `tree`, outermost first."""
    return [node for node in tree.find_all(exp.Anonymous) if str(node.this).upper().startswith("GL_")]
