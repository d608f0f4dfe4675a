"""Who is attacked and who attacks, in one running app: another organisation, and another workspace of the same one."""

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlglot import exp

from api.api_keys.service import new_raw_key
from api.permissions import KeyKind
from api.structured_log import QUIET, Lines
from api.tables import METADATA
from api.workspaces.rows import Workspace
from tests.factories import rows
from tests.factories.app import Installation, auth, store
from tests.factories.tenant import Tenant, new_tenant
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset
from warehouse.engines.base import scan

MARK = "qzvictim"
"""In every name and address of the victim; nobody else says it."""
AT = datetime(2026, 4, 1, 12, tzinfo=UTC)
_RAW_KEY = re.compile(r"gl_[0-9A-Za-z]{43}")
_COUNTED_AT_ONCE = 10.0


@dataclass(frozen=True)
class Key:
    """A key to attack with."""

    who: str
    kind: KeyKind
    raw: str


@dataclass(frozen=True)
class Victim:
    """One who is attacked: what names it and its things, and what must never be shown."""

    organisation_id: str
    workspace: Workspace
    handles: Mapping[str, Sequence[str]]
    """Kind of thing → ids and slugs by which an attacker may ask for it."""
    secrets: frozenset[str]
    """What no answer to an attacker may hold."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every handle."""
        return tuple(one for handles in self.handles.values() for one in handles)

    def shown_in(self, text: str, sent: str) -> list[str]:
        """What a text tells of the victim beyond what the attacker wrote itself."""
        return [secret for secret in self.secrets if secret in text and secret not in sent]


@dataclass
class World:
    """A running app with its log, and everybody in it."""

    here: Installation
    client: TestClient
    log: io.StringIO
    secrets: set[str] = field(default_factory=set[str])
    """Raw keys and the like that were used; the log must never hold one."""

    def send(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        query: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        body: Any = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> httpx.Response:
        """The answer; what it holds of raw keys is watched for from now on."""
        sent = {**(auth(key) if key else {}), **(headers or {})}
        if body is not None:
            content = json.dumps(body).encode("utf-8", "surrogatepass")
            sent.setdefault("content-type", "application/json")
        answer = self.client.request(method, path, params=query, content=content, headers=sent)  # type: ignore[arg-type]
        self.secrets.update(_RAW_KEY.findall(answer.text))
        return answer

    def watched(self, *secrets: str) -> str:
        """The first of them; the log must hold none."""
        self.secrets.update(secrets)
        return secrets[0]

    def leaked(self) -> list[str]:
        """Secrets that the log holds, each as the line around it."""
        text = self.log.getvalue()
        return [text[max(0, at - 120) : at + len(one)] for one in sorted(self.secrets) if (at := text.find(one)) >= 0]

    def dump(self, victim: Victim, *, of_workspace: bool) -> dict[str, Any]:
        """Every row of the victim's, in the database and the warehouse, once nothing is on its way any more."""
        self.drained()
        found: dict[str, Any] = {}
        users = set(victim.handles.get("user", ()))
        with self.here.database.transaction(writes=False) as session:
            for table in METADATA.sorted_tables:
                lines = [dict(line) for line in session.execute(select(table)).mappings()]
                kept = [line for line in lines if self._is_of(victim, table.name, line, users, of_workspace)]
                found[table.name] = sorted(json.dumps(line, default=str, sort_keys=True) for line in kept)
        for dataset in (GENERATIONS, FEEDBACKS):
            found[dataset.name] = self._stored(dataset, victim, of_workspace)
        return found

    def drained(self) -> None:
        """Nothing, once the warehouse has what the API took."""
        services = self.client.app.state.services  # type: ignore[attr-defined]
        end = time.monotonic() + _COUNTED_AT_ONCE
        for spool in (services.spool, services.feedback_updates):
            while spool.backlog()[0]:
                assert time.monotonic() < end, "records wait in the spool for ever"
                time.sleep(0.02)

    def _stored(self, dataset: Dataset, victim: Victim, of_workspace: bool) -> list[str]:
        engine = self.client.app.state.services.engine  # type: ignore[attr-defined]
        lines = engine.query(exp.select("*").from_(scan(dataset.name))).to_pylist()
        return sorted(
            json.dumps(line, default=str, sort_keys=True)
            for line in lines
            if line["organisation_id"] == victim.organisation_id
            and (not of_workspace or line["workspace_slug"] == victim.workspace.slug)
        )

    @staticmethod
    def _is_of(victim: Victim, table: str, line: Mapping[str, Any], users: set[str], of_workspace: bool) -> bool:
        if of_workspace:
            return victim.workspace.id in (line.get("workspace_id"), line.get("id"))
        if table == "organisations":
            return line["id"] == victim.organisation_id
        if table == "users":
            return line["id"] in users
        return line.get("organisation_id") == victim.organisation_id


def capturing(level: int = logging.INFO) -> tuple[io.StringIO, Callable[[], None]]:
    """What the process logs from now on, as the service writes it, and how to stop that."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines())
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in ("", *QUIET)}
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.WARNING if name else level)

    def stop() -> None:
        root.removeHandler(handler)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)

    return stream, stop


def victim_of(world: World, tenant: Tenant, mark: str = MARK) -> Victim:
    """A tenant's organisation with something of everything, every name of it with the mark."""
    workspace = tenant.workspace(f"{mark} Prod")
    tenant.settings(name=f"{mark} Inc")
    user_id = tenant.member(f"{mark}-ada")
    tenant.join(user_id, workspace, "admin")
    keys = [tenant.admin_key, tenant.user_key(user_id, workspace), tenant.service_key(workspace)]
    world.watched(*keys)
    made = {
        "agreement": _made(tenant, "/v1/pricing/negotiated", {**_AGREED, "skip_ptu_cost_attribution": True}),
        "reservation": _made(
            tenant, "/v1/pricing/reservations", {**_AGREED, "name": f"{mark} units", "amount_cents": 5, "per": "day"}
        ),
    }
    invited = {
        "email": tenant.email(f"{mark}-bob"),
        "role": "member",
        "workspaces": [{"id": workspace.slug, "role": "member"}],
    }
    invite = tenant.call("POST", "/v1/admin/users/invites", invited).json()
    world.watched(invite["invite_link"].rpartition("/")[2])
    listed = tenant.get("/v1/api-keys")["data"]
    _store(world, tenant, workspace, mark)
    handles = {
        "user": [user_id, tenant.owner_id],
        "workspace": [workspace.id, workspace.slug],
        "key": [one["id"] for one in listed],
        "invite": [invite["id"]],
        "agreement": list(made.values()),
        "log": [f"{mark}-log"],
        "trace": [f"{mark}-trace"],
        "feedback": [f"{mark}-feedback"],
        "organisation": [tenant.id],
        "email": [tenant.email(f"{mark}-ada")],
    }
    hidden = {one for several in handles.values() for one in several} | {mark} | {one["key"] for one in listed}
    hidden |= {f"{mark} Inc", f"{mark} Prod", f"{mark}-bob", f"{mark}-model", f"{mark}-value", f"{mark} units"}
    return Victim(tenant.id, workspace, handles, frozenset(hidden))


_AGREED = {"applies_to": {"type": "provider", "slug": f"{MARK}-provider"}, "effective_from": "2026-01-01T00:00:00Z"}


def _made(tenant: Tenant, path: str, body: Mapping[str, Any]) -> str:
    answer = tenant.call("POST", path, body)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def _store(world: World, tenant: Tenant, workspace: Workspace, mark: str) -> None:
    row = {
        "organisation_id": tenant.id,
        "workspace_slug": workspace.slug,
        "created_at": AT,
        "id": f"{mark}-log",
        "trace_id": f"{mark}-trace",
        "ai_org": f"{mark}-provider",
        "ai_model": f"{mark}-model",
        "config": f"{mark}-config",
        "metadata.key": [f"{mark}-key", "_user"],
        "metadata.value": [f"{mark}-value", f"{mark}-person"],
        "is_success": True,
        "response_status_code": 200,
        "cost": Decimal(1),
        "batch_id": mark,
        "ingested_at": AT,
    }
    given = {
        "organisation_id": tenant.id,
        "workspace_slug": workspace.slug,
        "created_at": AT + timedelta(minutes=1),
        "id": f"{mark}-feedback",
        "trace_id": f"{mark}-trace",
        "value": 5,
        "weight": 1.0,
        "batch_id": mark,
        "ingested_at": AT,
    }
    store(world.client, GENERATIONS, rows.as_generations([row]), f"{mark}-{tenant.number}")
    store(world.client, FEEDBACKS, rows.as_feedbacks([given]), f"{mark}-{tenant.number}")


def strangers(world: World, attacker: Tenant) -> list[Key]:
    """Keys of another organisation, each with everything that its kind can hold."""
    workspace = attacker.workspace("Lair")
    attacker.join(attacker.owner_id, workspace, "admin")
    return [
        Key("organisation key", KeyKind.ORGANISATION_SERVICE, world.watched(attacker.admin_key)),
        Key("service key", KeyKind.WORKSPACE_SERVICE, world.watched(attacker.service_key(workspace))),
        Key("owner's key", KeyKind.WORKSPACE_USER, world.watched(attacker.user_key(attacker.owner_id, workspace))),
    ]


def neighbours(world: World, tenant: Tenant) -> list[Key]:
    """Keys of another workspace in the tenant's organisation."""
    workspace = tenant.workspace("Next door")
    _, admin = tenant.person("ned", workspace, "admin")
    _, member = tenant.person("mia", workspace, "member")
    return [
        Key("service key next door", KeyKind.WORKSPACE_SERVICE, world.watched(tenant.service_key(workspace))),
        Key("admin next door", KeyKind.WORKSPACE_USER, world.watched(admin)),
        Key("member next door", KeyKind.WORKSPACE_USER, world.watched(member)),
    ]


def tenant_in(world: World) -> Tenant:
    """A new organisation."""
    return new_tenant(world.here, world.client)


def unknown_key() -> str:
    """A key that looks right and is nobody's."""
    return new_raw_key()
