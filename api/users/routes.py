"""`/admin/users`, and the same under `/users`. Source: controlplane contract 2.1."""

from api.aliases import serve_also
from api.dependencies import Caller, Db, Now
from api.listing import AdminPage, Filter, one_of
from api.paging import ListAnswer
from api.permissions import needs
from api.routing import Router
from api.text import Reference
from api.users import administration, rendering
from api.users.schemas import Nothing, UserAnswer, UserChanges
from api.users.service import ORGANISATION_ROLES

router = Router("users")


@router.get(
    "/admin/users",
    permission=needs("organisation_users.list"),
    operation_id="list_users",
    summary="The people of the organisation, who came last first",
    response_model=ListAnswer[UserAnswer],
)
def list_users(
    caller: Caller, session: Db, page: AdminPage, role: Filter = None, email: Filter = None
) -> ListAnswer[UserAnswer]:
    """Filters: `role` (owner, admin, member) and `email` (the whole address)."""
    organisation_id = caller.organisation_id
    wanted = one_of("role", role, ORGANISATION_ROLES)
    people, total = administration.listed(session, organisation_id, role=wanted, email=email, page=page)
    slugs = administration.workspaces_of(session, organisation_id, [person.user.id for person in people])
    data = [rendering.user(person, slugs.get(person.user.id, ())) for person in people]
    return ListAnswer(total=total, data=data)


@router.get(
    "/admin/users/{user_id}",
    permission=needs("organisation_users.read"),
    operation_id="get_user",
    summary="One person of the organisation",
    response_model=UserAnswer,
)
def get_user(user_id: Reference, caller: Caller, session: Db) -> UserAnswer:
    """The person with role and workspaces."""
    person = administration.find(session, caller.organisation_id, user_id)
    slugs = administration.workspaces_of(session, caller.organisation_id, [person.user.id])
    return rendering.user(person, slugs.get(person.user.id, ()))


@router.put(
    "/admin/users/{user_id}",
    permission=needs("organisation_users.update"),
    operation_id="update_user",
    summary="Give a person another role or name",
    response_model=Nothing,
)
def update_user(user_id: Reference, wanted: UserChanges, caller: Caller, session: Db, now: Now) -> Nothing:
    """An owner keeps its role; the role that a person has already is an error."""
    administration.change(session, caller.organisation_id, user_id, wanted, now)
    return Nothing()


@router.delete(
    "/admin/users/{user_id}",
    permission=needs("organisation_users.delete"),
    operation_id="delete_user",
    summary="Remove a person from the organisation and all its workspaces",
    response_model=Nothing,
)
def delete_user(user_id: Reference, caller: Caller, session: Db, now: Now) -> Nothing:
    """The person's keys are revoked. The last owner cannot be removed."""
    administration.remove(session, caller.organisation_id, user_id, now)
    return Nothing()


serve_also(router, "/admin/users", "/users")
