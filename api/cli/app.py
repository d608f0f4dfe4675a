"""Puts the commands together, and turns an error into one clear line and an exit code."""

import sys
from importlib.metadata import version

import orjson
import typer

from api.cli import (
    alerts,
    doctor,
    exports,
    ingest,
    init,
    limits,
    price_history,
    prices,
    query,
    reprice,
    sample,
    serve,
    unpriced,
    workspaces,
)
from api.cli.output import stderr
from warehouse.errors import GateledgerError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

HELP = """The back office of an AI gateway: logs in, priced and tenant-safe analytics out.

First steps: [bold]gateledger init[/bold], then
[bold]gateledger sample --rows 10000 --days 3 --to logs[/bold],
[bold]gateledger ingest logs[/bold],
[bold]gateledger query --by model --columns cost,total_tokens[/bold] and
[bold]gateledger up[/bold].

State lives in GATELEDGER_HOME (default ./.gateledger).
WAREHOUSE_URL, DATABASE_URL and LOG_STORE_URL move it to servers.
Every command has --help; those that answer have --json. `gateledger doctor` says what is missing.
"""

cli = typer.Typer(
    name="gateledger",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help=HELP,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"gateledger {version('gateledger')}")
        raise typer.Exit


@cli.callback()
def root(
    _version_flag: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Holds the options of the command itself."""


for module in (
    init,
    workspaces,
    sample,
    ingest,
    query,
    prices,
    unpriced,
    price_history,
    reprice,
    exports,
    limits,
    alerts,
    serve,
    doctor,
):
    module.register(cli)


def main() -> None:
    """Run the command line; known errors become one line on stderr (and `{"error": …}` on stdout with --json)."""
    try:
        cli()
    except GateledgerError as error:
        if "--json" in sys.argv:
            sys.stdout.buffer.write(orjson.dumps({"error": str(error)}) + b"\n")
        stderr.print(f"[bold red]error:[/bold red] {error}", markup=True, highlight=False, soft_wrap=True)
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
