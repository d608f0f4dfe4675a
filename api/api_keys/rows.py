"""API keys: a hash and a mask, never the key."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, ForeignKeyConstraint, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base
from api.organisations.rows import ID_LENGTH


class ApiKey(Base):
    """A key of one organisation, and of one workspace unless it is an organisation key."""

    __tablename__ = "api_keys"
    __table_args__ = (
        # A key cannot point at a workspace of another organisation.
        ForeignKeyConstraint(["organisation_id", "workspace_id"], ["workspaces.organisation_id", "workspaces.id"]),
        Index(None, "organisation_id", "created_at"),
        # Lists count by the first, which is half as long to walk, and page by the others: all they ask for is in them.
        Index("ix_api_keys_counted", "organisation_id", "deleted_at"),
        Index("ix_api_keys_listed", "organisation_id", "deleted_at", "created_at", "id", "type"),
        Index(
            "ix_api_keys_listed_in_workspace",
            *("workspace_id", "organisation_id", "deleted_at", "created_at", "id", "type"),
        ),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"), index=True)
    type: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(String(1000))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    key_mask: Mapped[str] = mapped_column(String(20))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(20), default="active")
    creation_mode: Mapped[str] = mapped_column(String(20), default="api")
    created_by: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]
    rate_limits: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    defaults: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """`metadata`, `config_id`, `allow_config_override`."""
    alert_emails: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    rotation_policy: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    expiry_enforced: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    last_reset_at: Mapped[datetime | None]
    previous_key_hash: Mapped[str | None] = mapped_column(String(64), unique=True, index=True)
    """Of the key before its rotation; it counts until `previous_key_expires_at`."""
    previous_key_expires_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    deleted_at: Mapped[datetime | None]
