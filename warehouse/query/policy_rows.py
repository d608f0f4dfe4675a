"""Conditions and counters of policies as neutral trees over rows: what `policy_terms` says of a request.

A row's workspace is its slug; `workspaces` says which id belongs to it, since policies may name either.
"""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from warehouse.catalog.functions import call, column, text
from warehouse.query.policy_terms import ANYTHING, METADATA, Selection, Term, fits

COLUMNS: Mapping[str, str] = {
    "api_key": "api_key_id",
    "organisation_id": "organisation_id",
    "virtual_key": "virtual_key",
    "provider": "ai_org",
    "config": "config",
    "prompt": "prompt_slug",
}
"""Key → the column that says the same. Models and workspaces are made of more than one."""
PROVIDER, MODEL, VIRTUAL_KEY, WORKSPACE = "ai_org", "ai_model", "virtual_key", "workspace_slug"

Workspaces = Mapping[str, str]
"""Slug → id."""


def matches(selection: Selection, workspaces: Workspaces) -> exp.Expr:
    """True for the rows that the policy is about; never unknown."""
    return _all([_passes(term, workspaces) for term in selection.terms])


def counter_keys(selection: Selection, workspaces: Workspaces) -> list[exp.Expr]:
    """The values of the row's counter, in the order of `group_by`; blank where there is none."""
    return [_grouped(key, workspaces) for key in selection.group_by]


def or_blank(name: str) -> exp.Expr:
    """A text column, blank where it is NULL."""
    return exp.Coalesce(this=column(name), expressions=[text("")])


def metadata_value(key: str) -> exp.Expr:
    """The value of `metadata.<name>`, blank where it is absent."""
    return call("GL_MAP_VALUE", "metadata.key", "metadata.value", text(key[len(METADATA) :]))


def known_workspaces(wanted: Sequence[str], workspaces: Workspaces) -> list[str]:
    """The slugs of the workspaces that a condition names by their id or slug."""
    return [
        slug for slug, id_ in workspaces.items() if any(fits(value, name) for value in wanted for name in (slug, id_))
    ]


def _passes(term: Term, workspaces: Workspaces) -> exp.Expr:
    passing = _any_fits(term.key, term.values, workspaces)
    if not term.excludes:
        return passing
    return _all([passing, exp.Not(this=exp.paren(_any_fits(term.key, term.excludes, workspaces), copy=False))])


def _any_fits(key: str, wanted: Sequence[str], workspaces: Workspaces) -> exp.Expr:
    if key == "model":
        return _model_fits(wanted)
    if key == "workspace_id":
        slugs = known_workspaces(wanted, workspaces)
        return _fits(or_blank(WORKSPACE), [*wanted, *slugs])
    return _fits(metadata_value(key) if key.startswith(METADATA) else or_blank(COLUMNS[key]), wanted)


def _model_fits(wanted: Sequence[str]) -> exp.Expr:
    by_owner = [_all([_present(or_blank(owner)), _fits(_owned(owner), wanted)]) for owner in (PROVIDER, VIRTUAL_KEY)]
    names = exp.or_(_fits(or_blank(MODEL), wanted), *by_owner, copy=False)
    return _all([_present(or_blank(MODEL)), exp.paren(names, copy=False)])


def _fits(value: exp.Expr, wanted: Sequence[str]) -> exp.Expr:
    literals = [text(one) for one in dict.fromkeys(wanted) if not one.endswith(ANYTHING)]
    parts: list[exp.Expr] = []
    if literals:
        parts.append(exp.In(this=value.copy(), expressions=literals))
    for one in wanted:
        if one == ANYTHING:
            parts.append(_present(value.copy()))
        elif one.endswith(ANYTHING):
            parts.append(exp.StartsWith(this=value.copy(), expression=text(one[:-1])))
    return exp.paren(exp.or_(*parts, copy=False), copy=False)


def _grouped(key: str, workspaces: Workspaces) -> exp.Expr:
    if key.startswith(METADATA):
        return metadata_value(key)
    if key == "workspace_id":
        ids = [exp.If(this=or_blank(WORKSPACE).eq(text(slug)), true=text(id_)) for slug, id_ in workspaces.items()]
        return exp.Case(ifs=ids, default=or_blank(WORKSPACE)) if ids else or_blank(WORKSPACE)
    if key == "model":
        both = _all([_present(or_blank(PROVIDER)), _present(or_blank(MODEL))])
        return exp.Case(ifs=[exp.If(this=both, true=_owned(PROVIDER))], default=or_blank(MODEL))
    return or_blank(COLUMNS[key])


def _owned(owner: str) -> exp.Expr:
    """`@owner/model`."""
    parts = [text("@"), or_blank(owner), text("/"), or_blank(MODEL)]
    joined = parts[0]
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=part)
    return joined


def _present(value: exp.Expr) -> exp.Expr:
    return exp.NEQ(this=value, expression=text(""))


def _all(parts: Sequence[exp.Expr]) -> exp.Expr:
    return exp.and_(*parts, copy=False) if parts else exp.true()
