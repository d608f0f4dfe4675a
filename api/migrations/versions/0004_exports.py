"""Exports of logs."""

import sqlalchemy as sa
from alembic import op

from api.db import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _count(name: str, kind: type[sa.Integer] = sa.Integer) -> sa.Column[int]:
    return sa.Column(name, kind(), nullable=False, server_default="0")


def _at(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, Instant(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("organisation_id", sa.String(length=36), nullable=False),
        sa.Column("workspace_id", sa.String(length=36), nullable=True),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("requested_data", sa.JSON(), nullable=False),
        sa.Column("format", sa.String(length=10), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_by", sa.String(length=72), nullable=False),
        sa.Column("total_records", sa.BigInteger(), nullable=False),
        _count("written_records", sa.BigInteger),
        sa.Column("error", sa.Text(), nullable=True),
        _count("runs"),
        sa.Column("rights", sa.JSON(none_as_null=True), nullable=True),
        _at("known_until"),
        sa.Column("parts", sa.JSON(), nullable=False),
        _at("position_at"),
        sa.Column("position_id", sa.Text(), nullable=True),
        _count("passed_records", sa.BigInteger),
        sa.Column("file_bytes", sa.BigInteger(), nullable=True),
        sa.Column("lease", sa.String(length=36), nullable=True),
        _at("lease_until"),
        _count("attempts"),
        _at("created_at", nullable=False),
        _at("last_updated_at", nullable=False),
        _at("started_at"),
        _at("finished_at"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_exports_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
    )
    op.create_index(op.f("ix_exports_organisation_id_created_at"), "exports", ["organisation_id", "created_at"])
    op.create_index(op.f("ix_exports_status"), "exports", ["status"])


def downgrade() -> None:
    op.drop_table("exports")
