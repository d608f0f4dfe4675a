"""Settings, limits and defaults of organisations, workspaces and keys; invites; indexes that lists are read by.

Columns are added one by one and never by copying a table: SQLite would run the deletes of the copied table against
its foreign keys, and what a column had as its default would have to be found out first.
"""

import sqlalchemy as sa
from alembic import op

from api.db import Instant
from api.organisations.rows import EMPTY_OBJECT

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=True)


def _object(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=False, server_default=EMPTY_OBJECT)


def _at(name: str) -> sa.Column[object]:
    return sa.Column(name, Instant(), nullable=True)


def _columns() -> dict[str, tuple[sa.Column[object], ...]]:
    return {
        "organisations": (
            _object("settings"),
            _object("security_settings"),
            _object("workspace_overrides"),
            _json("defaults"),
            _json("auth_settings"),
        ),
        "workspaces": (
            sa.Column("icon", sa.String(length=64), nullable=True),
            _json("defaults"),
            _json("usage_limits"),
            _json("rate_limits"),
            _json("security_settings"),
            _json("settings"),
            sa.Column("scim_source_id", sa.String(length=36), nullable=True),
            sa.Column("creation_source", sa.String(length=20), nullable=False, server_default="api"),
            _at("archived_at"),
            _at("last_reset_at"),
        ),
        "api_keys": (
            _json("usage_limits"),
            _json("rate_limits"),
            _json("defaults"),
            _json("alert_emails"),
            _json("rotation_policy"),
            sa.Column("expiry_enforced", sa.Boolean(), nullable=False, server_default=sa.false()),
            _at("last_reset_at"),
            _at("next_usage_reset_at"),
            sa.Column("previous_key_hash", sa.String(length=64), nullable=True),
            _at("previous_key_expires_at"),
        ),
    }


INDEXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("organisation_members", ("organisation_id", "created_at")),
    ("workspaces", ("organisation_id", "created_at")),
    ("workspace_members", ("workspace_id", "created_at")),
    ("api_keys", ("expires_at",)),
)
LISTED = ("deleted_at", "created_at", "id", "type")
COVERING: dict[str, tuple[str, ...]] = {
    "ix_api_keys_counted": ("organisation_id", "deleted_at"),
    "ix_api_keys_listed": ("organisation_id", *LISTED),
    "ix_api_keys_listed_in_workspace": ("workspace_id", "organisation_id", *LISTED),
}
"""Lists of keys count and page by these alone."""


def _index_name(table: str, columns: tuple[str, ...]) -> str:
    return op.f("_".join(("ix", table, *columns)))


def upgrade() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(_index_name("api_keys", ("previous_key_hash",)), "api_keys", ["previous_key_hash"], unique=True)
    for table, names in INDEXES:
        op.create_index(_index_name(table, names), table, list(names), unique=False)
    for name, names in COVERING.items():
        op.create_index(op.f(name), "api_keys", list(names), unique=False)
    op.create_table(
        "invites",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("organisation_id", sa.String(length=36), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("workspaces", sa.JSON(), nullable=False),
        _json("workspace_api_key_details"),
        sa.Column("first_name", sa.String(length=255), nullable=False, server_default=""),
        sa.Column("last_name", sa.String(length=255), nullable=False, server_default=""),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False, server_default="pending"),
        sa.Column("invited_by", sa.String(length=36), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("accepted_at", Instant(), nullable=True),
        sa.Column("last_updated_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_invites_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invites")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invites_token_hash")),
    )
    for names in (("organisation_id", "created_at"), ("organisation_id", "email")):
        op.create_index(_index_name("invites", names), "invites", list(names), unique=False)


def downgrade() -> None:
    op.drop_table("invites")
    for name in reversed(COVERING):
        op.drop_index(op.f(name), table_name="api_keys")
    for table, names in reversed(INDEXES):
        op.drop_index(_index_name(table, names), table_name=table)
    op.drop_index(_index_name("api_keys", ("previous_key_hash",)), table_name="api_keys")
    for table, columns in _columns().items():
        for column in reversed(columns):
            op.drop_column(table, column.name)
