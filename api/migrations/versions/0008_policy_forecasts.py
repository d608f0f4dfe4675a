"""What is used a day of the counters of policies, and how many days the first of them will last."""

import sqlalchemy as sa
from alembic import op

from api.pricing.rows import ExactDecimal

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("policy_entities", sa.Column("usage_per_day", ExactDecimal(), nullable=True))
    op.add_column("policies", sa.Column("usage_per_day", ExactDecimal(), nullable=True))
    op.add_column("policies", sa.Column("days_left", ExactDecimal(), nullable=True))


def downgrade() -> None:
    op.drop_column("policies", "days_left")
    op.drop_column("policies", "usage_per_day")
    op.drop_column("policy_entities", "usage_per_day")
