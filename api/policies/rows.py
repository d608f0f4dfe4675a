"""Policies, and the counter of each combination of values that one of them has met."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base
from api.organisations.rows import ID_LENGTH
from api.pricing.rows import ExactDecimal

ACTIVE, ARCHIVED, EXHAUSTED = "active", "archived", "exhausted"


class PolicyKind(StrEnum):
    """What a policy limits: what is used in a period, or how much in a span of time."""

    USAGE = "usage"
    RATE = "rate"


class Policy(Base):
    """A policy of one workspace, or of all workspaces of an organisation.

    `credit_limit` to `counts_upper_bound` are of usage policies, `unit` to `target` of rate policies.
    """

    __tablename__ = "policies"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "workspace_id"], ["workspaces.organisation_id", "workspaces.id"]),
        Index("ix_policies_listed", "organisation_id", "kind", "status", "created_at", "id"),
        Index(None, "status", "next_usage_reset_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """None: of all workspaces."""
    kind: Mapped[str] = mapped_column(String(10))
    name: Mapped[str | None]
    description: Mapped[str | None] = mapped_column(String(500))
    conditions: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    group_by: Mapped[list[str]] = mapped_column(JSON)
    type: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20), default=ACTIVE)

    credit_limit: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    """Units: USD, tokens or requests, by `type`; so is the threshold."""
    alert_threshold: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    periodic_reset: Mapped[str | None] = mapped_column(String(20))
    periodic_reset_days: Mapped[int | None]
    first_reset_at: Mapped[datetime | None]
    """The first reset that was asked for; later ones are whole periods from it."""
    next_usage_reset_at: Mapped[datetime | None]
    last_reset_at: Mapped[datetime | None]
    counts_from: Mapped[datetime | None]
    """Rows from before it do not count: when the policy was made, or its last reset."""
    counted_at: Mapped[datetime | None]
    """When the last count of its counters began."""
    counts_upper_bound: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """A request without a price counts as the most that it can have cost; else as nothing."""

    usage_per_day: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    """What all its counters used a day lately; None where they used nothing."""
    days_left: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    """How many days the counter that is used up first will last, if usage goes on as lately."""

    unit: Mapped[str | None] = mapped_column(String(10))
    value: Mapped[int | None] = mapped_column(BigInteger)
    target: Mapped[str] = mapped_column(String(20), default="llm", server_default="llm")

    created_by: Mapped[str | None] = mapped_column(String(ID_LENGTH * 2))
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]


class PolicyEntity(Base):
    """One counter of a usage policy: a combination of values that rows had."""

    __tablename__ = "policy_entities"
    __table_args__ = (
        # Values may be long and hold any character, so it is their hash that is unique.
        UniqueConstraint("policy_id", "values_hash"),
        Index(None, "policy_id", "created_at"),
        Index(None, "organisation_id", "last_updated_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    policy_id: Mapped[str] = mapped_column(ForeignKey("policies.id"))
    value_key: Mapped[str] = mapped_column(Text)
    group_values: Mapped[list[str]] = mapped_column(JSON)
    values_hash: Mapped[str] = mapped_column(String(64))
    current_usage: Mapped[Decimal] = mapped_column(ExactDecimal())
    usage_per_day: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    """What was used a day lately; None where nothing was."""
    status: Mapped[str] = mapped_column(String(20), default=ACTIVE)
    is_threshold_alert_sent: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    is_exhausted_alert_sent: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    alert_round: Mapped[int] = mapped_column(default=0, server_default="0")
    counts_from: Mapped[datetime]
    """Start of its period: that of the policy, or a later reset of its own."""
    last_reset_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]
