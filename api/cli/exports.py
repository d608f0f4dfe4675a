"""`gateledger exports`: the exports that were started, written here and now instead of by the pipelines."""

import typer

from api.cli.output import print_json, progress_bar, stdout


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    commands = typer.Typer(no_args_is_help=True, help="Exports of logs that were started over the API.")
    commands.command("run")(run)
    cli.add_typer(commands, name="exports")


def run(
    export_id: str | None = typer.Argument(None, help="Only this export; default: all that wait.", show_default=False),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Write the exports that were started and that no worker is at, one after the other.

    It can be stopped or killed at any moment: whoever takes an export next goes on after its last part.

    Example: gateledger exports run
    """
    from api.cli.local import Local

    runner = Local().exports
    waiting = [due.id for due in runner.due() if export_id in (None, due.id)]
    outcomes: dict[str, str] = {}
    with progress_bar("exporting") as line:

        def show(written: int, total: int) -> None:
            line.update(written, total, f"{written:,} of {total:,} rows")

        for each in waiting:
            outcomes[each] = runner.run(each, show).value
    if json_:
        print_json({"exports": outcomes})
        return
    for each, outcome in outcomes.items():
        stdout.print(f"{each} {outcome}")
    if not outcomes:
        stdout.print("No export waits.")
