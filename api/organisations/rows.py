"""Organisations, and the markers of what an installation has done once."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base

ID_LENGTH = 36
EMPTY_OBJECT = text("('{}')")
"""Server default of a JSON column. The brackets make it an expression: MySQL allows no other default of JSON."""


class Organisation(Base):
    """A tenant: nothing crosses its border."""

    __tablename__ = "organisations"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(String(20), default="active")
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default=EMPTY_OBJECT)
    security_settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default=EMPTY_OBJECT)
    workspace_overrides: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default=EMPTY_OBJECT)
    defaults: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    auth_settings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]


class InstallationMark(Base):
    """Something that happens once per installation; the primary key makes it so, whoever races."""

    __tablename__ = "installation_marks"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
