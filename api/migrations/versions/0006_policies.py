"""Policies and what they count."""

import sqlalchemy as sa
from alembic import op

from api.db import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def _at(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, Instant(), nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def upgrade() -> None:
    op.create_table(
        "policies",
        _text("id", 36),
        _text("organisation_id", 36),
        _text("workspace_id", 36, nullable=True),
        _text("kind", 10),
        _text("name", 255, nullable=True),
        _text("description", 500, nullable=True),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("group_by", sa.JSON(), nullable=False),
        _text("type", 20),
        _text("status", 20),
        _text("credit_limit", 40, nullable=True),
        _text("alert_threshold", 40, nullable=True),
        _text("periodic_reset", 20, nullable=True),
        sa.Column("periodic_reset_days", sa.Integer(), nullable=True),
        _at("first_reset_at"),
        _at("next_usage_reset_at"),
        _at("last_reset_at"),
        _at("counts_from"),
        _at("counted_at"),
        _flag("counts_upper_bound"),
        _text("unit", 10, nullable=True),
        sa.Column("value", sa.BigInteger(), nullable=True),
        sa.Column("target", sa.String(length=20), nullable=False, server_default="llm"),
        _text("created_by", 72, nullable=True),
        _at("created_at", nullable=False),
        _at("last_updated_at", nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_policies_organisation_id")),
        sa.ForeignKeyConstraint(
            ["organisation_id", "workspace_id"],
            ["workspaces.organisation_id", "workspaces.id"],
            name=op.f("fk_policies_organisation_id_workspace_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
    )
    op.create_index("ix_policies_listed", "policies", ["organisation_id", "kind", "status", "created_at", "id"])
    op.create_index(op.f("ix_policies_status_next_usage_reset_at"), "policies", ["status", "next_usage_reset_at"])
    op.create_table(
        "policy_entities",
        _text("id", 36),
        _text("organisation_id", 36),
        _text("policy_id", 36),
        sa.Column("value_key", sa.Text(), nullable=False),
        sa.Column("group_values", sa.JSON(), nullable=False),
        _text("values_hash", 64),
        _text("current_usage", 40),
        _text("status", 20),
        _flag("is_threshold_alert_sent"),
        _flag("is_exhausted_alert_sent"),
        sa.Column("alert_round", sa.Integer(), nullable=False, server_default="0"),
        _at("counts_from", nullable=False),
        _at("last_reset_at"),
        _at("created_at", nullable=False),
        _at("last_updated_at", nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name=op.f("fk_policy_entities_policy_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_entities")),
        sa.UniqueConstraint("policy_id", "values_hash", name=op.f("uq_policy_entities_policy_id_values_hash")),
    )
    for column in ("created_at", "last_updated_at"):
        owner = "policy_id" if column == "created_at" else "organisation_id"
        op.create_index(op.f(f"ix_policy_entities_{owner}_{column}"), "policy_entities", [owner, column])


def downgrade() -> None:
    op.drop_table("policy_entities")
    op.drop_table("policies")
