"""Things with limits, and requests that use them up."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from api.alerts.rows import Alert
from api.api_keys import service as api_keys
from api.api_keys.rows import ApiKey
from api.limits import service
from api.limits.counting import Refreshed
from api.limits.rows import Limit
from api.limits.schemas import parse_usage_limits
from api.limits.service import Entity
from api.limits.upkeep import refresh_all
from api.permissions import KeyKind
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation
from tests.factories.rows import as_generations
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine


@dataclass
class World:
    """A workspace and the warehouse that its usage is counted from; `spend` stores one request."""

    here: Installation
    engine: Engine
    workspace: Workspace

    def key(self, kind: KeyKind = KeyKind.WORKSPACE_SERVICE, user_id: str | None = None) -> str:
        wanted = api_keys.NewKey(
            kind=kind,
            name="Robot",
            organisation_id=self.organisation,
            workspace_id=self.workspace.id,
            user_id=user_id,
            scopes=("completions.write",),
        )
        with self.here.database.transaction() as session:
            return api_keys.create(session, wanted, now=NOW).row.id

    @property
    def organisation(self) -> str:
        return self.here.first.organisation_id

    def entity(self, type_: Any, id_: str, *virtual_keys: str) -> Entity:
        return Entity(type_, id_, self.organisation, self.workspace.id, name="Entity", virtual_keys=virtual_keys)

    def limit(self, entity: Entity, now: datetime = NOW, **fields: Any) -> None:
        wanted = parse_usage_limits([{"credit_limit": 10, **fields}], shape="array", now=now)
        with self.here.database.transaction() as session:
            service.write(session, entity, wanted, now)

    def limited_key(self, **fields: Any) -> str:
        key = self.key()
        self.limit(self.entity("api_key", key), **fields)
        return key

    def spend(self, usd: str, at: datetime, **fields: Any) -> str:
        id_ = str(uuid4())
        row = {"organisation_id": self.organisation, "workspace_slug": self.workspace.slug, "id": id_}
        row |= {"created_at": at, "cost": Decimal(usd) * 100, "total_units": 7, "ingested_at": at, **fields}
        self.engine.append(GENERATIONS, as_generations([row]), Batch(id_))
        return id_

    def count(self, now: datetime) -> Refreshed:
        return refresh_all(self.here.database, self.engine, now)

    def limits(self, entity_id: str) -> list[Limit]:
        with self.here.database.transaction(writes=False) as session:
            return list(session.scalars(select(Limit).where(Limit.entity_id == entity_id).order_by(Limit.type)))

    def usage(self, entity_id: str) -> Decimal:
        [limit] = self.limits(entity_id)
        return limit.current_usage

    def status(self, key: str) -> str:
        with self.here.database.transaction(writes=False) as session:
            return session.get_one(ApiKey, key).status

    def alerts(self, entity_id: str) -> list[str]:
        with self.here.database.transaction(writes=False) as session:
            found = session.scalars(select(Alert).where(Alert.entity_id == entity_id).order_by(Alert.created_at))
            return sorted(alert.kind for alert in found)
