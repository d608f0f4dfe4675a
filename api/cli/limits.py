"""`gateledger limits`: usage limits, what is used of them and until when it will last; counted or reset by hand."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from api.cli.output import print_fields, print_json, print_rows, stdout

if TYPE_CHECKING:
    from api.limits.listing import Shown

limits = typer.Typer(no_args_is_help=True, help="Usage limits of keys, workspaces, virtual keys and integrations.")

_COLUMNS = ["entity", "type", "current_usage", "credit_limit", "status", "next_reset", "used_up", "entity_id"]


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    cli.add_typer(limits, name="limits")


@limits.command("list")
def list_(
    entity: str | None = typer.Option(None, help="Only limits of this key, workspace, … (an id), or one limit."),
    status: str | None = typer.Option(None, help="Only active or exhausted ones."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """The limits, the fullest first, as they were counted last. Units: USD or tokens, by type.

    `used_up` (with --json `exhausts_at`) is when a limit will be used up if usage goes on as in the last seven days;
    empty when it will not be before it starts anew.

    Example: gateledger limits list --status exhausted
    """
    from api.cli.local import Local
    from api.errors import InvalidRequest
    from api.limits import listing

    if status not in {None, *listing.STATUSES}:
        raise InvalidRequest(f"--status: '{status}' is not one of {', '.join(listing.STATUSES)}")
    with Local().session() as session:
        found = listing.listed(session, datetime.now(UTC), reference=entity, status=status)
    _print(found, as_json=json_)


@limits.command("refresh")
def refresh(json_: bool = typer.Option(False, "--json", help="One JSON object on stdout.")) -> None:
    """Start the limits anew that are due, and count all from the warehouse. A running server does so by itself."""
    from api.cli.local import Local

    done = Local().refresh_limits()
    told = {
        "limits": done.limits,
        "changed": done.changed,
        "started_anew": len(done.restarts),
        "crossed": len(done.crossings),
    }
    if json_:
        print_json(told)
    else:
        print_fields("Counted", told)


@limits.command("reset")
def reset(
    entity: str = typer.Argument(help="Id of a key, workspace, virtual key or integration, or of one limit."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Usage starts at 0 now. When the limit starts anew by itself stays as it is.

    Example: gateledger limits reset 9f1c6f0e-2b1c-4a57-9a8e-0d6f3f4b8a11
    """
    from api.cli.local import Local

    _print(Local().reset_limits(entity), as_json=json_)


def _print(found: "list[Shown]", *, as_json: bool) -> None:
    rows = [one.fields() for one in found]
    if as_json:
        print_json({"object": "list", "total": len(rows), "data": rows})
    elif not rows:
        stdout.print("There are no limits.")
    else:
        shown = [{**fields, **_short(one)} for fields, one in zip(rows, found, strict=True)]
        print_rows("Limits (USD or tokens; days in UTC)", shown, _COLUMNS)


def _short(one: "Shown") -> dict[str, object]:
    """What fits into a table: days instead of instants."""
    days = (at and at.date().isoformat() for at in (one.next_reset_at, one.exhausts_at))
    return {"entity": f"{one.entity_type} {one.entity_name}", **dict(zip(("next_reset", "used_up"), days, strict=True))}
