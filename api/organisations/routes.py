"""`/admin/organisation`, and the same under `/organisations/{id}`. Source: controlplane contract 7.4."""

from typing import Annotated

from fastapi import Path

from api.dependencies import Caller, Db, Now, Parts
from api.organisations import administration, rendering
from api.organisations.schemas import OrganisationAnswer, OrganisationChanges
from api.permissions import needs
from api.routing import Router

router = Router("organisations")

Id = Annotated[str, Path(alias="id", max_length=100, description="Id of the caller's organisation.")]


@router.get(
    "/admin/organisation",
    permission=needs("organisation_settings.read"),
    operation_id="get_own_organisation",
    summary="The caller's organisation with its settings",
    response_model=OrganisationAnswer,
)
def get_own(caller: Caller, session: Db, parts: Parts) -> OrganisationAnswer:
    """Every setting with the value that counts, and which categories workspaces may set for themselves."""
    return rendering.organisation(administration.find(session, caller, None), parts.settings)


@router.put(
    "/admin/organisation",
    permission=needs("organisation_settings.update"),
    operation_id="update_own_organisation",
    summary="Change the caller's organisation",
    response_model=OrganisationAnswer,
)
def update_own(wanted: OrganisationChanges, caller: Caller, session: Db, now: Now, parts: Parts) -> OrganisationAnswer:
    """The organisation after the change. What is left out stays, null brings the default back."""
    row = administration.find(session, caller, None, to_change=True)
    administration.change(session, row, wanted, now)
    return rendering.organisation(row, parts.settings)


@router.get(
    "/organisations/{id}",
    permission=needs("organisation_settings.read"),
    operation_id="get_organisation",
    summary="The caller's organisation by its id",
    response_model=OrganisationAnswer,
)
def get(organisation_id: Id, caller: Caller, session: Db, parts: Parts) -> OrganisationAnswer:
    """The same as `/admin/organisation`; another organisation is refused."""
    return rendering.organisation(administration.find(session, caller, organisation_id), parts.settings)


@router.put(
    "/organisations/{id}",
    permission=needs("organisation_settings.update"),
    operation_id="update_organisation",
    summary="Change the caller's organisation by its id",
    response_model=OrganisationAnswer,
)
def update(
    organisation_id: Id, wanted: OrganisationChanges, caller: Caller, session: Db, now: Now, parts: Parts
) -> OrganisationAnswer:
    """The organisation after the change."""
    row = administration.find(session, caller, organisation_id, to_change=True)
    administration.change(session, row, wanted, now)
    return rendering.organisation(row, parts.settings)
