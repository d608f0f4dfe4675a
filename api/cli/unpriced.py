"""`gateledger prices unpriced`: what to price next, by what is at risk."""

import typer

from api.cli.output import print_json, print_rows, stderr
from api.cli.prices import prices
from api.cli.query import BEGINNING, END


def register(_cli: typer.Typer) -> None:
    """Add the command to `gateledger prices`."""
    prices.command("unpriced")(unpriced)


def unpriced(
    since: str = typer.Option(BEGINNING, help="First instant or day; default: the beginning.", show_default=False),
    until: str = typer.Option(END, help="Last instant or day; default: the end.", show_default=False),
    tz: str = typer.Option("UTC", help="Time zone of days and of instants without offset, for example Asia/Kolkata."),
    workspace: list[str] = typer.Option([], help="Only this workspace (slug or id); repeat for more."),
    limit: int | None = typer.Option(None, min=1, help="At most so many models."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Requests without a cost by provider, model and reason, the dearest at risk first.

    spend_at_risk is what they cost at most (US cents): at the highest rates of their provider. Empty: nobody can tell,
    because the usage is not known. Once a price is there, `gateledger reprice` brings it to these requests.
    """
    from api.analytics.instants import parse_range
    from api.cli.local import Local
    from api.paging import Page
    from api.pricing import unpriced as question
    from warehouse.query.export import records
    from warehouse.query.scope import TenantScope

    local = Local()
    span = question.Span(*parse_range(since, until, tz))
    scope = TenantScope(local.ownership().organisation_id)
    if workspace:
        scope = scope.narrowed(local.workspace_slugs(tuple(workspace)))
    answer = question.unpriced(local.engine, scope, span, Page(0, limit) if limit else None)
    rows = question.named(answer.rows)
    if json_:
        print_json({"object": "list", "total": answer.total, "data": records(rows)})
        return
    table = rows.to_pylist()
    print_rows("", table, rows.column_names)
    stderr.print(f"{answer.total:,} models without a price; money in US cents", highlight=False)
