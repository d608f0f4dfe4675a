"""Invites: who is asked to join an organisation, as what, and where. A hash of the token, never the token."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base
from api.organisations.rows import ID_LENGTH


class Invite(Base):
    """An invite to one organisation; its token works once."""

    __tablename__ = "invites"
    __table_args__ = (
        Index(None, "organisation_id", "created_at"),
        Index(None, "organisation_id", "email"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    email: Mapped[str] = mapped_column(String(320))
    role: Mapped[str] = mapped_column(String(20))
    workspaces: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    workspace_api_key_details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    first_name: Mapped[str] = mapped_column(default="", server_default="")
    last_name: Mapped[str] = mapped_column(default="", server_default="")
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    status: Mapped[str] = mapped_column(String(20), default="pending", server_default="pending")
    invited_by: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    last_updated_at: Mapped[datetime]
