"""`gateledger init`: the first organisation, its workspace, owner and key."""

import typer

from api.cli.output import print_fields, print_json, stderr


def register(cli: typer.Typer) -> None:
    """Add the command to the command line."""
    cli.command()(init)


def init(
    organisation: str = typer.Option("My organisation", help="Name of the organisation."),
    owner_email: str = typer.Option("owner@example.com", help="E-mail of its owner."),
    new_key: bool = typer.Option(False, "--new-key", help="Make another key when the organisation exists already."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Create the first organisation, a default workspace, its owner, and an API key with all scopes.

    The key is shown once: only its hash is kept. A second run changes nothing and says so.
    """
    from api.cli.local import Local

    result = Local().initialise(organisation, owner_email, new_key=new_key)
    fields: dict[str, object] = {
        "organisation_id": result.organisation_id,
        "workspace_id": result.workspace_id,
        "workspace_slug": result.workspace_slug,
        "owner_user_id": result.owner_user_id,
        "api_key": result.api_key,
    }
    if json_:
        print_json(fields)
    else:
        print_fields("Organisation", fields)
    if not result.created:
        stderr.print(
            "The organisation exists already; nothing was changed."
            if result.api_key is None
            else "Only a new key was made."
        )
    if result.api_key is not None:
        stderr.print("[bold]Keep the api_key: it is not shown again.[/bold]")
