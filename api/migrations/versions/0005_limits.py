"""Limits of usage, one row each: those of keys and workspaces move out of their rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from api.db import Instant
from api.limits.resets import next_reset
from api.pricing.rows import ExactDecimal

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _at(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, Instant(), nullable=nullable)


def _text(name: str, length: int, *, nullable: bool = False, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=length), nullable=nullable, server_default=default)


def _amount(name: str, *, nullable: bool = True, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, ExactDecimal(), nullable=nullable, server_default=default)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _columns() -> tuple[sa.Column[Any], ...]:
    return (
        _text("id", 36),
        _text("organisation_id", 36),
        _text("workspace_id", 36, nullable=True),
        _text("entity_type", 30),
        _text("entity_id", 100),
        _text("entity_name", 255, nullable=True),
        sa.Column("virtual_keys", sa.JSON(none_as_null=True), nullable=True),
        _text("type", 20),
        _amount("credit_limit", nullable=False),
        _amount("alert_threshold"),
        _text("periodic_reset", 20, nullable=True),
        sa.Column("periodic_reset_days", sa.Integer(), nullable=True),
        _at("first_reset_at"),
        _at("scheduled_at", nullable=False),
        _at("period_started_at", nullable=False),
        _at("next_reset_at"),
        _at("last_reset_at"),
        _amount("current_usage", nullable=False, default="0"),
        _at("counted_at"),
        _amount("usage_per_day"),
        _text("status", 20, default="active"),
        _flag("is_threshold_alert_sent"),
        _flag("is_exhausted_alert_sent"),
        sa.Column("alert_round", sa.Integer(), nullable=False, server_default="0"),
        _at("created_at", nullable=False),
        _at("last_updated_at", nullable=False),
    )


def upgrade() -> None:
    limits = op.create_table(
        "limits",
        *_columns(),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_limits_organisation_id")),
        sa.ForeignKeyConstraint(
            ["organisation_id", "workspace_id"],
            ["workspaces.organisation_id", "workspaces.id"],
            name=op.f("fk_limits_organisation_id_workspace_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limits")),
        sa.UniqueConstraint(
            *("organisation_id", "entity_type", "entity_id", "type"),
            name=op.f("uq_limits_organisation_id_entity_type_entity_id_type"),
        ),
    )
    op.create_index(op.f("ix_limits_next_reset_at"), "limits", ["next_reset_at"])
    moved = [*_of_keys(), *_of_workspaces()]
    if moved:
        op.bulk_insert(limits, moved)
    op.drop_column("api_keys", "usage_limits")
    op.drop_column("api_keys", "next_usage_reset_at")
    op.drop_column("workspaces", "usage_limits")


def downgrade() -> None:
    op.add_column("workspaces", sa.Column("usage_limits", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("api_keys", _at("next_usage_reset_at"))
    op.add_column("api_keys", sa.Column("usage_limits", sa.JSON(none_as_null=True), nullable=True))
    _move_back()
    op.drop_table("limits")


_LIMITS = sa.table("limits", *_columns())
_KEYS = sa.table(
    "api_keys",
    *(sa.column(name, sa.String()) for name in ("id", "organisation_id", "workspace_id", "status")),
    sa.column("usage_limits", sa.JSON(none_as_null=True)),
    *(sa.column(name, Instant()) for name in ("last_reset_at", "next_usage_reset_at", "last_updated_at", "deleted_at")),
)
_WORKSPACES = sa.table(
    "workspaces",
    *(sa.column(name, sa.String()) for name in ("id", "organisation_id", "status")),
    sa.column("usage_limits", sa.JSON(none_as_null=True)),
    *(sa.column(name, Instant()) for name in ("last_reset_at", "last_updated_at")),
)


def _of_keys() -> list[dict[str, Any]]:
    rows = op.get_bind().execute(
        sa.select(_KEYS).where(_KEYS.c.usage_limits.is_not(None), _KEYS.c.deleted_at.is_(None))
    )
    return [_moved("api_key", row, row["workspace_id"], row["usage_limits"]) for row in rows.mappings()]


def _of_workspaces() -> list[dict[str, Any]]:
    rows = op.get_bind().execute(
        sa.select(_WORKSPACES).where(_WORKSPACES.c.usage_limits.is_not(None), _WORKSPACES.c.status != "archived")
    )
    return [
        _moved("workspace", row, row["id"], limit)
        for row in rows.mappings()
        for limit in cast("Sequence[Mapping[str, Any]]", row["usage_limits"])
    ]


def _moved(
    entity_type: str, row: Mapping[Any, Any], workspace_id: str | None, limit: Mapping[str, Any]
) -> dict[str, Any]:
    since = _instant(limit.get("counts_from")) or row["last_updated_at"]
    threshold, used = limit.get("alert_threshold"), limit.get("current_usage")
    return {
        "id": str(uuid4()),
        "organisation_id": row["organisation_id"],
        "workspace_id": workspace_id,
        "entity_type": entity_type,
        "entity_id": row["id"],
        "entity_name": None,
        "virtual_keys": None,
        "type": limit["type"],
        "credit_limit": Decimal(str(limit["credit_limit"])),
        "alert_threshold": None if threshold is None else Decimal(str(threshold)),
        "periodic_reset": limit.get("periodic_reset"),
        "periodic_reset_days": limit.get("periodic_reset_days"),
        "first_reset_at": _instant(limit.get("next_usage_reset_at")),
        "scheduled_at": since,
        "period_started_at": since,
        "next_reset_at": next_reset(limit, started_at=since, after=since),
        "last_reset_at": row["last_reset_at"],
        "current_usage": Decimal(str(used or 0)),
        "counted_at": None,
        "usage_per_day": None,
        "status": "exhausted" if row["status"] == "exhausted" else "active",
        "is_threshold_alert_sent": bool(limit.get("is_threshold_alerts_sent")),
        "is_exhausted_alert_sent": bool(limit.get("is_exhausted_alerts_sent")),
        "alert_round": 0,
        "created_at": since,
        "last_updated_at": row["last_updated_at"],
    }


def _move_back() -> None:
    connection = op.get_bind()
    workspaces: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(sa.select(_LIMITS).order_by(_LIMITS.c.type)).mappings():
        if row["entity_type"] == "api_key":
            changes = {"usage_limits": _back(row), "next_usage_reset_at": row["next_reset_at"]}
            connection.execute(sa.update(_KEYS).where(_KEYS.c.id == row["entity_id"]).values(changes))
        elif row["entity_type"] == "workspace":
            workspaces.setdefault(row["entity_id"], []).append(_back(row))
    for workspace_id, limits in workspaces.items():
        connection.execute(
            sa.update(_WORKSPACES).where(_WORKSPACES.c.id == workspace_id).values({"usage_limits": limits})
        )


def _back(row: Mapping[Any, Any]) -> dict[str, Any]:
    first = row["first_reset_at"]
    return {
        "type": row["type"],
        "credit_limit": _plain(row["credit_limit"]),
        "alert_threshold": None if row["alert_threshold"] is None else _plain(row["alert_threshold"]),
        "periodic_reset": row["periodic_reset"],
        "periodic_reset_days": row["periodic_reset_days"],
        "next_usage_reset_at": None if first is None else _told(first),
        "current_usage": _plain(row["current_usage"]),
        "is_threshold_alerts_sent": row["is_threshold_alert_sent"],
        "is_exhausted_alerts_sent": row["is_exhausted_alert_sent"],
        "counts_from": _told(row["period_started_at"]),
    }


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
