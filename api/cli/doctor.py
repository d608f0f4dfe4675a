"""`gateledger doctor`: what is configured, what answers, what is missing, in words."""

import typer

from api.cli.output import print_json, stdout

_COLOURS = {"ok": "green", "missing": "yellow", "failed": "red"}


def register(cli: typer.Typer) -> None:
    """Add the command to the command line."""
    cli.command()(doctor)


def doctor(json_: bool = typer.Option(False, "--json", help="One JSON object on stdout.")) -> None:
    """Say what is configured, what answers, and what is missing. Exits 1 when something failed."""
    from api.cli.examination import examine
    from api.cli.local import Local

    findings = list(examine(Local()))
    if json_:
        print_json({"findings": [{"what": f.what, "status": f.status, "says": f.says} for f in findings]})
    else:
        for finding in findings:
            colour = _COLOURS[finding.status]
            stdout.print(
                f"[{colour}]{finding.status:>7}[/{colour}]  [bold]{finding.what}[/bold]  {finding.says}",
                highlight=False,
                soft_wrap=True,
            )
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(1)
