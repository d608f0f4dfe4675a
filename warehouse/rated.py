"""What the rated requests of some days are, from the rows and the feedbacks."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from warehouse.catalog import rated
from warehouse.catalog.functions import call, column, text
from warehouse.catalog.model import Column, Kind
from warehouse.catalog.rated import Rated
from warehouse.catalog.rollups import SOURCE_VERSION
from warehouse.engines.base import Window, scan
from warehouse.query import conditions

_OWNER, _TRACE = "rated_owner", "rated_trace"
_COUNTED_DAY, _COUNTED_OWNER, _REQUESTS, _RATED = "counted_day", "counted_owner", "counted_requests", "counted_rated"


def lines(of: Rated, windows: Sequence[Window]) -> exp.Query:
    """The lines of whole days: columns `c0…` in the dataset's order, without the label."""
    return exp.union(_requests(of, windows), _counts(of, windows), distinct=False, copy=False)


def _requests(of: Rated, windows: Sequence[Window]) -> exp.Select:
    """The rows whose trace has feedback, where so few of the organisation's day have that they are kept."""
    day = call("GL_DAY", of.of.time_column)
    values = {"day": day, **{name: column(name) for name in of.copied}}
    rows = exp.select(*_columns(of, values), copy=False).from_(scan(of.of.name, *windows), copy=False)
    rows = rows.join(_traces(of).subquery("traces", copy=False), on=_is_rated(), copy=False)
    same = exp.and_(
        exp.EQ(this=exp.column(_COUNTED_DAY), expression=day.copy()),
        exp.EQ(this=exp.column(_COUNTED_OWNER), expression=column("organisation_id")),
    )
    # Days with many are taken away, not those with few picked: an engine would multiply these with all traces first.
    many = _counted(of, windows).having(exp.Not(this=exp.paren(_are_few())), copy=False)
    rows = rows.join(many.subquery("many", copy=False), on=same, join_type="left", copy=False)
    is_kept = exp.Is(this=exp.column(_COUNTED_OWNER), expression=exp.Null())
    return rows.where(conditions.within_windows(of.of.time_column, windows), is_kept, copy=False)


def _counts(of: Rated, windows: Sequence[Window]) -> exp.Select:
    """One line for each organisation and day."""
    kept = exp.Case(ifs=[exp.If(this=_are_few(), true=exp.column(_REQUESTS))], default=exp.Literal.number(0))
    values = {"day": exp.column(_COUNTED_DAY), "organisation_id": exp.column(_COUNTED_OWNER), of.of.count.name: kept}
    tree = exp.select(*_columns(of, values), copy=False)
    return tree.from_(_counted(of, windows).subquery("counted", copy=False), copy=False)


def _counted(of: Rated, windows: Sequence[Window]) -> exp.Select:
    """How many requests each organisation has on each day, and how many of them in a trace with feedback."""
    keys = {_COUNTED_DAY: call("GL_DAY", of.of.time_column), _COUNTED_OWNER: column("organisation_id")}
    has_feedback = exp.Not(this=exp.Is(this=exp.column(_TRACE), expression=exp.Null()))
    tree = exp.select(
        *(exp.alias_(key, name) for name, key in keys.items()),
        exp.alias_(call("GL_COUNT"), _REQUESTS),
        exp.alias_(call("GL_COUNT_IF", has_feedback), _RATED),
        copy=False,
    ).from_(scan(of.of.name, *windows), copy=False)
    tree = tree.join(_traces(of).subquery("traces", copy=False), on=_is_rated(), join_type="left", copy=False)
    tree = tree.where(conditions.within_windows(of.of.time_column, windows), copy=False)
    return tree.group_by(*map(exp.column, keys), copy=False)


def _traces(of: Rated) -> exp.Select:
    """Every trace with feedback, once. No window: it may come long after the requests."""
    names = {_OWNER: "organisation_id", _TRACE: "trace_id"}
    tree = exp.select(*(exp.alias_(column(name), alias) for alias, name in names.items()), copy=False).distinct()
    has_trace = exp.NEQ(this=column("trace_id"), expression=text(""))
    return tree.from_(scan(of.through.name, Window()), copy=False).where(has_trace, copy=False)


def _is_rated() -> exp.Expr:
    return exp.and_(
        exp.EQ(this=column("trace_id"), expression=exp.column(_TRACE)),
        exp.EQ(this=column("organisation_id"), expression=exp.column(_OWNER)),
    )


def _are_few() -> exp.Expr:
    least = exp.Mul(this=exp.column(_RATED), expression=exp.Literal.number(rated.LEAST_REQUESTS))
    return exp.LTE(this=least, expression=exp.column(_REQUESTS))


def _columns(of: Rated, values: Mapping[str, exp.Expr]) -> list[exp.Expr]:
    """The columns `c0…`, blank where there is no value."""
    columns = [each for each in of.dataset.columns if each.name != SOURCE_VERSION]
    return [exp.alias_(values.get(each.name) or _blank(each), f"c{place}") for place, each in enumerate(columns)]


def _blank(of: Column) -> exp.Expr:
    # A list is never NULL in ClickHouse.
    return exp.Array(expressions=[]) if of.kind is Kind.TEXT_LIST else exp.Null()
