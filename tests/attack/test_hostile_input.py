"""Hostile input on every route: nothing fails on our side, and nothing of our insides is told."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from api.permissions import scopes_of
from tests.attack import hostile
from tests.attack.conftest import LIMIT_BYTES
from tests.attack.targets import TIME, Target, handlers
from tests.attack.test_tenants import fields_of, with_field
from tests.attack.world import Key, World, strangers, tenant_in
from tests.factories.tenant import Tenant

MEBIBYTE = 1 << 20
WIDE = 20
"""Routes with more parameters share how they read them."""
FEW = 2
"""Each parameter of the other routes gets this many hostile values, the next ones in turn."""
TAILS = ("&page_size=1&page_size=2&workspace_slug=a&workspace_slug=b", "&%00=1&=&&&", "&a" * 3000, "&%ff=%ff")
"""What may stand behind a query; each route gets half of them, and half of the bodies that are none."""


class Probe:
    """An organisation of its own, with keys that may call every route, and what its routes need in their paths."""

    def __init__(self, world: World) -> None:
        self.world, self.tenant = world, tenant_in(world)
        self.keys = strangers(world, self.tenant)
        self.failures: list[str] = []
        self.sent = 0

    def key_for(self, target: Target) -> Key:
        return next((key for key in self.keys if target.permission.allows(key.kind, scopes_of(key.kind))), self.keys[0])

    def send(self, target: Target, url: str, what: str, **sent: Any) -> httpx.Response:
        answer = self.world.send(target.method, url, key=self.key_for(target).raw, **sent)
        self.sent += 1
        body = sent.get("content") or json.dumps(sent.get("body"), default=str).encode()
        wrote = f"{url} {body[:200_000].decode('latin-1') if isinstance(body, bytes) else ''} {sent.get('headers')}"
        told = f"{target.name} {url[:120]} {what[:80]} -> {answer.status_code} {answer.text[:200]}"
        if answer.status_code >= 500:
            self.failures.append(told)
        elif answer.status_code != 200 and target.tag != "model configs":
            self.failures.extend(f"{told} is no error of ours" for _ in (1,) if not is_error(answer))
            self.failures.extend(f"{told} tells {one}" for one in hostile.leaks_in(answer.text, wrote))
        return answer


def is_error(answer: httpx.Response) -> bool:
    """Whether it has the one error shape (or is a page for people)."""
    if answer.headers["content-type"].startswith("text/html"):
        return True
    body = answer.json()
    return body.get("success") is False and body["error"]["message"] == body["data"]["message"]


def own_things(tenant: Tenant) -> dict[str, dict[str, str]]:
    """Parameter → value, by the tag of the route where names alone do not tell."""
    workspace = tenant.workspace("Probed")
    user_id = tenant.member("probed")
    tenant.join(user_id, workspace)
    invited = {"email": tenant.email("invited"), "role": "member"}
    invite = tenant.call("POST", "/v1/admin/users/invites", invited).json()["id"]
    body = {"name": "k", "scopes": ["logs.list"], "workspace_id": workspace.id}
    key = tenant.call("POST", "/v1/api-keys/workspace/service", body).json()["id"]
    common = {"workspace_id": workspace.id, "user_id": user_id, "invite_id": invite, "id": "absent"}
    return {"": common, "api-keys": {**common, "id": key}, "organisations": {**common, "id": tenant.id}}


@pytest.fixture
def probe(world: World) -> Iterator[Probe]:
    made = Probe(world)
    yield made
    assert not made.failures, "\n".join(made.failures[:40])
    assert made.sent > 50


def asked(target: Target) -> str:
    return "&".join(f"{name}={value}" for name, value in TIME.items() if name in target.query)


def with_bodies() -> Iterator[Target]:
    return (target for target in handlers() if target.schema is not None)


def test_bodies_that_are_no_body(probe: Probe) -> None:
    things, bodies = own_things(probe.tenant), list(hostile.BODIES.items())
    for turn, target in enumerate(with_bodies()):
        url = target.url(things.get(target.tag, things[""]))
        for what, content in taken(bodies, turn, len(bodies) // 2):
            probe.send(target, url, what, content=content, headers={"content-type": "application/json"})
        for type_ in taken(hostile.TYPES, turn, 3):
            probe.send(target, url, type_, content=b'{"name":"x"}', headers={"content-type": type_})


def test_every_field_with_every_type_and_text(probe: Probe) -> None:
    things = own_things(probe.tenant)
    turn = 0
    for target in with_bodies():
        if target.method == "DELETE":
            continue
        url, body = target.url(things.get(target.tag, things[""])), target.body()
        for path in fields_of(target.schema, body):
            for value in (None, *taken(hostile.OTHER_TYPES, turn, 4)):
                probe.send(
                    target, url, f"{path} {value!r}", content=written(with_field(body, path, value)), headers=JSON
                )
            for value in taken(hostile.STRINGS, turn, 2):
                probe.send(
                    target, url, f"{path} {value!r}", content=written(with_field(body, path, value)), headers=JSON
                )
            if turn % 3 == 0:
                long = with_field(body, path, hostile.LONG)
                probe.send(target, url, f"{path} long", content=written(long), headers=JSON)
            turn += 1
        for value in taken(hostile.STRINGS, turn, 11):
            sent = everywhere(target.schema or {}, value)
            probe.send(target, url, f"everywhere {value!r}", content=written(sent), headers=JSON)


JSON = {"content-type": "application/json"}


def taken(values: Sequence[Any], turn: int, count: int) -> list[Any]:
    """So many of the values, other ones at each turn, so that fields that are checked alike share the work."""
    return [values[(turn * count + step) % len(values)] for step in range(count)]


def written(body: Any) -> bytes:
    """As JSON, where half of a pair is escaped as it may be."""
    return json.dumps(body).encode()


def everywhere(schema: Mapping[str, Any], value: str) -> Any:
    """A body that has the text in every field of text."""
    if schema.get("type") == "array":
        return [everywhere(schema.get("items", {}), value)]
    if "properties" in schema:
        return {name: everywhere(one, value) for name, one in schema["properties"].items()}
    return value


def test_bodies_that_are_too_large(probe: Probe) -> None:
    over = b'{"name":"' + b"x" * (10 * MEBIBYTE) + b'"}'
    for target in with_bodies():
        limit = LIMIT_BYTES if target.declared.large_body else 10 * MEBIBYTE
        content = over[: limit + 100]
        for sent in (content, (content[at : at + MEBIBYTE] for at in range(0, len(content), MEBIBYTE))):
            answer = probe.send(target, target.url(), "too large", content=sent, headers=JSON)
            assert answer.status_code == 413 or target.permission.public, target.name
        declared = {**JSON, "content-length": str(limit + 1)}
        probe.send(target, target.url(), "declared too large", content=iter([b"{}"]), headers=declared)
        for length in ("-1", "1e3", "9" * 400, "00000000000000000000" * 3 + "9"):
            headers = {**JSON, "content-length": length}
            probe.send(target, target.url(), f"length {length[:20]}", content=iter([b"{}"]), headers=headers)


def test_bodies_that_become_huge(probe: Probe) -> None:
    bombs = list(hostile.bombs(LIMIT_BYTES))
    for target in with_bodies():
        for what, encoding, content in bombs:
            headers = {**JSON, "content-encoding": encoding}
            answer = probe.send(target, target.url(), what, content=content, headers=headers)
            if target.declared.large_body and what.endswith("bomb"):
                assert answer.status_code == 413, (target.name, what, answer.text)


def test_queries_and_paths(probe: Probe) -> None:
    things = own_things(probe.tenant)
    turn = 0
    for target in handlers():
        body = target.body()
        for segment in taken(hostile.SEGMENTS, turn, 5) if target.parameters else ():
            values = dict.fromkeys(target.parameters, segment)
            probe.send(target, f"{target.url(values, raw=True)}?{asked(target)}", segment, body=body)
        url = f"{target.url(things.get(target.tag, things['']))}?{asked(target)}"
        is_wide = len(target.query) > WIDE
        for name in (*target.query, "api_version"):
            for value in taken(hostile.QUERIES, turn, 1 if is_wide else FEW):
                turn += 1
                probe.send(target, f"{url}&{name}={value}", name, body=body)
        for tail in taken(TAILS, turn, len(TAILS) // 2):
            probe.send(target, url + tail, tail[:30], body=body)


HEADERS: tuple[Mapping[str, bytes], ...] = (
    {"x-portkey-metadata": b"\xff\xfe{"},
    {"x-portkey-metadata": b"[" * 50_000},
    {"x-portkey-config": b"{" * 50_000, "traceparent": b"00-\xff-\xff-\xff", "baggage": b"=,;%ff=%00"},
    {"x-portkey-trace-id": b"\xe2\x28\xa1" + b"a" * 20_000, "x-portkey-span-name": b"a\x01b"},
    {"x-request-id": b"a b\x01c", "x-portkey-request-id": b"\xff" * 100},
    {"content-type": b"application/json; charset=utf-\xff", "accept-encoding": b"\xff", "accept": b"*/" * 5000},
    {"x-forwarded-for": b"' OR 1=1, \xff", "host": b"evil.example", "x-forwarded-host": b"evil.example"},
    {"cookie": b"a=b; " * 2000, "authorization": b"Bearer \xff", "range": b"bytes=0-99999999999999999999"},
)


def test_headers(probe: Probe) -> None:
    for number, target in enumerate(handlers()):
        url, body = f"{target.url()}?{asked(target)}", target.body()
        mine = (
            HEADERS if body is not None else (HEADERS[number % len(HEADERS)], HEADERS[(number * 3 + 1) % len(HEADERS)])
        )
        for headers in mine:
            answer = probe.send(target, url, str(headers)[:60], body=body, headers=headers)
            assert b"\r" not in b"".join(value for _, value in answer.headers.raw)
            assert target.tag == "audit logs" or "evil.example" not in answer.text + str(answer.headers)


CREDENTIALS = (
    b"\xff\xfe", b"gl_\x01", b"a" * 9000, b"' OR 1=1 --", b"a.b.c", b"e30.e30.", b"..", b"Bearer", b"gl_" + b"%" * 43,
    "gl_\u212a".encode(), b"eyJhbGciOiJub25lIn0.eyJvcmdhbmlzYXRpb25faWQiOiJ4In0.", b"[" * 4000, b"\x7f" * 50,
)  # fmt: skip


def test_credentials(probe: Probe) -> None:
    guarded = [target for target in handlers() if not target.permission.public]
    for target in guarded:
        for credential in CREDENTIALS if target in guarded[:3] else CREDENTIALS[:2]:
            for headers in ({"x-portkey-api-key": credential}, {"authorization": b"Bearer " + credential}):
                answer = probe.world.send(target.method, target.url(), headers=headers)
                probe.sent += 1
                assert answer.status_code == 401, (target.name, credential)
                assert answer.json()["data"] == {"message": "Unauthorised Request", "errorCode": "AB05"}
