"""`/admin/workspaces/{workspace_id}/users`, and the same under `/workspaces`. Source: controlplane contract 2.5."""

from api.aliases import serve_also
from api.dependencies import Caller, Db, Now, Trail
from api.listing import AdminPage, Filter, one_of
from api.organisations.rows import Organisation
from api.paging import ListAnswer
from api.permissions import needs
from api.routing import Router
from api.text import Reference
from api.users.schemas import Nothing
from api.workspaces import administration, members, rendering
from api.workspaces.schemas import LEGACY_ROLE_PREFIX, MemberAnswer, MemberChanges, NewMembers
from api.workspaces.service import WORKSPACE_ROLES

router = Router("workspace members")

MEMBERS = "/admin/workspaces/{workspace_id}/users"


@router.post(
    MEMBERS,
    permission=needs("workspace_users.create"),
    operation_id="add_workspace_members",
    summary="Make people of the organisation members of a workspace",
    response_model=Nothing,
)
def add_members(
    workspace_id: Reference, wanted: NewMembers, caller: Caller, session: Db, now: Now, trail: Trail
) -> Nothing:
    """All of them, or none. A member with that role already stays as it is."""
    workspace = administration.find(session, caller, workspace_id, is_written=True)
    trail.workspace(workspace.id)
    trail.resource(id_=workspace.id)
    members.add(session, caller, workspace, members.wanted_of(wanted), now)
    return Nothing()


@router.get(
    MEMBERS,
    permission=needs("workspace_users.list"),
    operation_id="list_workspace_members",
    summary="The members of a workspace, who came last first",
    response_model=ListAnswer[MemberAnswer],
)
def list_members(
    workspace_id: Reference,
    caller: Caller,
    session: Db,
    page: AdminPage,
    role: Filter = None,
    email: Filter = None,
) -> ListAnswer[MemberAnswer]:
    """Filters: `role` (admin, manager, member) and `email` (the whole address)."""
    workspace = administration.find(session, caller, workspace_id)
    wanted = one_of("role", (role or "").strip().removeprefix(LEGACY_ROLE_PREFIX), WORKSPACE_ROLES)
    found, total = members.listed(session, workspace, role=wanted, email=email, page=page)
    organisation = session.get_one(Organisation, caller.organisation_id)
    return ListAnswer(total=total, data=[rendering.member(organisation, workspace, one) for one in found])


@router.get(
    f"{MEMBERS}/{{user_id}}",
    permission=needs("workspace_users.read"),
    operation_id="get_workspace_member",
    summary="One member of a workspace",
    response_model=MemberAnswer,
)
def get_member(workspace_id: Reference, user_id: Reference, caller: Caller, session: Db) -> MemberAnswer:
    """The member with its role."""
    workspace = administration.find(session, caller, workspace_id)
    organisation = session.get_one(Organisation, caller.organisation_id)
    return rendering.member(organisation, workspace, members.find(session, workspace, user_id))


@router.put(
    f"{MEMBERS}/{{user_id}}",
    permission=needs("workspace_users.update"),
    operation_id="update_workspace_member",
    summary="Give a member another role",
    response_model=Nothing,
)
def update_member(
    workspace_id: Reference,
    user_id: Reference,
    wanted: MemberChanges,
    caller: Caller,
    session: Db,
    now: Now,
    trail: Trail,
) -> Nothing:
    """Nobody gives or takes a role above the own one."""
    workspace = administration.find(session, caller, workspace_id, is_written=True)
    trail.workspace(workspace.id)
    members.change(session, caller, workspace, user_id, wanted.role, now)
    return Nothing()


@router.delete(
    f"{MEMBERS}/{{user_id}}",
    permission=needs("workspace_users.delete"),
    operation_id="remove_workspace_member",
    summary="Remove a member from a workspace",
    response_model=Nothing,
)
def remove_member(
    workspace_id: Reference, user_id: Reference, caller: Caller, session: Db, now: Now, trail: Trail
) -> Nothing:
    """The member's keys in the workspace are revoked."""
    workspace = administration.find(session, caller, workspace_id, is_written=True)
    trail.workspace(workspace.id)
    members.remove(session, caller, workspace, user_id, now)
    return Nothing()


serve_also(router, "/admin/workspaces", "/workspaces")
