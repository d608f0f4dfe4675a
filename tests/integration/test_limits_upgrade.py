"""Limits that lay in the rows of keys and workspaces move into rows of their own, and back."""

from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import JSON, MetaData, Table, select

from api.db import Database
from api.limits.rows import Limit
from api.migrations import _config, upgrade
from tests.factories.databases import KINDS, SERVERS

BEFORE = "0004"
AT = datetime(2026, 3, 4, 5, 6, 7)  # noqa: DTZ001
WHEN = {"created_at": AT, "last_updated_at": AT}
OF_KEY = {
    "type": "cost",
    "credit_limit": 10.5,
    "alert_threshold": 5,
    "periodic_reset": None,
    "periodic_reset_days": 3,
    "next_usage_reset_at": "2026-05-01T00:00:00.000Z",
    "current_usage": 7.25,
    "is_threshold_alerts_sent": True,
    "is_exhausted_alerts_sent": False,
    "counts_from": "2026-04-01T10:00:00.000Z",
}
OF_WORKSPACE = [
    {"type": "cost", "credit_limit": 100, "alert_threshold": None, "periodic_reset": "weekly"},
    {"type": "tokens", "credit_limit": 1000, "alert_threshold": 500, "periodic_reset": "monthly"},
]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Database]:
    kind = request.param
    url = f"sqlite:///{tmp_path / 'gateledger.db'}" if kind == "sqlite" else SERVERS.new_database(kind)
    with closing(Database(url)) as made:
        yield made


def step(database: Database, direction: Callable[..., None]) -> None:
    """To the revision before, from either side."""
    with database.connection() as connection:
        config = _config()
        config.attributes["connection"] = connection
        direction(config, BEFORE)


def fill(database: Database) -> None:
    with database.connection() as connection:
        found = MetaData()
        found.reflect(connection)
        key = {"id": "k1", "organisation_id": "o1", "workspace_id": "w1", "type": "workspace-service", "name": "Key"}
        key |= {"key_hash": "h", "key_mask": "m", "scopes": [], "status": "exhausted", "creation_mode": "api", **WHEN}
        workspace = {"id": "w1", "organisation_id": "o1", "slug": "ws", "name": "W", "is_default": True, **WHEN}
        rows: tuple[tuple[str, dict[str, Any]], ...] = (
            ("organisations", {"id": "o1", "name": "Acme", "status": "active", **WHEN}),
            ("workspaces", {**workspace, "status": "active", "usage_limits": OF_WORKSPACE}),
            ("api_keys", {**key, "usage_limits": OF_KEY}),
            ("api_keys", {**key, "id": "k2", "key_hash": "h2", "status": "active"}),
            ("api_keys", {**key, "id": "k3", "key_hash": "h3", "usage_limits": OF_KEY, "deleted_at": AT}),
        )
        for name, row in rows:
            connection.execute(_typed(found, name).insert(), row)


def _typed(found: MetaData, name: str) -> Table:
    """The table with JSON as JSON, also where it lies as text."""
    table = found.tables[name]
    for column in ("usage_limits", "scopes", "settings"):
        if column in table.c:
            table.c[column].type = JSON(none_as_null=True)
    return table


def test_there_and_back(database: Database) -> None:
    step(database, command.upgrade)
    fill(database)
    upgrade(database)
    with database.transaction(writes=False) as session:
        key, cost, tokens = session.scalars(select(Limit).order_by(Limit.entity_type, Limit.type))
        assert (key.entity_type, key.entity_id, key.workspace_id) == ("api_key", "k1", "w1")
        assert (key.credit_limit, key.alert_threshold, key.current_usage) == (Decimal("10.5"), 5, Decimal("7.25"))
        assert (key.status, key.is_threshold_alert_sent, key.is_exhausted_alert_sent) == ("exhausted", True, False)
        assert key.period_started_at == datetime(2026, 4, 1, 10, tzinfo=UTC)
        assert key.next_reset_at == datetime(2026, 5, 1, tzinfo=UTC)
        assert (cost.entity_id, cost.period_started_at, cost.counted_at) == ("w1", AT.replace(tzinfo=UTC), None)
        assert cost.next_reset_at == datetime(2026, 3, 8, tzinfo=UTC)
        assert (tokens.credit_limit, tokens.next_reset_at) == (1000, datetime(2026, 4, 1, tzinfo=UTC))
    step(database, command.downgrade)
    with database.connection() as connection:
        found = MetaData()
        found.reflect(connection)
        keys, workspaces = _typed(found, "api_keys"), _typed(found, "workspaces")
        told = dict(connection.execute(select(keys.c.id, keys.c.usage_limits)).all())
        assert told == {"k1": OF_KEY, "k2": None, "k3": None}
        [limits] = connection.scalars(select(workspaces.c.usage_limits))
        assert [(limit["type"], limit["credit_limit"], limit["periodic_reset"]) for limit in limits] == [
            ("cost", 100, "weekly"),
            ("tokens", 1000, "monthly"),
        ]
