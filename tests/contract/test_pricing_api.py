"""Agreements on prices and what has no price, over HTTP: rights, tenants, versions, errors, exact money."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from json import loads
from time import monotonic, sleep
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from api.pricing.service import overlay_of
from tests.factories.app import NOW, Installation, auth, installed, serving, store
from tests.factories.rows import as_generations
from warehouse.catalog.generations import GENERATIONS

PRICES, RESERVATIONS = "/v1/pricing/negotiated", "/v1/pricing/reservations"
APPLIES = {"type": "virtual_key", "slug": "vk-1"}
STATIC = {"type": "static", "pay_as_you_go": {"request_token": {"price": 0.00025}, "response_token": {"price": 0.001}}}
PRICE = {"applies_to": APPLIES, "model": "gpt-4o", "pricing_config": STATIC}
RESERVATION = {"applies_to": APPLIES, "name": "PTU east", "amount_cents": 73000, "per": "month"}
TIME = "time_of_generation_min=2026-04-01&time_of_generation_max=2026-04-02"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("pricing")) as installation:
        yield installation


@pytest.fixture
def client(here: Installation, clock: Clock) -> Generator[TestClient]:
    with serving(here, clock) as running:
        running.headers.update(auth(here.key()))
        yield running


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Generator[TestClient]:
    """One app for all that is refused: nothing of it is kept."""
    with installed(tmp_path_factory.mktemp("refused")) as here, serving(here) as running:
        running.headers.update(auth(here.key()))
        yield running


def refused(answer: Any, status: int, code: str, says: str = "") -> None:
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (status, code), answer.text
    assert says in answer.json()["data"]["message"]


def made(client: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(client: TestClient, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] >= len(answer.json()["data"])
    return answer.json()["data"]


def test_an_agreement_is_made_listed_and_ended_and_every_version_stays_known(client: TestClient, clock: Clock) -> None:
    first = made(client, PRICES, PRICE)
    assert first["pricing_config"] == STATIC
    assert (first["version"], first["effective_to"], first["object"]) == (1, None, "negotiated-price")
    assert datetime.fromisoformat(first["effective_from"]) == datetime.fromisoformat(first["known_from"]) == NOW
    before, clock.now = clock.now, clock.now + timedelta(days=3)
    second = made(client, f"{PRICES}/{first['id']}/end", {"effective_to": "2026-04-04T00:00:00Z"})
    assert (second["id"], second["version"], second["version_id"] == first["version_id"]) == (first["id"], 2, False)
    assert made(client, f"{PRICES}/{first['id']}/end", {"effective_to": "2026-04-04T00:00:00Z"}) == second
    assert listed(client, PRICES) == [second]
    assert listed(client, PRICES, known_at=before.isoformat()) == [first]
    assert listed(client, PRICES, known_at="2026-01-01T00:00:00Z") == []
    assert listed(client, PRICES, effective_at="2026-04-04T00:00:00Z") == []
    assert listed(client, PRICES, effective_at="2026-04-03T23:59:59Z", slug="vk-1", model="gpt-4o") == [second]
    assert listed(client, PRICES, slug="other") == listed(client, PRICES, model="other") == []
    refused(client.post(f"{PRICES}/{first['id']}/end", json={"effective_to": "2026-05-01T00:00:00Z"}), 409, "AB07")
    refused(client.post(f"{PRICES}/{first['id']}/end", json={"effective_to": "2026-01-01T00:00:00Z"}), 400, "AB01")
    withdrawn = made(client, f"{PRICES}/{first['id']}/end", {"effective_to": first["effective_from"]})
    assert withdrawn["effective_to"] == withdrawn["effective_from"]
    refused(client.post(f"{PRICES}/absent/end", json={}), 404, "AB08")


@pytest.mark.parametrize(
    "name",
    [
        "skip_ptu_cost_attribution",
        "skipPtuCostAttribution",
        "vertex_skip_ptu_cost_attribution",
        "vertexSkipPtuCostAttribution",
    ],
)
def test_every_spelling_of_skipping_provisioned_throughput(client: TestClient, name: str) -> None:
    assert made(client, PRICES, {"applies_to": APPLIES, name: True})["skip_ptu_cost_attribution"] is True


def test_what_is_agreed_is_what_pricing_gets(client: TestClient, here: Installation) -> None:
    workspace = here.workspace("Search")
    factors = {"default": 0.9, "cache_read_input_token": None, "additional_units": {"web_search": 2}}
    body = {
        "applies_to": {"type": "integration", "slug": "int-1"},
        "workspace_slug": workspace.id,
        "model": "ft-7",
        "is_custom": True,
        "base_model_slug": "gpt-4o",
        "pricing_adjustments": {"multiplier": factors},
        "effective_from": "2026-03-01T00:00:00+05:30",
        "effective_to": "2027-01-01T00:00:00Z",
    }
    answer = made(client, PRICES, body)
    assert answer["workspace_slug"] == workspace.slug
    made(client, PRICES, {"applies_to": APPLIES, "pricing_adjustments": {"multiplier": None}})
    reserved = made(client, RESERVATIONS, RESERVATION | {"amount_cents": 0.1234})
    with here.database.transaction(writes=False) as session:
        overlay = overlay_of(session)
        assert not overlay_of(session, NOW - timedelta(seconds=1))
    by_id = {price.id: price for price in overlay.prices}
    price = by_id[answer["version_id"]]
    assert (price.base_model, price.model, price.skips_ptu, price.price) == ("gpt-4o", "ft-7", None, None)
    assert price.applies.workspace_slug == workspace.slug
    assert price.effective_from == datetime(2026, 2, 28, 18, 30, tzinfo=UTC)
    assert price.multiplier is not None
    assert price.multiplier.factors == {"default": Decimal("0.9"), "additional_units.web_search": 2}
    (cleared,) = [price for price in overlay.prices if price.id != answer["version_id"]]
    assert cleared.multiplier is not None
    assert cleared.multiplier.factors == {}
    (reservation,) = overlay.reservations
    assert (reservation.id, reservation.amount_cents) == (reserved["version_id"], Decimal("0.1234"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"applies_to": None}, "applies_to"),
        ({"applies_to": {"type": "team", "slug": "x"}}, "virtual_key"),
        ({"applies_to": {"type": "provider", "slug": " "}}, "slug"),
        ({"surprise": 1}, "surprise"),
        ({"model": None}, "of one model"),
        ({"pricing_config": None}, "agree on something"),
        ({"pricing_config": {"type": "dynamic"}}, "static"),
        ({"pricing_config": {}}, "says no price"),
        ({"pricing_config": {"pay_as_you_go": {"request_tokens": {"price": 1}}}}, "request_token"),
        ({"pricing_config": {"pay_as_you_go": {"request_token": {"price": -1}}}}, "request_token"),
        ({"pricing_config": {"pay_as_you_go": {"request_token": 1}}}, "request_token"),
        ({"pricing_config": {"pay_as_you_go": []}}, "an object is expected"),
        ({"pricing_config": {"calculate": {}}}, "pay_as_you_go"),
        ({"pricing_adjustments": {"multiplier": {"default": -1}}}, "multiplier.default"),
        ({"pricing_adjustments": {"multiplier": {"reqest_token": 1}}}, "Did you mean request_token"),
        ({"pricing_adjustments": {}}, "multiplier"),
        ({"skip_ptu_cost_attribution": "yes"}, "skip_ptu"),
        ({"effective_from": "2026-04-02"}, "effective_from"),
        ({"effective_from": "2026-04-02T00:00:00"}, "effective_from"),
        ({"effective_to": "2026-04-02T12:30:00Z"}, "is not after"),
        ({"is_custom": True, "pricing_config": None, "skip_ptu_cost_attribution": True}, "custom"),
    ],
)
def test_a_wrong_agreement_is_refused_with_what_was_wrong(
    refusing: TestClient, change: dict[str, Any], says: str
) -> None:
    refused(refusing.post(PRICES, json=PRICE | change), 400, "AB01", says)
    assert listed(refusing, PRICES) == []


@pytest.mark.parametrize(
    "change", [{"amount_cents": -1}, {"amount_cents": "x"}, {"per": "week"}, {"name": ""}, {"amount_cents": 1e13}]
)
def test_a_wrong_reservation_is_refused(refusing: TestClient, change: dict[str, Any]) -> None:
    refused(refusing.post(RESERVATIONS, json=RESERVATION | change), 400, "AB01", next(iter(change)))


def test_agreements_are_their_organisations_alone(client: TestClient, here: Installation) -> None:
    mine, other = made(client, PRICES, PRICE), here.organisation("Other")
    theirs = auth(here.key(organisation_id=other))
    assert client.get(PRICES, headers=theirs).json()["data"] == []
    refused(client.post(f"{PRICES}/{mine['id']}/end", json={}, headers=theirs), 404, "AB08")
    slug = here.workspace("Search").slug
    refused(client.post(PRICES, json=PRICE | {"workspace_slug": slug}, headers=theirs), 403, "AB03")
    assert listed(client, PRICES) == [mine]


@pytest.mark.parametrize("path", [PRICES, RESERVATIONS])
def test_workspace_keys_agree_on_nothing(client: TestClient, here: Installation, path: str) -> None:
    key = auth(here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id))
    refused(client.get(path, headers=key), 403, "AB03")
    refused(client.post(path, json=PRICE, headers=key), 403, "AB03")


def row(id_: str, **fields: Any) -> dict[str, Any]:
    base = {"id": id_, "created_at": datetime(2026, 4, 1, 10, tzinfo=UTC), "ai_org": "acme", "ai_model": "m",
            "total_units": 10}  # fmt: skip
    return base | fields


def stored(client: TestClient, here: Installation, *rows: dict[str, Any]) -> None:
    owner = {"organisation_id": here.first.organisation_id, "workspace_slug": here.first.workspace_slug}
    store(client, GENERATIONS, as_generations([owner | one for one in rows]))


def test_reserved_costs_stand_beside_usage_costs_and_windows_sum(client: TestClient, here: Installation) -> None:
    made(client, RESERVATIONS, RESERVATION | {"effective_from": "2026-03-01T00:00:00Z"})
    cost = {"cost": Decimal("1.000000000001"), "cost_source": "computed"}
    stored(client, here, row("a", **cost), row("b"))

    def asked(first: str, last: str) -> dict[str, Any]:
        answer = client.get(
            f"{RESERVATIONS}/costs", params={"time_of_generation_min": first, "time_of_generation_max": last}
        )
        assert answer.status_code == 200, answer.text
        return loads(answer.text, parse_float=Decimal, parse_int=Decimal)

    whole = asked("2026-04-01", "2026-04-30")
    assert whole["reserved_cost"] == whole["data"][0]["cost"] == 73000
    assert (whole["usage_cost"], whole["unpriced_requests"]) == (Decimal("1.000000000001"), 1)
    assert whole["total_cost"] == Decimal("73001.000000000001")
    days = [asked(f"2026-04-{day:02}", f"2026-04-{day:02}")["reserved_cost"] for day in range(1, 31)]
    assert sum(days) == 73000
    assert asked("2026-02-01", "2026-02-28")["reserved_cost"] == 0
    assert asked("2026-02-01", "2026-02-28")["usage_cost"] is None
    refused(client.get(f"{RESERVATIONS}/costs"), 400, "AB01", "time_of_generation_min")


def test_what_to_price_is_listed_by_what_is_at_risk(client: TestClient, here: Installation) -> None:
    def lost(id_: str, reason: str, high: str | None, **fields: Any) -> dict[str, Any]:
        bound = None if high is None else Decimal(high)
        return row(id_, unpriced_reason=reason, cost_low=Decimal(0), cost_high=bound, **fields)

    later = datetime(2026, 4, 1, 11, tzinfo=UTC)
    stored(
        client,
        here,
        lost("a", "unknown_model", "1.5"),
        lost("b", "unknown_model", "2.000000000001", created_at=later),
        lost("c", "unknown_model", "9", ai_model="n"),
        lost("d", "no_usage", None, total_units=None),
        row("e", cost=Decimal(5), cost_low=Decimal(5), cost_high=Decimal(5), cost_source="computed"),
        lost("f", "unknown_model", "99", created_at=datetime(2026, 3, 1, tzinfo=UTC)),
    )
    answer = client.get(f"/v1/pricing/unpriced?{TIME}")
    body = loads(answer.text, parse_float=Decimal)
    assert body["total"] == 3
    assert [(one["ai_model"], one["unpriced_reason"], one["requests"], one["tokens"]) for one in body["data"]] == [
        ("n", "unknown_model", 1, 10),
        ("m", "unknown_model", 2, 20),
        ("m", "no_usage", 1, 0),
    ]
    assert [one["spend_at_risk"] for one in body["data"]] == [9, Decimal("3.500000000001"), None]
    assert [one["unbounded_requests"] for one in body["data"]] == [0, 0, 1]
    second = body["data"][1]
    assert (second["first_seen"], second["last_seen"]) == ("2026-04-01T10:00:00.000Z", "2026-04-01T11:00:00.000Z")
    assert second["object"] == "unpriced-model"
    page = client.get(f"/v1/pricing/unpriced?{TIME}&page_size=1&current_page=1").json()
    assert (page["total"], [one["requests"] for one in page["data"]]) == (3, [2])
    refused(client.get("/v1/pricing/unpriced"), 400, "AB01", "time_of_generation_min")


def test_nobody_sees_what_another_tenant_has_to_price(client: TestClient, here: Installation) -> None:
    stored(client, here, row("a", unpriced_reason="unknown_model"))
    other = here.workspace("Other")
    keys = {
        here.key(): 1,
        here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id): 1,
        here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=other.id): 0,
        here.key(organisation_id=here.organisation("Rival")): 0,
    }
    for key, expected in keys.items():
        for more in ("", f"&workspace_slug={here.first.workspace_slug}"):
            answer = client.get(f"/v1/pricing/unpriced?{TIME}{more}", headers=auth(key))
            found = answer.json().get("total")
            assert found == expected or (answer.status_code == 403 and not expected), (more, answer.text)
    assert client.get(f"/v1/pricing/unpriced?{TIME}&workspace_slug={other.slug}").json()["total"] == 0


def test_an_agreement_counts_for_the_next_record_and_sums_say_what_they_lack(client: TestClient) -> None:
    columns = "cost,priced_requests,unpriced_tokens,cost_low,cost_high"

    def sent(id_: str) -> dict[str, Any]:
        record = {"id": id_, "created_at": "2026-04-02T10:00:00Z", "ai_org": "openai", "ai_model": "my-own",
                  "virtual_key": "vk-1", "req_units": 100, "res_units": 10, "response_status_code": 200}  # fmt: skip
        assert client.post("/v1/ingest/generations", json=[record]).status_code == 200
        until = monotonic() + 20
        while monotonic() < until:
            answer = client.get(f"/v1/analytics/groups/model?{TIME}&columns={columns}")
            (group,) = loads(answer.text, parse_float=Decimal)["data"] or [{}]
            if group.get("requests") == int(id_):
                return group
            sleep(0.05)
        raise AssertionError(f"record {id_} was not stored in time")

    first = sent("1")
    assert (first["cost"], first["priced_requests"], first["unpriced_requests"]) == (None, 0, 1)
    assert (first["unpriced_tokens"], first["unbounded_requests"]) == (110, 0)
    assert first["cost_low"] < first["cost_high"]
    agreed = {"model": "my-own", "effective_from": "2026-04-01T00:00:00Z"}
    made(client, PRICES, PRICE | agreed)
    second = sent("2")
    cost = Decimal("0.035")
    assert (second["cost"], second["priced_requests"], second["unpriced_requests"]) == (cost, 1, 1)
    assert second["unpriced_tokens"] == 110
    assert (second["cost_low"], second["cost_high"]) == (first["cost_low"] + cost, first["cost_high"] + cost)
