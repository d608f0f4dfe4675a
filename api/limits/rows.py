"""Limits of usage: settings, what was counted, and when it starts anew. One row per entity and type."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    JSON,
    Boolean,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Base
from api.limits.machine import NOTHING
from api.organisations.rows import ID_LENGTH
from api.pricing.rows import ExactDecimal


class Limit(Base):
    """The limit of one type of one entity. Units: USD for the type `cost`, tokens for `tokens`.

    Rows of requests count from `period_started_at` (inclusive) to `next_reset_at` (exclusive). What is counted can
    always be counted again from the warehouse; only the alerts that were sent cannot.
    """

    __tablename__ = "limits"
    __watched__ = False
    """Counting goes on all the time; no key has to be looked up anew because of it."""
    __table_args__ = (
        # A limit cannot point at a workspace of another organisation.
        ForeignKeyConstraint(["organisation_id", "workspace_id"], ["workspaces.organisation_id", "workspaces.id"]),
        UniqueConstraint("organisation_id", "entity_type", "entity_id", "type"),
        Index(None, "next_reset_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """None only for keys of the organisation."""
    entity_type: Mapped[str] = mapped_column(String(30))
    """api_key, workspace, virtual_key or integration_workspace."""
    entity_id: Mapped[str] = mapped_column(String(100))
    entity_name: Mapped[str | None] = mapped_column(String(255))
    """Of what has no table of its own; keys and workspaces are named by theirs."""
    virtual_keys: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """Slugs whose rows count, within the workspace: of a virtual key its own, of an integration all it provides."""

    type: Mapped[str] = mapped_column(String(20))
    credit_limit: Mapped[Decimal] = mapped_column(ExactDecimal())
    alert_threshold: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    periodic_reset: Mapped[str | None] = mapped_column(String(20))
    periodic_reset_days: Mapped[int | None] = mapped_column(Integer)
    first_reset_at: Mapped[datetime | None]
    """The first reset that a client named."""
    scheduled_at: Mapped[datetime]
    """When the schedule was set: every so many days are counted from it."""

    period_started_at: Mapped[datetime]
    next_reset_at: Mapped[datetime | None]
    last_reset_at: Mapped[datetime | None]
    current_usage: Mapped[Decimal] = mapped_column(ExactDecimal(), default=NOTHING, server_default="0")
    counted_at: Mapped[datetime | None]
    """When the count of `current_usage` began; None: nothing was counted yet."""
    usage_per_day: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    """What the entity used a day lately; None where it used nothing."""
    status: Mapped[str] = mapped_column(String(20), default="active", server_default="active")
    is_threshold_alert_sent: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    is_exhausted_alert_sent: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    alert_round: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    created_at: Mapped[datetime]
    last_updated_at: Mapped[datetime]
