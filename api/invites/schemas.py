"""Invites as clients write and read them. Source: controlplane contract 2.2."""

from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, StringConstraints

from api.limits.schemas import Moment
from api.text import Line, Name, one_line
from api.users.schemas import GivenRole
from api.workspaces.schemas import MOST_METADATA, WorkspaceRole

STATUSES = ("pending", "cancelled", "accepted", "expired")
MOST_WORKSPACES = 100
MOST_SCOPES = 500
LONGEST_KEY_NAME = 100


KeyName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_KEY_NAME), AfterValidator(one_line)
]


class InvitedTo(BaseModel):
    """A workspace, and what the person is to be there."""

    id: Name = Field(validation_alias=AliasChoices("id", "workspace_id"), description="Slug or UUID.")
    role: WorkspaceRole


class KeyDetails(BaseModel):
    """The key that the person gets in each of the workspaces."""

    scopes: Annotated[list[Name], Field(max_length=MOST_SCOPES)]
    name: KeyName | None = None
    expiry: Moment | None = Field(default=None, description="When the keys end; default: as the workspace says.")
    metadata: Annotated[dict[Name, Line], Field(max_length=MOST_METADATA)] | None = None


class NewInvite(BaseModel):
    """Whom to ask, to be what, and where."""

    email: str = Field(max_length=320)
    role: GivenRole
    workspaces: Annotated[list[InvitedTo], Field(max_length=MOST_WORKSPACES)] | None = None
    workspace_api_key_details: KeyDetails | None = None
    first_name: Line | None = None
    last_name: Line | None = None


class InvitedToAnswer(BaseModel):
    """A workspace of an invite; both names hold its UUID."""

    id: str
    workspace_id: str
    role: Literal["admin", "manager", "member"]


class InviteAnswer(BaseModel):
    """An invite."""

    object: Literal["invite"] = "invite"
    id: str
    email: str
    role: Literal["admin", "member"]
    created_at: str
    expires_at: str
    accepted_at: str | None
    status: Literal["pending", "cancelled", "accepted", "expired"]
    invited_by: str | None = Field(description="Id of the user who asked; null for a key of nobody.")
    workspaces: list[InvitedToAnswer]


class CreatedInvite(InviteAnswer):
    """A new invite with its link, which works once and is not shown again."""

    invite_link: str


class ResentInvite(BaseModel):
    """The new link; the one before does not work any more."""

    inviteLink: str  # noqa: N815 - the wire's spelling


class Acceptance(BaseModel):
    """What the person says of itself."""

    first_name: Line | None = None
    last_name: Line | None = None


class ReceivedKey(BaseModel):
    """A key of the person; it is shown once."""

    object: Literal["api-key"] = "api-key"
    id: str
    key: str
    workspace_id: str


class AcceptedInvite(BaseModel):
    """What the person is now."""

    object: Literal["accepted-invite"] = "accepted-invite"
    id: str = Field(description="Of the invite.")
    user_id: str
    organisation_id: str
    email: str
    role: Literal["admin", "member"]
    workspaces: list[InvitedToAnswer]
    api_keys: list[ReceivedKey]
