"""Tokens at the door: good ones pass as callers of their workspace, forged ones do not, and keys come over HTTPS."""

import hmac
import json
import ssl
import time
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from api.jwt import fetching
from api.jwt.fetching import BETWEEN, FRESH, STALE, KeySets
from api.organisations.rows import Organisation
from api.principal import looks_like_jwt
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation, auth, installed, serving
from tests.factories.identity_provider import KeyServer, Provider, key_server, part, rsa_key


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("jwt"), key_cache_s=0) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(here: Installation) -> Generator[TestClient]:
    with serving(here) as running:
        yield running


def set_up(here: Installation, organisation_id: str, **auth_settings: Any) -> None:
    with here.database.transaction() as session:
        session.get_one(Organisation, organisation_id).auth_settings = auth_settings or None


@pytest.fixture(scope="module")
def provider(here: Installation) -> Provider:
    made = Provider(here.first.organisation_id, here.first.workspace_slug, NOW)
    set_up(here, made.organisation_id, jwks=made.jwks)
    return made


@pytest.fixture(scope="module")
def other(here: Installation) -> Provider:
    """The provider of another organisation."""
    organisation_id = here.organisation("Globex")
    here.workspace("Globex prod", organisation_id, slug="globex-prod")
    made = Provider(organisation_id, "globex-prod", NOW, kid="globex")
    set_up(here, organisation_id, jwks=made.jwks)
    return made


def status(client: TestClient, token: str) -> int:
    assert looks_like_jwt(token)
    answer = client.get("/v1/api-keys/self", headers=auth(token))
    if answer.status_code == 401:
        assert answer.json()["data"] == {"message": "Unauthorised Request", "errorCode": "AB05"}
    return answer.status_code


class TestGoodTokens:
    def test_a_token_is_a_caller_of_its_workspace(self, client: TestClient, provider: Provider) -> None:
        limits = {"usage_limits": [{"id": "x", "credit_limit": 10}], "defaults": {"metadata": {"team": "a"}}}
        token = provider.token(**limits)
        told = client.get("/v1/api-keys/self", headers={"authorization": f"Bearer {token}"}).json()
        assert told["id"].startswith("jwt:")
        assert len(told["id"]) == 20
        assert told["type"] == "jwt"
        assert told["name"] == "someone@idp.example"
        assert told["organisation_id"] == provider.organisation_id
        assert told["workspace_slug"] == provider.workspace_slug
        assert told["user_id"] is None
        assert told["scopes"] == ["analytics.view", "logs.list"]
        assert told["usage_limits"]["credit_limit"] == 10
        assert told["defaults"] == {"metadata": {"team": "a"}, "config_id": None, "allow_config_override": True}
        assert told["expires_at"] == "2026-04-02T12:35:30.000Z"

    def test_its_scopes_count_on_every_route(self, client: TestClient, provider: Provider) -> None:
        path = "/v1/analytics/groups/model?time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
        assert client.get(path, headers=auth(provider.token())).status_code == 200
        refused = client.get(path, headers=auth(provider.token(scope="completions.write")))
        assert (refused.status_code, refused.json()["data"]["errorCode"]) == (403, "AB03")
        assert client.get("/v1/api-keys", headers=auth(provider.token())).status_code == 403

    def test_two_tokens_are_two_callers(self, client: TestClient, provider: Provider) -> None:
        ids = {
            client.get("/v1/api-keys/self", headers=auth(token)).json()["id"]
            for token in (provider.token(), provider.token(jti="2"))
        }
        assert len(ids) == 2

    def test_a_remembered_token_ends_with_its_time(self, tmp_path: Path) -> None:
        with installed(tmp_path, key_cache_s=60) as here:
            provider = Provider(here.first.organisation_id, here.first.workspace_slug, NOW)
            set_up(here, provider.organisation_id, jwks=provider.jwks)
            times = {"now": NOW}
            with serving(here, clock=lambda: times["now"]) as client:
                token = provider.token()
                assert status(client, token) == 200
                times["now"] = NOW + timedelta(minutes=6)
                assert status(client, token) == 401


class TestForgedTokens:
    def test_of_another_organisation(self, client: TestClient, provider: Provider, other: Provider) -> None:
        assert status(client, other.token()) == 200
        assert status(client, other.token(portkey_oid=provider.organisation_id)) == 401
        stolen = {"portkey_oid": provider.organisation_id, "portkey_workspace": provider.workspace_slug}
        assert status(client, other.token(header={"kid": provider.kid}, **stolen)) == 401
        # The first name wins, so its own organisation in the second one gives nothing.
        assert status(client, other.token(**stolen, organisation_id=other.organisation_id)) == 401

    def test_for_a_workspace_of_another_organisation(
        self, client: TestClient, provider: Provider, other: Provider
    ) -> None:
        assert status(client, provider.token(portkey_workspace=other.workspace_slug)) == 403
        assert status(client, provider.token(portkey_workspace="absent")) == 403

    def test_for_an_archived_workspace(self, client: TestClient, here: Installation, provider: Provider) -> None:
        gone = here.workspace("Gone", slug="gone")
        assert status(client, provider.token(portkey_workspace="gone")) == 200
        with here.database.transaction() as session:
            session.get_one(Workspace, gone.id).status = "archived"
        assert status(client, provider.token(portkey_workspace="gone")) == 403

    def test_without_a_signature(self, client: TestClient, provider: Provider) -> None:
        head, claims, signature = provider.token().split(".")
        for alg in ("none", "None", "NONE", "", None):
            unsigned = part({"alg": alg, "typ": "JWT", "kid": provider.kid})
            assert status(client, f"{unsigned}.{claims}.") == 401
            assert status(client, f"{unsigned}.{claims}.{signature}") == 401
        assert status(client, f"{head}.{claims}.") == 401

    def test_signed_with_the_public_key_as_a_secret(self, client: TestClient, provider: Provider) -> None:
        for secret in (provider.key.as_pem(private=False), provider.jwks["keys"][0]["n"].encode()):
            signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': provider.kid})}.{part(provider.claims())}"
            forged = hmac.digest(secret, signed.encode(), "sha256")
            assert status(client, f"{signed}.{part(forged)}") == 401

    @pytest.mark.parametrize("alg", ["RS512", "PS256"])
    def test_signed_with_the_right_key_by_another_algorithm(
        self, client: TestClient, provider: Provider, alg: str
    ) -> None:
        assert status(client, provider.token(header={"alg": alg})) == 401

    def test_another_key_wherever_the_header_says_it_is(self, client: TestClient, provider: Provider) -> None:
        mine = rsa_key("mine")
        places = {
            "jwk": mine.as_dict(private=False),
            "jku": "https://attacker.example/keys",
            "x5u": "https://attacker.example/cert",
            "x5c": ["MIIB"],
        }
        for name, value in places.items():
            assert status(client, provider.token(header={name: value}, key=mine)) == 401, name
            assert status(client, provider.token(header={name: value})) == 200, name  # it is just not read

    @pytest.mark.parametrize(
        "header",
        [
            {"kid": None},
            {"kid": "absent"},
            {"kid": "../../etc/passwd"},
            {"kid": "' OR '1'='1"},
            {"typ": "at+jwt"},
            {"crit": ["exp"], "exp": 1},
            {"crit": []},
        ],
        ids=str,
    )
    def test_odd_headers(self, client: TestClient, provider: Provider, header: dict[str, Any]) -> None:
        assert status(client, provider.token(header=header)) == 401

    def test_a_payload_that_is_not_encoded(self, client: TestClient, provider: Provider) -> None:
        head = part({"alg": "RS256", "typ": "JWT", "kid": provider.kid, "b64": False, "crit": ["b64"]})
        claims = part(provider.claims())
        assert status(client, f"{head}.{claims}.{'A' * 342}") == 401

    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": 1},
            {"exp": None},
            {"nbf": NOW.timestamp() + 3600},
            {"portkey_oid": None},
            {"portkey_oid": "absent"},
            {"portkey_oid": {"$ne": ""}},
            {"portkey_oid": "x" * 3000},
        ],
        ids=str,
    )
    def test_odd_claims(self, client: TestClient, provider: Provider, changes: dict[str, Any]) -> None:
        assert status(client, provider.token(**changes)) == 401

    def test_changed_after_it_was_signed(self, client: TestClient, provider: Provider) -> None:
        head, _, signature = provider.token().split(".")
        more = part(provider.claims(scope="logs.write completions.write"))
        assert status(client, f"{head}.{more}.{signature}") == 401

    def test_garbage(self, client: TestClient, provider: Provider) -> None:
        head, claims, signature = provider.token().split(".")
        bomb = part(b"[" * 5000)
        for token in (
            "a.b.c",
            "e30.e30.e30",
            f"{part([1])}.{claims}.{signature}",
            f"{part('alg')}.{claims}.{signature}",
            f"{head}.{part([1])}.{signature}",
            f"{head}.{part(b'not json')}.{signature}",
            f"{head}.{bomb}.{signature}",
            f"{bomb}.{claims}.{signature}",
            f"{head}.{claims}.{'A' * 3000}",
        ):
            assert status(client, token) == 401

    def test_larger_than_a_credential_may_be(self, client: TestClient, provider: Provider) -> None:
        token = provider.token(padding="x" * 9000)
        assert client.get("/v1/api-keys/self", headers=auth(token)).status_code == 401

    def test_where_tokens_are_not_set_up(self, client: TestClient, here: Installation) -> None:
        organisation_id = here.organisation("No tokens")
        nobody = Provider(organisation_id, "ws", NOW)
        assert status(client, nobody.token()) == 401

    def test_of_an_archived_organisation(self, client: TestClient, here: Installation) -> None:
        organisation_id = here.organisation("Closed")
        here.workspace("Prod", organisation_id, slug="closed-prod")
        closed = Provider(organisation_id, "closed-prod", NOW)
        set_up(here, organisation_id, jwks=closed.jwks)
        assert status(client, closed.token()) == 200
        with here.database.transaction() as session:
            session.get_one(Organisation, organisation_id).status = "archived"
        assert status(client, closed.token()) == 401


class TestTheAuditLog:
    """Every refused token is told to the organisation whose it would be, masked and with the reason."""

    def records(self, client: TestClient, here: Installation, count: int) -> list[dict[str, Any]]:
        until = time.monotonic() + 20
        while True:
            query = {"start_time": "2026-04-01", "end_time": "2026-04-03", "page_size": 100}
            found = client.get("/v1/audit-logs", params=query, headers=auth(here.admin_key)).json()["data"]
            refused = [record for record in found if record["reason"]]
            if len(refused) >= count or time.monotonic() > until:
                return refused
            time.sleep(0.05)

    def test_it_says_why(self, tmp_path: Path) -> None:
        with installed(tmp_path, key_cache_s=0) as here, serving(here) as client:
            provider = Provider(here.first.organisation_id, here.first.workspace_slug, NOW)
            set_up(here, provider.organisation_id, jwks=provider.jwks)
            tokens = {
                provider.token(exp=1): "Token Has Expired",
                provider.token(header={"kid": "absent"}): "Signing Key Not Found",
                provider.token(key=rsa_key("mine")): "Signature Is Not Valid",
                provider.token(portkey_workspace="absent"): "Workspace Not Found",
            }
            assert [status(client, token) for token in tokens] == [401, 401, 401, 403]
            assert status(client, provider.token(portkey_oid="nobody")) == 401
            refused = self.records(client, here, len(tokens))
            prefix = "Error Verifying JWT token: "
            assert sorted(record["reason"] for record in refused) == sorted(prefix + why for why in tokens.values())
            assert sorted(record["response_status_code"] for record in refused) == [401, 401, 401, 403]
            for record, token in ((record, token) for record in refused for token in tokens):
                assert token not in json.dumps(record)
                assert json.loads(record["request_headers"])["x-portkey-api-key"].startswith("ey****")

    def test_a_rotation_says_which_secret_it_replaced(self, tmp_path: Path) -> None:
        with installed(tmp_path, key_cache_s=0) as here, serving(here) as client:
            body = {"name": "Key", "workspace_id": here.first.workspace_id}
            made = client.post("/v1/api-keys/workspace/service", json=body, headers=auth(here.admin_key)).json()
            client.post(f"/v1/api-keys/{made['id']}/rotate", headers=auth(here.admin_key))
            [record] = self.records(client, here, 1)
            assert (record["resource_type"], record["resource_id"], record["action"]) == (
                "api_keys",
                made["id"],
                "rotate",
            )
            assert record["workspace_id"] == here.first.workspace_id
            assert record["reason"] == (
                f"api_key_id={made['id']} rotation_mode=manual old_key_masked={made['key'][:2]}*****{made['key'][-3:]} "
                "transition_expires_at=2026-04-02T13:00:00.000Z"
            )


class TestKeysOverHttps:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Generator[KeyServer]:
        with key_server(tmp_path) as running:
            running.content = json.dumps(Provider("o", "w", NOW).jwks).encode()
            yield running

    @pytest.fixture
    def key_sets(self, server: KeyServer) -> Generator[KeySets]:
        with httpx2.Client(verify=ssl.create_default_context(cafile=str(server.authority)), timeout=2) as http:
            yield KeySets(time.monotonic, http)

    def test_they_are_kept_and_fetched_anew_for_an_unknown_one(self, server: KeyServer, key_sets: KeySets) -> None:
        assert key_sets.key(server.url, "first", NOW) is not None
        assert key_sets.key(server.url, "first", NOW + timedelta(minutes=30)) is not None
        assert server.asked == 1
        server.content = json.dumps(Provider("o", "w", NOW, kid="second").jwks).encode()
        assert key_sets.key(server.url, "second", NOW + timedelta(minutes=31)) is not None
        assert key_sets.key(server.url, "first", NOW + timedelta(minutes=31)) is None
        assert server.asked == 2

    def test_unknown_ones_do_not_make_us_ask_all_the_time(self, server: KeyServer, key_sets: KeySets) -> None:
        for second in range(20):
            assert key_sets.key(server.url, f"no-{second}", NOW + timedelta(seconds=second)) is None
        assert server.asked == 1
        key_sets.key(server.url, "no", NOW + BETWEEN)
        assert server.asked == 2

    def test_they_count_for_a_while_when_the_place_is_down(self, server: KeyServer, key_sets: KeySets) -> None:
        assert key_sets.key(server.url, "first", NOW) is not None
        server.status = 500
        assert key_sets.key(server.url, "first", NOW + FRESH) is not None
        assert server.asked == 2
        assert key_sets.key(server.url, "first", NOW + STALE) is None

    @pytest.mark.parametrize(
        ("content", "status", "headers"),
        [
            (b"not json", 200, {}),
            (b"[" * 100_000, 200, {}),
            (b'{"keys": 5}', 200, {}),
            (b" " * (fetching.MOST_BYTES + 1), 200, {}),
            (b"", 302, {"location": "http://127.0.0.1:1/"}),
            (b"{}", 200, {"content-encoding": "gzip"}),
        ],
    )
    def test_what_is_no_key_set_is_none(
        self, server: KeyServer, key_sets: KeySets, content: bytes, status: int, headers: dict[str, str]
    ) -> None:
        server.content, server.status, server.headers = content, status, headers
        assert key_sets.key(server.url, "first", NOW) is None

    def test_a_certificate_that_nobody_vouches_for(self, server: KeyServer) -> None:
        with closing(KeySets(time.monotonic)) as key_sets:
            assert key_sets.key(server.url, "first", NOW) is None
        assert server.asked == 0

    def test_an_organisation_by_its_url(
        self, server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        with installed(tmp_path / "home", key_cache_s=0) as here, serving(here) as client:
            provider = Provider(here.first.organisation_id, here.first.workspace_slug, NOW)
            set_up(here, provider.organisation_id, jwks_url=server.url)
            assert [status(client, provider.token(jti=str(number))) for number in range(5)] == [200] * 5
            assert status(client, Provider(provider.organisation_id, "w", NOW, kid="second").token()) == 401
        assert server.asked == 1
