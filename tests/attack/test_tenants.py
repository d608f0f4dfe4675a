"""Every route with the ids, slugs and addresses of somebody else, by keys of another organisation and workspace.

An answer shows nothing of the victim's that the attacker did not write itself, the victim's rows stay as they are, and
what is somebody else's is answered like what does not exist.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from api.permissions import scopes_of
from tests.attack.targets import TIME, Target, guarded, handlers
from tests.attack.world import Key, Victim, World, neighbours, strangers, tenant_in, victim_of

ABSENT = "00000000-0000-4000-8000-000000000000"
ROUTES = tuple(target for target in guarded() if not target.is_alias)
MOST_QUERY = 20
"""Routes with more parameters share how they read them: `tests/property/test_api_tenancy.py` goes deeper there."""


@dataclass
class Attack:
    """Sends as one attacker after the other, and checks each answer."""

    world: World
    victim: Victim
    keys: Sequence[Key]
    sent: list[str] = field(default_factory=list[str])
    own: frozenset[str] = frozenset()
    """Ids of what is the attacker's own."""

    def send(self, target: Target, url: str, *, is_once: bool = False, **what: Any) -> None:
        """With every key that the route may let in, or with the next of them."""
        fitting = [key for key in self.keys if target.permission.allows(key.kind, scopes_of(key.kind))]
        if is_once and fitting:
            fitting = [fitting[len(self.sent) % len(fitting)]]
        for key in fitting:
            self._send(key, target, url, **what)

    def _send(self, key: Key, target: Target, url: str, **what: Any) -> None:
        answer = self.world.send(target.method, url, key=key.raw, **what)
        wrote = unquote(url) + json.dumps(what, default=str)
        self.sent.append(wrote)
        told = f"{key.who}: {target.name} {wrote} -> {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500, told
        # The audit log and what is its own repeat to the attacker what it wrote before.
        repeats = target.tag == "audit logs" or any(one in url for one in self.own)
        known = "".join(self.sent) if repeats else wrote
        shown = self.victim.shown_in(answer.text + str(answer.headers), known)
        assert not shown, f"{told} shows {shown}"


def fields_of(schema: Mapping[str, Any] | None, body: Any) -> Iterator[tuple[str, ...]]:
    """Paths of all fields that a body may have, two levels deep."""
    if schema is None:
        return
    for name, one in schema.get("properties", {}).items():
        yield (name,)
        inner = one.get("items", one) if isinstance(one, Mapping) else {}
        for below in inner.get("properties", {}) if isinstance(inner, Mapping) else ():
            yield (name, below)
    if isinstance(body, list):
        yield from ((name,) for name in ("organisation_id", "organisationId", "workspace_slug", "id", "trace_id"))


def with_field(body: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy of the body with a field set, whether it has it or not."""
    copy = json.loads(json.dumps(body))
    at = copy[0] if isinstance(copy, list) else copy
    for step in path[:-1]:
        inner = at.get(step)
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            at = inner[0]
        else:
            at[step] = inner if isinstance(inner, dict) else {}
            at = at[step]
    at[path[-1]] = [value] if isinstance(at.get(path[-1]), list) else value
    return copy


def attack_paths(attack: Attack, victim: Victim, own: Mapping[str, str]) -> None:
    for target in ROUTES:
        body = target.body()
        for handle in victim.names if target.parameters else ():
            for values in places(target, handle, own):
                is_once = target.method == "GET"
                attack.send(target, target.url(values), is_once=is_once, query=asked(target), body=body)


def places(target: Target, handle: str, own: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The handle for every parameter of the path, and for each alone beside the attacker's own things."""
    if "sub_type" in target.parameters or "groupBy" in target.parameters:
        return
    yield dict.fromkeys(target.parameters, handle)
    if len(target.parameters) > 1:
        for name in target.parameters:
            yield {**own, name: handle}


def asked(target: Target) -> dict[str, str]:
    return dict(TIME) if any(name in target.query for name in TIME) else {}


def attack_queries(attack: Attack, victim: Victim, own: Mapping[str, str]) -> None:
    for target in handlers():
        if target.permission.public:
            continue
        is_short = len(target.query) > MOST_QUERY
        names = ("workspace_slug", "trace_id") if is_short else (*target.query, "organisation_id")
        for name in names:
            for handle in (victim.workspace.slug,) if is_short else handles_for(victim, name):
                query = {**asked(target), name: handle}
                attack.send(target, target.url(own), is_once=is_short, query=query, body=target.body())


def attack_bodies(attack: Attack, victim: Victim, own: Mapping[str, str]) -> None:
    for target in handlers():
        body = target.body()
        if target.permission.public or body is None:
            continue
        for url in sorted({target.url({}), target.url(own)}):
            named = {("organisation_id",), ("workspace_id",), ("user_id",)}
            for path in sorted({*fields_of(target.schema, body), *named}):
                for handle in handles_for(victim, path[-1]):
                    attack.send(target, url, is_once=True, body=with_field(body, path, handle))


def handles_for(victim: Victim, name: str) -> tuple[str, ...]:
    """Handles of the kinds that a field of this name may mean; of every kind where the name does not tell."""
    kinds = [kind for kind in victim.handles if kind[:4] in name or name in ("id", "ids", "slug")]
    return tuple(one for kind in kinds for one in victim.handles[kind]) or (victim.workspace.slug,)


HEADERS = (
    "x-portkey-organisation", "x-portkey-workspace", "x-portkey-workspace-id", "x-portkey-workspace-slug",
    "x-portkey-user", "x-organisation-id", "x-forwarded-user", "x-original-url", "x-rewrite-url",
    "x-http-method-override",
)  # fmt: skip


def attack_headers(attack: Attack, victim: Victim, own: Mapping[str, str]) -> None:
    for target in handlers():
        if not target.permission.public and target.method == "GET":
            for handle in (victim.organisation_id, victim.workspace.slug, f"/v1/admin/users/{victim.names[0]}"):
                headers = dict.fromkeys(HEADERS, handle)
                attack.send(target, target.url(own), is_once=True, query=asked(target), headers=headers)


ATTACKS = (attack_paths, attack_queries, attack_bodies, attack_headers)


@pytest.mark.parametrize("way", ATTACKS, ids=lambda way: way.__name__)
def test_another_organisation_reaches_nothing(world: World, way: Any) -> None:
    victim = victim_of(world, tenant_in(world))
    attacker = tenant_in(world)
    own = {"workspace_id": attacker.workspace("Mine").id, "user_id": attacker.member("minion")}
    before = world.dump(victim, of_workspace=False)
    attack = Attack(world, victim, strangers(world, attacker), own=frozenset(own.values()))
    way(attack, victim, own)
    assert len(attack.sent) > 50
    assert world.dump(victim, of_workspace=False) == before


@pytest.mark.parametrize("way", ATTACKS, ids=lambda way: way.__name__)
def test_another_workspace_reaches_nothing(world: World, way: Any) -> None:
    tenant = tenant_in(world)
    whole = victim_of(world, tenant)
    # People and the organisation itself are no secret in a house that both live in.
    shared = {"user", "organisation", "email", "agreement", "invite"}
    handles = {kind: several for kind, several in whole.handles.items() if kind not in shared}
    place = whole.workspace
    keys = [one["id"] for one in tenant.get(f"/v1/api-keys?workspace_id={place.slug}")["data"]]
    handles["key"] = keys
    hidden = {one for several in handles.values() for one in several} | {place.name}
    victim = Victim(tenant.id, place, {**handles, "user": whole.handles["user"], "organisation": []}, frozenset(hidden))
    victim = Victim(tenant.id, place, {**victim.handles, "organisation": [tenant.id]}, victim.secrets)
    before = world.dump(victim, of_workspace=True)
    way(Attack(world, victim, neighbours(world, tenant)), victim, {})
    assert world.dump(victim, of_workspace=True) == before


def is_like(answer: httpx.Response, other: httpx.Response, named: str, other_named: str) -> bool:
    """Whether two answers are the same but for what was asked for."""
    return (answer.status_code, answer.text.replace(named, "?")) == (
        other.status_code,
        other.text.replace(other_named, "?"),
    )


def test_what_another_organisation_has_is_answered_like_what_nobody_has(world: World) -> None:
    victim, attacker = victim_of(world, tenant_in(world)), tenant_in(world)
    own = {"workspace_id": attacker.workspace("Mine").id}
    keys = strangers(world, attacker)
    told: list[str] = []
    for target in ROUTES:
        for name in target.parameters:
            if name in ("groupBy", "metadataKey", "type", "sub_type"):
                continue
            for handle in victim.names:
                absent = ABSENT if len(handle) == len(ABSENT) else f"absent-{handle[-6:]}"
                key = keys[len(told) % len(keys)] if target.permission.public else keys[0]
                for fitting in (key, keys[1]):
                    if not target.permission.allows(fitting.kind, scopes_of(fitting.kind)):
                        continue
                    found, none = (
                        world.send(
                            target.method,
                            target.url({**own, name: one}),
                            key=fitting.raw,
                            query=asked(target),
                            body=target.body(),
                        )
                        for one in (handle, absent)
                    )
                    if not is_like(found, none, handle, absent):
                        told.append(f"{target.name} {name}={handle}: {found.status_code} and {none.status_code}")
                    if target.method == "GET":
                        break
    assert told == []
