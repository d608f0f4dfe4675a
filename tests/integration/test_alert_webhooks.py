"""Webhooks about crossed limits: signed, tried again with the same id, and never into a private network."""

import base64
import hashlib
import hmac
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context
from typing import Any

import orjson
import pytest
import trustme

from api.alerts import signing
from api.alerts.delivery import RETRY_AFTER_S
from api.alerts.network import Target
from api.alerts.rows import Destination
from api.identifiers import new_id
from api.sealing import sealer_of
from tests.factories.app import NOW, Installation, installed
from tests.factories.outbox import Clock, Receiver, alert_settings, crossing, outbox_of, receiver, told

SECRET = signing.new_secret()
LATER = timedelta(seconds=RETRY_AFTER_S[0])


@pytest.fixture
def here(tmp_path: Path) -> Generator[Installation]:
    with installed(tmp_path / "home") as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def webhooks(**fields: Any) -> Any:
    return alert_settings(webhook_secret=SECRET, **fields)


@pytest.fixture
def hook() -> Generator[Receiver]:
    with receiver() as got:
        yield got


def test_the_operators_hears_of_everything_and_it_is_signed(
    here: Installation, tmp_path: Path, hook: Receiver, clock: Clock
) -> None:
    other = here.organisation("Globex")
    with outbox_of(here, tmp_path / "spool", alerts=webhooks(webhook_url=hook.url), clock=clock) as sending:
        told(here, crossing(here), crossing(here, organisation_id=other, workspace_id=None))
        assert sending.send() == {"sent": 4}
        assert len(hook.calls) == 2
        for headers, body in hook.calls:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            right = hmac.new(signing.secret_bytes(SECRET), signed, hashlib.sha256).digest()
            assert headers["webhook-signature"] == f"v1,{base64.b64encode(right).decode()}"
            assert headers["content-type"] == "application/json"
        events = [orjson.loads(body) for _, body in hook.calls]
        assert {event["data"]["organisation_name"] for event in events} == {"Acme", "Globex"}
        assert {event["type"] for event in events} == {"usage_limit.threshold"}


def test_slack(here: Installation, tmp_path: Path, hook: Receiver) -> None:
    with outbox_of(here, tmp_path / "spool", alerts=alert_settings(slack_url=hook.url)) as sending:
        told(here, crossing(here, kind="exhausted"))
        assert sending.send() == {"sent": 2}
    said = "has used up its budget of $10.00. Used since 2026-04-02 12:30 UTC: $7.501."
    assert orjson.loads(hook.calls[0][1]) == {"text": f"Acme: workspace *Shared* {said}"}


def test_retries_keep_the_id_and_heed_retry_after(
    here: Installation, tmp_path: Path, hook: Receiver, clock: Clock
) -> None:
    hook.answers += [(500, {}), (429, {"retry-after": "900"}), (302, {"location": hook.url})]
    with outbox_of(here, tmp_path / "spool", alerts=webhooks(webhook_url=hook.url), clock=clock) as sending:
        told(here, crossing(here))
        assert sending.send() == {"sent": 1, "waiting": 1}
        clock.now += LATER
        assert sending.send() == {"waiting": 1}
        clock.now += timedelta(seconds=899)
        assert sending.send() == {}
        clock.now += timedelta(seconds=1)
        assert sending.send() == {"waiting": 1}  # it does not go where it is sent on to
        clock.now += timedelta(hours=1)
        assert sending.send() == {"sent": 1}
    assert len(hook.calls) == 4
    assert len({headers["webhook-id"] for headers, _ in hook.calls}) == 1
    assert len({headers["webhook-signature"] for headers, _ in hook.calls}) == 4


def test_what_is_gone_is_given_up(here: Installation, tmp_path: Path, hook: Receiver) -> None:
    hook.answers += [(410, {})]
    with outbox_of(here, tmp_path / "spool", alerts=webhooks(webhook_url=hook.url)) as sending:
        told(here, crossing(here))
        assert sending.send() == {"sent": 1, "dead": 1}


def test_a_webhook_of_an_organisation_hears_of_it_alone(here: Installation, tmp_path: Path, hook: Receiver) -> None:
    other = here.organisation("Globex")
    with outbox_of(here, tmp_path / "spool", alerts=alert_settings(private_networks=True)) as sending:
        kept = destination(here, hook.url)
        elsewhere = here.workspace("Elsewhere").id
        destination(here, hook.url, workspace_id=elsewhere)
        told(here, crossing(here), crossing(here, organisation_id=other, workspace_id=None))
        assert [message.recipient for message in sending.messages(channel="webhook")] == [kept]
        assert sending.send() == {"sent": 3}
        [(headers, _)] = hook.calls
        assert headers["webhook-signature"].startswith("v1,")


def test_none_of_them_leads_into_a_private_network(here: Installation, tmp_path: Path, hook: Receiver) -> None:
    with outbox_of(here, tmp_path / "spool") as sending:
        destination(here, hook.url.replace("http:", "https:"))
        told(here, crossing(here))
        assert sending.send() == {"sent": 1, "dead": 1}
    assert hook.calls == []


def test_a_deleted_one_is_skipped(here: Installation, tmp_path: Path, hook: Receiver) -> None:
    with outbox_of(here, tmp_path / "spool", alerts=alert_settings(private_networks=True)) as sending:
        id_ = destination(here, hook.url)
        told(here, crossing(here))
        with here.database.transaction() as session:
            session.delete(session.get_one(Destination, id_))
        assert sending.send() == {"sent": 1, "skipped": 1}


def test_the_connection_goes_to_the_address_that_was_checked_and_the_certificate_is_of_the_name(
    here: Installation, tmp_path: Path
) -> None:
    authority, server = trustme.CA(), SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    network = {"resolve": resolve, "verify": create_default_context(cafile=str(tmp_path / "ca.pem"))}
    private = alert_settings(private_networks=True)
    with receiver(server) as hook, outbox_of(here, tmp_path / "spool", alerts=private, **network) as sending:
        port = int(hook.url.split(":")[2].partition("/")[0])
        destination(here, f"https://hooks.example:{port}/services/x")
        told(here, crossing(here))
        assert sending.send() == {"sent": 2}
        assert hook.calls[0][0]["host"] == f"hooks.example:{port}"
        assert asked == [("hooks.example", port)]
        destination(here, f"https://other.example:{port}/services/x")
        told(here, crossing(here, limit_id="limit-2"))
        assert sending.send() == {"sent": 2, "waiting": 1}
        [failed] = sending.messages(status="waiting")
        assert "CERTIFICATE_VERIFY_FAILED" in (failed.last_error or "")
        assert "services" not in (failed.last_error or "")


def destination(here: Installation, url: str, workspace_id: str | None = None) -> str:
    """The id of a new webhook of the first organisation."""
    with here.database.transaction() as session:
        row = Destination(
            id=new_id(),
            organisation_id=here.first.organisation_id,
            workspace_id=workspace_id,
            channel="webhook",
            name="A hook",
            url_mask=Target(url).url[:20],
            created_at=NOW,
            last_updated_at=NOW,
        )
        sealer = sealer_of(session)
        row.sealed_url, row.sealed_secret = sealer.seal(url, row.id), sealer.seal(SECRET, row.id)
        session.add(row)
        return row.id
