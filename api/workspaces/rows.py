"""Workspaces, and what people are in each."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, ForeignKeyConstraint, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base
from api.organisations.rows import ID_LENGTH

ARCHIVED = "archived"
"""The one status that ends a workspace: an exhausted one still answers, and takes in what its gateway did."""


class Workspace(Base):
    """A part of an organisation, with its own keys and rows. `(organisation_id, id)` is what others refer to."""

    __tablename__ = "workspaces"
    __table_args__ = (
        UniqueConstraint("organisation_id", "slug"),
        UniqueConstraint("organisation_id", "id"),
        Index(None, "organisation_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    slug: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(Text)
    is_default: Mapped[bool] = mapped_column(Boolean, default=False)
    status: Mapped[str] = mapped_column(String(20), default="active")
    icon: Mapped[str | None] = mapped_column(String(64))
    defaults: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    rate_limits: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    security_settings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Only what the workspace sets itself; what counts is `api.security_settings.service.effective`."""
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    scim_source_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    creation_source: Mapped[str] = mapped_column(String(20), default="api", server_default="api")
    archived_at: Mapped[datetime | None]
    last_reset_at: Mapped[datetime | None]
    created_by: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]


class WorkspaceMember(Base):
    """A user's place in a workspace: admin, manager or member."""

    __tablename__ = "workspace_members"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "workspace_id"], ["workspaces.organisation_id", "workspaces.id"]),
        ForeignKeyConstraint(
            ["organisation_id", "user_id"], ["organisation_members.organisation_id", "organisation_members.user_id"]
        ),
        UniqueConstraint("workspace_id", "user_id"),
        Index(None, "workspace_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    workspace_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    user_id: Mapped[str] = mapped_column(String(ID_LENGTH), index=True)
    role: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]
