"""Alerts, the messages that wait to be sent, and where webhooks go."""

import sqlalchemy as sa
from alembic import op

from api.db import Instant
from api.pricing.rows import ExactDecimal

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _id(name: str, *, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=36), nullable=nullable)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=False)


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, Instant(), nullable=nullable)


def _ends(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f(f"fk_{table}_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )


INDEXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("alerts", ("organisation_id", "created_at")),
    ("outbox_messages", ("status", "next_try_at")),
    ("outbox_messages", ("organisation_id", "created_at")),
    ("outbox_messages", ("alert_id",)),
    ("alert_destinations", ("organisation_id", "created_at")),
)


def upgrade() -> None:
    op.create_table(
        "alerts",
        _id("id", nullable=False),
        _id("organisation_id", nullable=False),
        _id("workspace_id"),
        _text("entity_type", 40),
        _text("entity_id", 255),
        _text("entity_name", 1000),
        sa.Column("value_key", sa.Text(), nullable=True),
        _text("limit_id", 255),
        _text("kind", 20),
        _text("type", 20),
        sa.Column("usage", ExactDecimal(), nullable=False),
        sa.Column("credit_limit", ExactDecimal(), nullable=False),
        sa.Column("alert_threshold", ExactDecimal(), nullable=True),
        _at("period_started_at"),
        _at("created_at"),
        *_ends("alerts"),
    )
    op.create_table(
        "outbox_messages",
        _id("id", nullable=False),
        _id("organisation_id", nullable=False),
        _id("workspace_id"),
        _id("alert_id"),
        _text("channel", 20),
        _text("recipient", 400),
        _text("template", 100),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        _text("status", 20),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        _at("next_try_at"),
        _id("lease"),
        sa.Column("last_error", sa.Text(), nullable=True),
        _at("created_at"),
        _at("finished_at", nullable=True),
        *_ends("outbox_messages"),
    )
    op.create_table(
        "alert_destinations",
        _id("id", nullable=False),
        _id("organisation_id", nullable=False),
        _id("workspace_id"),
        _text("channel", 20),
        _text("name", 255),
        _text("url_mask", 255),
        sa.Column("sealed_url", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.Text(), nullable=True),
        sa.Column("created_by", sa.String(length=72), nullable=True),
        _at("created_at"),
        _at("last_updated_at"),
        *_ends("alert_destinations"),
    )
    for table, columns in INDEXES:
        op.create_index(op.f("_".join(("ix", table, *columns))), table, list(columns), unique=False)


def downgrade() -> None:
    # A table takes its indexes with it.
    for table in ("alert_destinations", "outbox_messages", "alerts"):
        op.drop_table(table)
