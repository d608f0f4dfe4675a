"""`gateledger alerts`: crossed limits, the messages about them and every other mail, and sending them by hand."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from api.cli.output import print_json, print_rows, stdout

if TYPE_CHECKING:
    from api.alerts.rows import Alert, Message

alerts = typer.Typer(no_args_is_help=True, help="Crossed limits, and the messages that tell of them.")


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    cli.add_typer(alerts, name="alerts")


@alerts.command("list")
def list_(
    status: list[str] = typer.Option([], help="Only messages that are waiting, sent, skipped or dead; repeat it."),
    limit: int = typer.Option(20, min=1, max=1000, help="The newest so many of each."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """The newest alerts and messages. Dead messages were given up; `alerts send --again` tries them once more.

    Example: gateledger alerts list --status dead
    """
    from api.alerts import listing
    from api.alerts.rows import Status
    from api.cli.local import Local
    from api.errors import InvalidRequest

    if unknown := set(status) - set(Status):
        raise InvalidRequest(f"--status: '{min(unknown)}' is not one of {', '.join(Status)}")
    with Local().session() as session:
        crossed = [_alert(one) for one in listing.alerts(session, limit)]
        messages = [_message(one) for one in listing.messages(session, limit, status)]
        counts = {one.status: one.messages for one in listing.counts(session)}
    if json_:
        print_json({"alerts": crossed, "messages": messages, "counts": counts})
        return
    if crossed:
        print_rows("Alerts", crossed, ["created_at", "kind", "entity_type", "entity_name", "usage", "credit_limit"])
    if messages:
        names = ["created_at", "channel", "recipient", "template", "status", "attempts", "last_error", "id"]
        print_rows("Messages", messages, names)
    stdout.print(", ".join(f"{count} {name}" for name, count in counts.items()) or "There are no messages.")


@alerts.command("send")
def send(
    again: bool = typer.Option(False, "--again", help="Also try the dead messages once more, from the beginning."),
    message_id: str | None = typer.Option(None, "--message", help="With --again: only this dead message."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Send the messages that are due, here and now. A running server does so by itself.

    Example: gateledger alerts send --again
    """
    from api.alerts import listing
    from api.cli.local import Local

    local, revived = Local(), 0
    if again:
        with local.session(writes=True) as session:
            revived = listing.revive(session, datetime.now(UTC), message_id)
    done = local.send_messages()
    if json_:
        print_json({"revived": revived, "messages": dict(done)})
        return
    stdout.print(", ".join(f"{count} {name}" for name, count in sorted(done.items())) or "No message is due.")


def _alert(row: "Alert") -> dict[str, object]:
    names = ("id", "organisation_id", "workspace_id", "entity_type", "entity_id", "entity_name", "value_key")
    amounts = ("limit_id", "kind", "type", "usage", "credit_limit", "alert_threshold")
    return {name: getattr(row, name) for name in (*names, *amounts, "period_started_at", "created_at")}


def _message(row: "Message") -> dict[str, object]:
    """What can be shown: neither what it says nor its secrets."""
    names = ("id", "organisation_id", "alert_id", "channel", "recipient", "template", "status", "attempts")
    return {name: getattr(row, name) for name in (*names, "next_try_at", "last_error", "created_at", "finished_at")}
