"""Negotiated prices and reservations of provisioned throughput, version by version."""

import sqlalchemy as sa
from alembic import op

from api.db import Instant
from api.pricing.rows import ExactDecimal

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "negotiated_price_versions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("agreement_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.String(length=36), nullable=False),
        sa.Column("workspace_slug", sa.String(length=255), nullable=True),
        sa.Column("target", sa.String(length=20), nullable=False),
        sa.Column("slug", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=True),
        sa.Column("is_custom", sa.Boolean(), nullable=False),
        sa.Column("is_finetune", sa.Boolean(), nullable=False),
        sa.Column("base_model_slug", sa.String(length=255), nullable=True),
        sa.Column("pricing_config", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("multiplier", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("skip_ptu_cost_attribution", sa.Boolean(), nullable=True),
        sa.Column("effective_from", Instant(), nullable=False),
        sa.Column("effective_to", Instant(), nullable=True),
        sa.Column("known_from", Instant(), nullable=False),
        sa.Column("known_by", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_negotiated_price_versions_organisation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_negotiated_price_versions")),
        sa.UniqueConstraint("agreement_id", "version", name=op.f("uq_negotiated_price_versions_agreement_id_version")),
    )
    op.create_index(
        op.f("ix_negotiated_price_versions_organisation_id_known_from"),
        "negotiated_price_versions",
        ["organisation_id", "known_from"],
        unique=False,
    )
    op.create_table(
        "reservation_versions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("agreement_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("organisation_id", sa.String(length=36), nullable=False),
        sa.Column("workspace_slug", sa.String(length=255), nullable=True),
        sa.Column("target", sa.String(length=20), nullable=False),
        sa.Column("slug", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("amount_cents", ExactDecimal(), nullable=False),
        sa.Column("per", sa.String(length=10), nullable=False),
        sa.Column("effective_from", Instant(), nullable=False),
        sa.Column("effective_to", Instant(), nullable=True),
        sa.Column("known_from", Instant(), nullable=False),
        sa.Column("known_by", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_reservation_versions_organisation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservation_versions")),
        sa.UniqueConstraint("agreement_id", "version", name=op.f("uq_reservation_versions_agreement_id_version")),
    )
    op.create_index(
        op.f("ix_reservation_versions_organisation_id_known_from"),
        "reservation_versions",
        ["organisation_id", "known_from"],
        unique=False,
    )


def downgrade() -> None:
    # A table takes its indexes with it; MySQL lets go of none that a foreign key needs.
    op.drop_table("reservation_versions")
    op.drop_table("negotiated_price_versions")
