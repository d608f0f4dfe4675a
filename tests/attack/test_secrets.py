"""Guessing keys, and what the log and the audit log keep of secrets that were sent."""

import json
import threading
from typing import Any

import pytest
from sqlalchemy import event
from sqlglot import exp

from api.api_keys import service
from api.principal import Gatekeeper
from tests.attack.targets import TIME, guarded, handlers
from tests.attack.world import World, strangers, tenant_in, unknown_key
from tests.factories.app import NOW
from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.engines.base import scan

REQUESTS_RUN_IN = "AnyIO"
"""Threads whose names begin so serve requests; others ask the database beside them."""


class Work:
    """Counts what a look-up costs: statements with their texts, and hashes."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        self.hashes = 0
        self._services = world.client.app.state.services  # type: ignore[attr-defined]
        event.listen(self._services.database.engine, "before_cursor_execute", self._executed)
        hash_of = service.hash_of

        def counted(raw: str) -> str:
            self.hashes += 1
            return hash_of(raw)

        for module in ("api.principal", "api.operations.refusals"):
            monkeypatch.setattr(f"{module}.hash_of", counted)

    def _executed(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.current_thread().name.startswith(REQUESTS_RUN_IN):
            self.statements.append(statement)

    def of(self, world: World, key: str) -> tuple[list[str], int]:
        """What a call with this key costs until the key is known or refused."""
        self.statements.clear()
        self.hashes = 0
        world.send("GET", "/v1/api-keys/self", key=key)
        return list(self.statements), self.hashes

    def stop(self) -> None:
        event.remove(self._services.database.engine, "before_cursor_execute", self._executed)


def test_a_guessed_key_costs_the_same_however_near_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = tenant_in(world)
    real = world.watched(tenant.admin_key)
    last = "A" if real[-1] != "A" else "B"
    work = Work(world, monkeypatch)
    guesses = (unknown_key(), real[:-1] + last, real[:20] + unknown_key()[20:], real.lower(), real + "A", "x")
    costs = [work.of(world, world.watched(guess) if len(guess) > 20 else guess) for guess in guesses]
    known, _ = work.of(world, real)
    work.stop()
    assert all(cost == costs[0] for cost in costs)
    looking_up = costs[0][0]
    assert len([one for one in looking_up if "key_hash" in one]) == 1
    assert known[: len(looking_up)] == looking_up


def test_a_refusal_tells_nothing_of_the_key(world: World) -> None:
    real = tenant_in(world).admin_key
    wrong = [unknown_key(), real[:-1] + ("A" if real[-1] != "A" else "B"), "x", "gl_", real + " " + real]
    world.watched(*wrong[:2])
    answers = [world.send("GET", "/v1/api-keys/self", key=one) for one in wrong]
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
    names = [sorted(set(answer.headers) - {"x-request-id", "x-portkey-request-id"}) for answer in answers]
    assert all(one == names[0] for one in names)


def test_masks_and_ids_give_no_key_back(world: World) -> None:
    tenant = tenant_in(world)
    keys = [key.raw for key in strangers(world, tenant)]
    listed = tenant.get("/v1/api-keys")["data"]
    hashes = {service.hash_of(key) for key in keys}
    for target in guarded():
        if target.method != "GET":
            continue
        for one in listed:
            query = dict(TIME) if set(TIME) <= set(target.query) else {}
            url = target.url({"id": one["id"], "workspace_id": tenant.id, "user_id": tenant.owner_id})
            if one is not listed[0] and target.tag != "api-keys":
                continue
            text = world.send("GET", url, key=tenant.admin_key, query=query).text
            assert not [key for key in keys if key in text or key[3:12] in text]
            assert not [digest for digest in hashes if digest in text]
    for one in listed:
        assert len(one["key"].replace("*", "")) <= 5
        for value in (one["key"], one["id"]):
            assert world.send("GET", "/v1/api-keys/self", key=value).status_code == 401


def test_the_gatekeeper_remembers_no_raw_key(world: World) -> None:
    gatekeeper: Gatekeeper = world.client.app.state.services.gatekeeper  # type: ignore[attr-defined]
    tenant = tenant_in(world)
    gatekeeper.look_up(tenant.admin_key, NOW)
    assert tenant.admin_key not in repr(vars(gatekeeper)) + repr(vars(gatekeeper._known))


SECRETS = {
    "password": "Corr3ct-Horse-Battery",
    "api_key": "sk-attack0123456789abcdefghij",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCY",
    "authorization": "Bearer sk-attack-bearer-0123456789abcdef",
    "client_secret": "hush-4711-hush-0815",
}


def test_neither_log_keeps_what_was_secret(world: World) -> None:
    tenant = tenant_in(world)
    key = world.watched(tenant.admin_key, *SECRETS.values())
    guess = world.watched(unknown_key())
    for target in handlers():
        body = target.body()
        sent = {**body, **SECRETS, "nested": {"provider": [SECRETS]}} if isinstance(body, dict) else body
        query = {**SECRETS, "x-portkey-api-key": guess, "access_token": guess}
        headers = {"x-api-key": SECRETS["api_key"], "cookie": f"session={SECRETS['client_secret']}"}
        for credential in (key, guess):
            answer = world.send(target.method, target.url(), key=credential, query=query, body=sent, headers=headers)
            assert answer.status_code < 500, (target.name, answer.text)
        world.send(target.method, target.url(), key=key, content=f"password={SECRETS['password']}".encode())
    operations = world.client.app.state.services.operations  # type: ignore[attr-defined]
    assert operations is not None
    kept = audited(world, tenant.id)
    assert kept
    assert not [secret for secret in (key, guess, *SECRETS.values()) if secret in kept]


def audited(world: World, organisation_id: str) -> str:
    """Every audit record of an organisation, as the API tells it and as the warehouse keeps it."""
    import time

    services = world.client.app.state.services  # type: ignore[attr-defined]
    folder, end = services.settings.audit_spool_folder, time.monotonic() + 10
    told = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
    tree = exp.select("*").from_(scan(AUDIT_LOGS.name))
    lines: list[Any] = []
    while time.monotonic() < end and not lines:
        lines = [one for one in services.engine.query(tree).to_pylist() if one["organisation_id"] == organisation_id]
        time.sleep(0.05)
    assert lines
    return told + json.dumps(lines, default=str)
