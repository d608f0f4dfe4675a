"""`/admin/workspaces`, and the same under `/workspaces`. Source: controlplane contract 2.4."""

from typing import Annotated

from fastapi import Body

from api.aliases import serve_also
from api.dependencies import Caller, Db, Now, Trail
from api.limits import service as limits
from api.listing import AdminPage, Filter, one_of, some_of
from api.organisations.rows import Organisation
from api.paging import ListAnswer
from api.permissions import needs
from api.routing import Router
from api.text import Reference
from api.users.schemas import Nothing
from api.workspaces import administration, archiving, rendering
from api.workspaces.administration import ACTIVE, STATUSES, Wanted
from api.workspaces.members import everybody
from api.workspaces.rows import Workspace
from api.workspaces.schemas import Deletion, NewWorkspace, WorkspaceAnswer, WorkspaceChanges, WorkspaceDetail

router = Router("workspaces")

NAME_FORMATS = ("plain", "display")


@router.post(
    "/admin/workspaces",
    permission=needs("workspaces.create"),
    operation_id="create_workspace",
    summary="Make a workspace",
    response_model=WorkspaceDetail,
)
def create_workspace(wanted: NewWorkspace, caller: Caller, session: Db, now: Now, trail: Trail) -> WorkspaceDetail:
    """The new workspace."""
    organisation = session.get_one(Organisation, caller.organisation_id)
    workspace = administration.create(session, caller, wanted, now)
    _told(trail, workspace)
    return rendering.detail(organisation, workspace, limits.of(session, "workspace", workspace.id), now)


@router.get(
    "/admin/workspaces",
    permission=needs("workspaces.list"),
    operation_id="list_workspaces",
    summary="The workspaces that the caller reaches, the newest first",
    response_model=ListAnswer[WorkspaceAnswer],
)
def list_workspaces(
    caller: Caller,
    session: Db,
    now: Now,
    page: AdminPage,
    name: Filter = None,
    exact_name: Filter = None,
    status: Filter = None,
) -> ListAnswer[WorkspaceAnswer]:
    """Filters: `name` (a part, case counts), `exact_name`, `status` (active, archived; comma-separated)."""
    statuses = some_of("status", status, STATUSES) or (ACTIVE,)
    found, total = administration.listed(session, caller, Wanted(name, exact_name, statuses), page)
    organisation = session.get_one(Organisation, caller.organisation_id)
    held = limits.of_many(session, "workspace", [workspace.id for workspace in found])
    told = [rendering.listed(organisation, workspace, held[workspace.id], now) for workspace in found]
    return ListAnswer(total=total, data=told)


@router.get(
    "/admin/workspaces/{workspace_id}",
    permission=needs("workspaces.read"),
    operation_id="get_workspace",
    summary="One workspace with its members, by slug or UUID",
    response_model=WorkspaceDetail,
)
def get_workspace(
    workspace_id: Reference, caller: Caller, session: Db, now: Now, name_format: Filter = None
) -> WorkspaceDetail:
    """`name_format=plain` leaves the icon out of the name."""
    wanted = one_of("name_format", name_format, NAME_FORMATS)
    workspace = administration.find(session, caller, workspace_id)
    organisation = session.get_one(Organisation, caller.organisation_id)
    held = limits.of(session, "workspace", workspace.id)
    return rendering.detail(organisation, workspace, held, now, everybody(session, workspace), name_format=wanted)


@router.put(
    "/admin/workspaces/{workspace_id}",
    permission=needs("workspaces.update"),
    operation_id="update_workspace",
    summary="Change a workspace",
    response_model=WorkspaceDetail,
)
def update_workspace(
    workspace_id: Reference, wanted: WorkspaceChanges, caller: Caller, session: Db, now: Now, trail: Trail
) -> WorkspaceDetail:
    """What is left out stays, null clears."""
    organisation = session.get_one(Organisation, caller.organisation_id)
    workspace = administration.update(session, caller, workspace_id, wanted, now)
    _told(trail, workspace)
    return rendering.detail(organisation, workspace, limits.of(session, "workspace", workspace.id), now)


@router.delete(
    "/admin/workspaces/{workspace_id}",
    permission=needs("workspaces.delete"),
    operation_id="delete_workspace",
    summary="Delete a workspace: it is archived, its keys are revoked",
    response_model=Nothing,
)
def delete_workspace(
    workspace_id: Reference,
    caller: Caller,
    session: Db,
    now: Now,
    trail: Trail,
    wanted: Annotated[Deletion | None, Body()] = None,
) -> Nothing:
    """Refused while it holds what must be deleted first, unless `force_delete` is true."""
    workspace = administration.find(session, caller, workspace_id, is_written=True)
    _told(trail, workspace)
    asked = wanted or Deletion()
    archiving.archive(session, workspace, now=now, name=asked.name or None, is_forced=bool(asked.force_delete))
    return Nothing()


def _told(trail: Trail, workspace: Workspace) -> None:
    # The path may name it by its slug; the audit log is asked by ids.
    trail.workspace(workspace.id)
    trail.resource(id_=workspace.id)


serve_also(router, "/admin/workspaces", "/workspaces")
