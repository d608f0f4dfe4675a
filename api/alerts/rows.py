"""Alerts, the messages that tell of them (and every other mail), and where webhooks go."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base
from api.organisations.rows import ID_LENGTH
from api.pricing.rows import ExactDecimal


class Channel(StrEnum):
    """By which way a message leaves."""

    MAIL = "email"
    WEBHOOK = "webhook"
    SLACK = "slack"
    AUDIT = "audit"
    """Into the audit log."""


class Status(StrEnum):
    """What became of a message."""

    WAITING = "waiting"
    SENT = "sent"
    SKIPPED = "skipped"
    """Its channel is switched off here, its destination is gone, or what it says is no longer so."""
    DEAD = "dead"
    """Given up: refused for good, or tried too often. `gateledger alerts send --again` tries it once more."""


class Alert(Base):
    """A limit that was crossed. The id is made from what it is about, so that it is there once."""

    __tablename__ = "alerts"
    __table_args__ = (Index(None, "organisation_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    entity_type: Mapped[str] = mapped_column(String(40))
    entity_id: Mapped[str] = mapped_column(String(255))
    entity_name: Mapped[str] = mapped_column(String(1000))
    value_key: Mapped[str | None] = mapped_column(Text)
    limit_id: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(20))
    """threshold | exhausted"""
    type: Mapped[str] = mapped_column(String(20))
    """cost | tokens"""
    usage: Mapped[Decimal] = mapped_column(ExactDecimal())
    """When it was crossed. Units: USD, or tokens."""
    credit_limit: Mapped[Decimal] = mapped_column(ExactDecimal())
    alert_threshold: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    period_started_at: Mapped[datetime]
    created_at: Mapped[datetime]


class Message(Base):
    """One message to one recipient by one channel; it waits here until it has left."""

    __tablename__ = "outbox_messages"
    __table_args__ = (
        Index(None, "status", "next_try_at"),
        Index(None, "organisation_id", "created_at"),
        Index(None, "alert_id"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    """Also what a receiver knows it by (Message-ID, webhook-id), should it come twice."""
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    alert_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """What it tells of; None for other mails."""
    channel: Mapped[str] = mapped_column(String(20))
    recipient: Mapped[str] = mapped_column(String(400))
    """An address; the id of a destination; blank for the audit log."""
    template: Mapped[str] = mapped_column(String(100))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    sealed: Mapped[str | None] = mapped_column(Text)
    """Values that are secrets (an invite's link), encrypted; forgotten once the message has left."""
    status: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    next_try_at: Mapped[datetime]
    """While somebody is at it, when others may take it for forgotten."""
    lease: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Destination(Base):
    """A webhook of an organisation, or of one of its workspaces. Its URL is a secret: who has it can write there."""

    __tablename__ = "alert_destinations"
    __table_args__ = (Index(None, "organisation_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """None: it hears of the whole organisation."""
    channel: Mapped[str] = mapped_column(String(20))
    name: Mapped[str]
    url_mask: Mapped[str]
    sealed_url: Mapped[str] = mapped_column(Text)
    sealed_secret: Mapped[str | None] = mapped_column(Text)
    """What its calls are signed with; Slack knows none."""
    created_by: Mapped[str | None] = mapped_column(String(ID_LENGTH * 2))
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]
