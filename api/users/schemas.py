"""People of an organisation as clients write and read them. Source: controlplane contract 2.1."""

from typing import Literal

from pydantic import BaseModel, Field

from api.text import Line

GIVEN_ROLES = ("admin", "member")
"""`owner` is given by no request."""
GivenRole = Literal["admin", "member"]


class UserChanges(BaseModel):
    """An update: what is left out stays."""

    role: GivenRole | None = Field(default=None, description="What the user is in the organisation.")
    first_name: Line | None = None
    last_name: Line | None = None


class UserAnswer(BaseModel):
    """A person in an organisation."""

    object: Literal["user"] = "user"
    id: str
    first_name: str
    last_name: str
    role: Literal["owner", "admin", "member"]
    email: str
    status: str
    created_at: str
    last_updated_at: str
    workspace_ids: list[str] = Field(description="Slugs of the workspaces that the user is a member of.")


class Nothing(BaseModel):
    """`{}`: it is done."""
