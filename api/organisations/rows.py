"""Organisations, and the markers of what an installation has done once."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base

ID_LENGTH = 36


class Organisation(Base):
    """A tenant: nothing crosses its border."""

    __tablename__ = "organisations"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(String(20), default="active")
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]


class InstallationMark(Base):
    """Something that happens once per installation; the primary key makes it so, whoever races."""

    __tablename__ = "installation_marks"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
