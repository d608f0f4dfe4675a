"""Exports of logs: what is asked for, how far the work is, and who is at it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base
from api.organisations.rows import ID_LENGTH

DOWNLOADS = "export_downloads"
"""Name of the secret that signs download URLs."""


class Status(StrEnum):
    """Source: dataplane contract 3.5."""

    DRAFT = "draft"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"


class Export(Base):
    """An export of one organisation. `position_*`, `parts` and `written_records` say how far the present run is."""

    __tablename__ = "exports"
    __table_args__ = (
        Index(None, "organisation_id", "created_at"),
        Index(None, "status"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """None: of the whole organisation."""
    filters: Mapped[dict[str, Any]] = mapped_column(JSON)
    requested_data: Mapped[list[str]] = mapped_column(JSON)
    format: Mapped[str] = mapped_column(String(10))
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))
    created_by: Mapped[str] = mapped_column(String(ID_LENGTH * 2))
    total_records: Mapped[int] = mapped_column(BigInteger)
    written_records: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    error: Mapped[str | None] = mapped_column(Text)

    runs: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often it was started; files of a run lie apart from those of another."""
    rights: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Whose rows it holds: the scope of who started it, at that moment."""
    known_until: Mapped[datetime | None]
    """What was stored later is not part of the run."""
    parts: Mapped[list[list[int]]] = mapped_column(JSON)
    """Which attempts wrote how many parts, in order: [attempt, count]."""
    position_at: Mapped[datetime | None]
    position_id: Mapped[str | None] = mapped_column(Text)
    passed_records: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Rows gone by, those before the first page asked for too."""
    file_bytes: Mapped[int | None] = mapped_column(BigInteger)

    lease: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often a worker took it, over all runs."""

    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
