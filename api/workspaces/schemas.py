"""Workspaces and their members as clients write and read them. Source: controlplane contract 2.4, 2.5."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StrictBool, StringConstraints

from api.limits.schemas import RateLimitAnswer, UsageLimitAnswer
from api.text import Line, Name, Text, one_line

MOST_METADATA = 100
MOST_GUARDRAILS = 100
MOST_USERS = 1000
LONGEST_ICON = 64
LEGACY_ROLE_PREFIX = "ws-"

WorkspaceRole = Annotated[
    Literal["admin", "manager", "member"],
    # Older answers wrote `ws-member`, and clients may send back what they read.
    BeforeValidator(lambda role: role.removeprefix(LEGACY_ROLE_PREFIX) if isinstance(role, str) else role),
]
Icon = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_ICON), AfterValidator(one_line)]
Guardrails = Annotated[list[Name], Field(max_length=MOST_GUARDRAILS)]


class WorkspaceDefaults(BaseModel):
    """What requests in the workspace get. On an update, what is left out stays and null clears."""

    metadata: Annotated[dict[Name, Line], Field(max_length=MOST_METADATA)] | None = Field(
        default=None, description="Strings; as the organisation's workspace metadata schema asks."
    )
    input_guardrails: Guardrails | None = Field(default=None, description="Slugs or ids; repeated ones count once.")
    output_guardrails: Guardrails | None = Field(default=None, description="Slugs or ids; repeated ones count once.")


class _Writable(BaseModel):
    description: Text | None = None
    icon: Icon | None = Field(default=None, description='Shown before the name; "" clears.')
    defaults: WorkspaceDefaults | None = None
    usage_limits: Any = Field(
        default=None,
        description="`[{type, credit_limit, alert_threshold, periodic_reset, …}]`, one per type; null or [] clears.",
    )
    rate_limits: Any = Field(
        default=None, description="`[{type: requests|tokens, unit: rpm|rph|rpd, value}]`; null or [] clears."
    )
    security_settings: Any = Field(default=None, description="Only of categories that workspaces set themselves.")
    settings: Any = Field(default=None, description="Only of categories that workspaces set themselves.")


class NewWorkspace(_Writable):
    """A workspace to be made."""

    name: Name
    slug: Line | None = Field(default=None, description="Made from the name when left out.")
    users: Annotated[list[Name], Field(max_length=MOST_USERS)] | None = Field(
        default=None, description="Ids of users who become members."
    )


class WorkspaceChanges(_Writable):
    """An update: what is left out stays, null clears."""

    name: Name | None = None
    reset_usage: StrictBool | None = Field(default=None, description="True: usage starts at 0 again.")


class Deletion(BaseModel):
    """How a workspace is to be deleted."""

    name: str | None = Field(default=None, description="When sent, it must be the name, with or without the icon.")
    force_delete: StrictBool | None = Field(default=None, description="Also what the workspace still holds.")


class DefaultsAnswer(BaseModel):
    """What requests in the workspace get."""

    metadata: dict[str, str] | None
    input_guardrails: list[str] | None
    output_guardrails: list[str] | None


class WorkspaceAnswer(BaseModel):
    """A workspace in a list."""

    object: Literal["workspace"] = "workspace"
    id: str
    slug: str
    name: str = Field(description="The icon, a space and the name, where there is an icon.")
    icon: str | None
    description: str | None
    created_at: str
    last_updated_at: str
    defaults: DefaultsAnswer | None
    is_default: Literal[0, 1]
    scim_source_id: str | None
    usage_limits: list[UsageLimitAnswer] | None
    rate_limits: list[RateLimitAnswer] | None
    security_settings: dict[str, bool] = Field(description="As they count here.")
    status: str


class MemberAnswer(BaseModel):
    """A person in a workspace."""

    object: Literal["workspace-user"] = "workspace-user"
    id: str
    user_id: str
    first_name: str
    last_name: str
    org_role: Literal["owner", "admin", "member"]
    role: Literal["admin", "manager", "member"]
    created_at: str
    last_updated_at: str
    status: str
    workspace_id: str
    email: str
    scopes: list[str] = Field(description="What the member's keys may do here at most.")
    settings: None = None


class WorkspaceDetail(WorkspaceAnswer):
    """A workspace with everything."""

    settings: dict[str, int | bool] = Field(description="As they count here.")
    organisation_id: str
    last_reset_at: str | None
    created_by: str | None
    creation_source: str
    users: list[MemberAnswer] | None = Field(description="The members; null in the answers to writes.")


class NewMember(BaseModel):
    """Who is to be what."""

    id: Name = Field(description="Of the user.")
    role: WorkspaceRole


class NewMembers(BaseModel):
    """Members to be added: `{users: [{id, role}]}`, or `{user_id, role}` for one."""

    users: Annotated[list[NewMember], Field(max_length=MOST_USERS)] | None = None
    user_id: Name | None = None
    role: WorkspaceRole | None = None


class MemberChanges(BaseModel):
    """What a member is to be."""

    role: WorkspaceRole
