"""`gateledger workspaces`: the workspaces of the organisation."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from api.cli.output import print_fields, print_json, print_rows

if TYPE_CHECKING:
    from api.workspaces.rows import Workspace

workspaces = typer.Typer(no_args_is_help=True, help="List, create and archive the workspaces of the organisation.")


def register(cli: typer.Typer) -> None:
    """Add the commands to the command line."""
    cli.add_typer(workspaces, name="workspaces")


@workspaces.command("create")
def create(
    name: str = typer.Argument(help="Name of the workspace; its slug is made from it."),
    slug: str | None = typer.Option(None, help="Slug, instead of one made from the name."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Create a workspace in the organisation that `gateledger init` made."""
    from api.cli.local import Local
    from api.workspaces import service

    local = Local()
    owner = local.ownership()
    with local.session(writes=True) as session:
        made = service.create(
            session, organisation_id=owner.organisation_id, name=name, slug=slug, now=datetime.now(UTC)
        )
        fields = _fields(made)
    if json_:
        print_json(fields)
    else:
        print_fields("Workspace", fields)


@workspaces.command("list")
def list_(json_: bool = typer.Option(False, "--json", help="One JSON object on stdout.")) -> None:
    """The workspaces of the organisation, archived ones too, oldest first."""
    from sqlalchemy import select

    from api.cli.local import Local
    from api.workspaces.rows import Workspace

    local = Local()
    owner = local.ownership()
    with local.session() as session:
        found = session.scalars(
            select(Workspace)
            .where(Workspace.organisation_id == owner.organisation_id)
            .order_by(Workspace.created_at, Workspace.id)
        )
        rows = [_fields(workspace) for workspace in found]
    if json_:
        print_json({"object": "list", "total": len(rows), "data": rows})
    else:
        print_rows("Workspaces", rows, ["name", "slug", "id", "status"])


@workspaces.command("archive")
def archive(
    workspace: str = typer.Argument(help="Slug or UUID."),
    force: bool = typer.Option(False, "--force", help="Also when it still holds things that would end with it."),
    json_: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Archive a workspace: its keys are revoked, its requests stay in the analytics."""
    from api.cli.local import Local
    from api.workspaces import archiving, service

    local = Local()
    owner = local.ownership()
    with local.session(writes=True) as session:
        found = service.find(session, owner.organisation_id, workspace)
        if found.status != archiving.ARCHIVED:
            archiving.archive(session, found, now=datetime.now(UTC), is_forced=force)
        fields = _fields(found)
    if json_:
        print_json(fields)
    else:
        print_fields("Workspace", fields)


def _fields(workspace: "Workspace") -> dict[str, object]:
    from api.workspaces.matching import shown_name

    return {
        "id": workspace.id,
        "slug": workspace.slug,
        "name": shown_name(workspace),
        "status": workspace.status,
    }
