"""Alerts without I/O: words, signatures, sealed secrets, and where a webhook may lead."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.alerts import signing, wording
from api.alerts.network import Poster, Target, is_public, problem_of
from api.alerts.outbox import alert_id
from api.limits.machine import Crossing
from api.mail.templates import VALUES, Template
from api.mail.transport import NotDelivered
from api.sealing import Sealer
from warehouse.errors import ConfigurationError

NOW = datetime(2026, 4, 2, 12, 30, tzinfo=UTC)
CROSSING = Crossing(
    organisation_id="org",
    workspace_id="ws",
    entity_type="api_key",
    entity_id="key",
    entity_name="Prod <&> key",
    value_key=None,
    limit_id="limit",
    kind="exhausted",
    type="cost",
    usage=Decimal("10.002500000001"),
    credit_limit=Decimal(10),
    alert_threshold=Decimal("7.5"),
    period_started_at=datetime(2026, 4, 1, tzinfo=UTC),
)


class TestIds:
    def test_the_same_crossing_is_the_same_alert(self) -> None:
        assert alert_id(CROSSING) == alert_id(replace(CROSSING, usage=Decimal(99), entity_name="Renamed"))

    @pytest.mark.parametrize(
        "change",
        [
            {"organisation_id": "other"},
            {"entity_type": "workspace"},
            {"limit_id": "other"},
            {"value_key": "metadata._user:alice"},
            {"kind": "threshold"},
            {"period_started_at": datetime(2026, 5, 1, tzinfo=UTC)},
            {"alert_round": 1},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_every_other_one_is_another(self, change: dict[str, object]) -> None:
        assert alert_id(CROSSING) != alert_id(replace(CROSSING, **change))  # type: ignore[arg-type]


class TestWords:
    @pytest.mark.parametrize(
        ("value", "type_", "said"),
        [
            ("10", "cost", "$10.00"),
            ("1234.5", "cost", "$1,234.50"),
            ("0.0025", "cost", "$0.0025"),
            ("10.002500000001", "cost", "$10.002500000001"),
            ("1000000000000", "cost", "$1,000,000,000,000.00"),
            ("1000", "tokens", "1,000 tokens"),
            ("1E+6", "tokens", "1,000,000 tokens"),
        ],
    )
    def test_amounts(self, value: str, type_: str, said: str) -> None:
        assert wording.amount(Decimal(value), type_) == said

    @pytest.mark.parametrize("entity", ["api_key", "virtual_key", "workspace", "integration_workspace", "policy"])
    @pytest.mark.parametrize("kind", ["threshold", "exhausted"])
    def test_a_mail_has_all_that_its_template_names(self, entity: str, kind: str) -> None:
        crossing = replace(CROSSING, entity_type=entity, kind=kind)  # type: ignore[arg-type]
        template = wording.template_of(crossing)
        assert kind in template.value
        values = wording.mail_values(crossing, "Acme", "workspace-service")
        assert VALUES[template] <= {*values, "userName"}

    def test_templates(self) -> None:
        assert wording.template_of(CROSSING) is Template.API_KEY_EXHAUSTED
        assert (
            wording.template_of(replace(CROSSING, entity_type="policy", kind="threshold")) is Template.ENTITY_THRESHOLD
        )

    def test_the_event_is_exact(self) -> None:
        told = wording.event(CROSSING, "alert", "Acme", NOW)
        assert told["type"] == "usage_limit.exhausted"
        assert told["timestamp"] == "2026-04-02T12:30:00.000Z"
        assert told["data"]["usage"] == "10.002500000001"
        assert told["data"]["unit"] == "usd"
        assert told["data"]["entity"] == {"type": "api_key", "id": "key", "name": "Prod <&> key"}

    def test_slack_is_given_no_markup_of_ours(self) -> None:
        hostile = replace(CROSSING, entity_name="<!channel> & co", value_key="metadata._user:<@U1>")
        text = wording.slack(hostile, "Acme")["text"]
        assert "<" not in text
        assert "&lt;!channel&gt; &amp; co" in text
        assert "has used up its budget of $10.00" in text
        threshold = wording.slack(replace(CROSSING, kind="threshold"), "Acme")["text"]
        assert "has used more than $7.50 of $10.00" in threshold


class TestSignatures:
    def test_anybody_can_check_one(self) -> None:
        secret, body = signing.new_secret(), b'{"a":1}'
        headers = signing.signed_headers(secret, "msg", body, NOW)
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"msg.{headers['webhook-timestamp']}.".encode() + body
        right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers == {
            "webhook-id": "msg",
            "webhook-timestamp": str(int(NOW.timestamp())),
            "webhook-signature": f"v1,{right}",
        }

    def test_the_example_of_the_specification(self) -> None:
        headers = signing.signed_headers(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            b'{"test": 2432232314}',
            datetime.fromtimestamp(1614265330, UTC),
        )
        assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_ä", "whsec_" + "A" * 200])
    def test_weak_secrets_are_refused(self, secret: str) -> None:
        with pytest.raises(ValueError, match="24 to 64 bytes"):
            signing.secret_bytes(secret)


class TestSealing:
    @settings(max_examples=30)
    @given(st.text(), st.text())
    def test_what_is_sealed_can_be_opened(self, text: str, about: str) -> None:
        sealer = Sealer("x" * 32)
        assert sealer.open(sealer.seal(text, about), about) == text

    def test_a_secret_set_later_opens_what_was_sealed_before(self) -> None:
        sealed = Sealer("made by the installation").seal("link", "row")
        assert Sealer("set later", "made by the installation").open(sealed, "row") == "link"
        with pytest.raises(ConfigurationError, match="GATELEDGER_SECRET_KEY"):
            Sealer("another").open(sealed, "row")

    def test_it_cannot_be_moved_to_another_row(self) -> None:
        sealer = Sealer("x" * 32)
        with pytest.raises(ConfigurationError):
            sealer.open(sealer.seal("link", "row"), "other")

    def test_the_same_text_is_sealed_differently_each_time(self) -> None:
        sealer = Sealer("x" * 32)
        assert sealer.seal("link", "row") != sealer.seal("link", "row")


PRIVATE = [
    "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
    "2001:0:1::", "2001:db8::1",
]  # fmt: skip


class TestNetwork:
    @pytest.mark.parametrize("address", PRIVATE)
    def test_private_addresses(self, address: str) -> None:
        assert not is_public(ip_address(address))

    @pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
    def test_public_addresses(self, address: str) -> None:
        assert is_public(ip_address(address))

    @pytest.mark.parametrize(
        "url",
        [
            "http://hooks.example/x", "ftp://hooks.example/x", "https://", "https:///x", "hooks.example", "//x/y",
            "https://user:pass@hooks.example/x", "https://127.0.0.1/x", "https://[::1]/x", "https://10.0.0.1:8443/",
            "https://hooks.example/" + "x" * 2000, "https://[", "file:///etc/passwd", "https://169.254.169.254/latest",
        ],
    )  # fmt: skip
    def test_urls_that_are_refused(self, url: str) -> None:
        assert problem_of(url, private_networks=False) is not None

    def test_urls_that_may_be(self) -> None:
        assert problem_of("https://hooks.example/services/T/B/x?y=1", private_networks=False) is None
        assert problem_of("http://127.0.0.1:8080/x", private_networks=True) is None

    @pytest.mark.parametrize("found", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1%eth0"]])
    def test_a_name_that_leads_inside_is_not_called(self, found: list[str]) -> None:
        # No connection is tried: the refusal is about the address.
        with (
            Poster(timeout_s=1, private_networks=False, resolve=lambda *_: found) as poster,
            pytest.raises(NotDelivered, match="private network"),
        ):
            poster.send(Target("https://rebinding.example/x"), b"{}", {})

    def test_a_target_does_not_show_its_secret(self) -> None:
        assert repr(Target("https://hooks.example/services/secret")) == "Target(hooks.example)"
