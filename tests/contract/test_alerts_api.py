"""Webhooks of alerts over HTTP, and an invite's mail that outlives its process."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.alerts.delivery import Delivery
from api.alerts.destinations import MOST
from api.alerts.rows import Destination, Message
from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed, serving
from tests.factories.outbox import mail_settings
from tests.factories.smtp_server import smtp_server
from tests.factories.tenant import Tenant, new_tenant, refused

PATH = "/v1/alerts/destinations"
URL = "https://hooks.acme.example/services/T0/B0/secret-part"
FIELDS = {"id", "object", "organisation_id", "workspace_id", "channel", "name", "url", "created_at", "last_updated_at"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient]]:
    with installed(tmp_path_factory.mktemp("home")) as here, serving(here) as client:
        yield here, client


@pytest.fixture
def tenant(app: tuple[Installation, TestClient]) -> Tenant:
    return new_tenant(*app)


def made(tenant: Tenant, **fields: Any) -> dict[str, Any]:
    answer = tenant.call("POST", PATH, {"url": URL, **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_a_webhook_tells_its_secret_once_and_never_its_url(tenant: Tenant) -> None:
    told = made(tenant, name="Finance")
    assert set(told) == FIELDS | {"secret"}
    assert told["secret"].startswith("whsec_")
    assert told["url"] == "https://hooks.acme.example/…"
    assert (told["channel"], told["workspace_id"]) == ("webhook", None)
    listed = tenant.get(PATH)
    assert (listed["total"], [set(one) for one in listed["data"]]) == (1, [FIELDS])
    assert "secret-part" not in str(listed)
    with tenant.here.database.transaction(writes=False) as session:
        row = session.get_one(Destination, told["id"])
        assert "secret-part" not in f"{row.sealed_url}{row.url_mask}"
        assert told["secret"] not in (row.sealed_secret or "")


def test_slack_of_one_workspace(tenant: Tenant) -> None:
    workspace = tenant.workspace()
    told = made(tenant, channel="slack", workspace_id=workspace.slug)
    assert (told["channel"], told["workspace_id"], told["secret"]) == ("slack", workspace.id, None)


def test_what_is_deleted_is_gone(tenant: Tenant) -> None:
    told = made(tenant)
    assert tenant.call("DELETE", f"{PATH}/{told['id']}").json() == {}
    assert tenant.get(PATH)["total"] == 0
    assert refused(tenant.call("DELETE", f"{PATH}/{told['id']}"))[:2] == (404, "AB08")


def test_of_another_organisation(tenant: Tenant, app: tuple[Installation, TestClient]) -> None:
    told, other = made(tenant), new_tenant(*app)
    assert refused(other.call("DELETE", f"{PATH}/{told['id']}"))[:2] == (404, "AB08")
    assert other.get(PATH)["total"] == 0
    assert refused(other.call("POST", PATH, {"url": URL, "workspace_id": tenant.workspace().id}))[:2] == (403, "AB03")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"url": "http://hooks.acme.example/x"}, "https://"),
        ({"url": "https://127.0.0.1/x"}, "private network"),
        ({"url": "https://[::ffff:10.0.0.1]/x"}, "private network"),
        ({"url": "https://user:pass@hooks.acme.example/x"}, "user or password"),
        ({"url": URL, "channel": "pager"}, "channel"),
        ({"url": URL, "colour": "red"}, "colour"),
        ({}, "url"),
    ],
)
def test_what_is_wrong_is_told(tenant: Tenant, body: dict[str, Any], why: str) -> None:
    answer = tenant.call("POST", PATH, body)
    assert refused(answer)[:2] == (400, "AB01")
    assert why in answer.text


def test_there_is_an_end_to_them(tenant: Tenant) -> None:
    for _ in range(MOST):
        made(tenant)
    assert refused(tenant.call("POST", PATH, {"url": URL}))[:2] == (409, "AB07")


def test_dead_letters_are_among_the_metrics(tenant: Tenant) -> None:
    text = tenant.client.get("/metrics").text
    assert 'gateledger_messages{status="dead"} 0.0' in text
    assert 'gateledger_messages{status="waiting"} ' in text


def test_keys_of_a_workspace_may_not(tenant: Tenant) -> None:
    key = tenant.here.key(KeyKind.WORKSPACE_SERVICE, organisation_id=tenant.id, workspace_id=tenant.workspace().id)
    assert refused(tenant.client.get(PATH, headers=auth(key)))[:2] == (403, "AB03")


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
def test_no_request_waits_for_a_mail_and_the_next_process_sends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Delivery, "once", lambda _: None)  # the first process stops before it sends anything
    with smtp_server() as (post, port):
        with installed(tmp_path, mail=mail_settings(port)) as here:
            with serving(here) as client:
                body = {"email": "new@acme.example", "role": "member"}
                answer = client.post("/v1/admin/users/invites", json=body, headers=auth(here.key()))
                assert answer.status_code == 200
            assert post.mails == []
            link = answer.json()["invite_link"]
            with here.database.transaction(writes=False) as session:
                [waiting] = session.scalars(select(Message))
                assert link.rpartition("/")[2] not in f"{waiting.payload}{waiting.sealed}"
            monkeypatch.undo()
            with serving(here):
                post.wait_for(1, within_s=60)
        plain = post.mails[0][0].get_body(("plain",))
    assert plain is not None
    assert link in plain.get_content()
    assert link.rpartition("/")[2] not in caplog.text
