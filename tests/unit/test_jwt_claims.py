"""What a token says, how keys are read, and what an organisation may set up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.errors import InvalidRequest
from api.jwt.claims import SKEW, TOKEN_SCOPES, checked, organisation_of
from api.jwt.keys import usable
from api.jwt.refusals import TokenRefused, mask_of_token
from api.jwt.settings import parse_auth_settings
from api.permissions import KeyKind, scopes_of
from tests.factories.identity_provider import Provider, rsa_key

NOW = datetime(2026, 4, 2, 12, 30, tzinfo=UTC)
PROVIDER = Provider("an-organisation", "prod", NOW)


def public(**changes: Any) -> dict[str, Any]:
    key = {**PROVIDER.jwks["keys"][0], **changes}
    return {name: value for name, value in key.items() if value is not None}


class TestClaims:
    def test_the_first_name_of_a_claim_wins(self) -> None:
        assert organisation_of({"portkey_oid": "a", "organisation_id": "b"}) == "a"
        assert organisation_of({"organisation_id": "b"}) == "b"
        claims = PROVIDER.claims(workspace_slug="other")
        assert checked(claims, NOW).workspace_slug == "prod"
        assert checked({**claims, "portkey_workspace": None}, NOW).workspace_slug == "other"

    @pytest.mark.parametrize(
        "said",
        [{"scope": "portkey.logs.list analytics.view"}, {"scope": None, "scopes": ["logs.list", "analytics.view"]}],
    )
    def test_scopes_in_both_spellings_and_forms(self, said: dict[str, Any]) -> None:
        assert checked(PROVIDER.claims(**said), NOW).scopes == {"logs.list", "analytics.view"}

    def test_scopes_that_no_token_can_hold_do_not_count(self) -> None:
        said = "openid logs.list audit_logs.list workspaces.create workspace_user_api_keys.create policies.update"
        assert checked(PROVIDER.claims(scope=said), NOW).scopes == {"logs.list"}
        assert not {scope for scope in TOKEN_SCOPES if "api_keys" in scope}
        admin_only = scopes_of(KeyKind.ORGANISATION_SERVICE) - scopes_of(KeyKind.WORKSPACE_SERVICE)
        assert not TOKEN_SCOPES & admin_only

    def test_the_clocks_of_others_may_be_a_little_off(self) -> None:
        end = NOW - SKEW + timedelta(seconds=1)
        claims = checked(PROVIDER.claims(exp=end.timestamp(), nbf=(NOW + SKEW).timestamp()), NOW)
        assert claims.expires_at == end + SKEW > NOW

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ({"exp": None}, "Claim exp Is Missing"),
            ({"exp": (NOW - SKEW).timestamp()}, "Token Has Expired"),
            ({"exp": "tomorrow"}, "Claim exp Is Not A Time"),
            ({"exp": True}, "Claim exp Is Not A Time"),
            ({"exp": float("nan")}, "Claim exp Is Not A Time"),
            ({"exp": -1}, "Claim exp Is Not A Time"),
            ({"nbf": (NOW + timedelta(minutes=1)).timestamp()}, r"Not Valid Yet \(nbf\)"),
            ({"iat": (NOW + timedelta(minutes=1)).timestamp()}, r"Not Valid Yet \(iat\)"),
            ({"portkey_workspace": None}, "portkey_workspace or workspace_slug Is Missing"),
            ({"portkey_workspace": ["prod"]}, "portkey_workspace or workspace_slug Is Missing"),
            ({"portkey_workspace": "pr\x00od"}, "portkey_workspace or workspace_slug Is Missing"),
            ({"scope": None}, "Claim scope Or scopes Is Missing"),
            ({"scope": None, "scopes": {"logs.list": 1}}, "Claim scope Or scopes Is Missing"),
            ({"scope": None, "scopes": ["logs.list", 1]}, "Claim scope Or scopes Is Missing"),
            ({"usage_limits": [{"credit_limit": 0}]}, "Limits Are Not Valid"),
            ({"usage_limits": "all"}, "Limits Are Not Valid"),
            ({"rate_limits": [{"type": "requests", "unit": "rpm"}]}, "Limits Are Not Valid"),
        ],
    )
    def test_what_is_wrong_is_refused(self, said: dict[str, Any], why: str) -> None:
        with pytest.raises(TokenRefused) as refused:
            checked(PROVIDER.claims(**said), NOW)
        assert refused.match("Unauthorised Request")  # the caller learns nothing
        with pytest.raises(ValueError, match=why):
            raise ValueError(refused.value.reason)

    def test_a_time_beyond_the_calendar_is_its_end(self) -> None:
        assert checked(PROVIDER.claims(exp=10**300), NOW).expires_at.year == 9999

    def test_limits_come_with_the_token(self) -> None:
        said = checked(
            PROVIDER.claims(
                usage_limits=[{"id": "one", "type": "cost", "credit_limit": 10.0, "status": "active"}],
                rate_limits=[{"type": "requests", "unit": "rpm", "value": 5}],
                defaults={"config_id": "pc-x-123456", "metadata": {"team": "a", "n": 5}},
            ),
            NOW,
        ).limits
        assert [(limit["id"], limit["credit_limit"]) for limit in said["usage_limits"]] == [("one", 10)]
        assert said["rate_limits"] == [{"type": "requests", "unit": "rpm", "value": 5}]
        assert said["defaults"] == {"config_id": "pc-x-123456", "metadata": {"team": "a"}}

    @pytest.mark.parametrize(
        ("said", "identity"),
        [
            ({"email_id": "a@x.example", "uid": "u"}, "a@x.example"),
            ({"uid": "u"}, "someone@idp.example"),
            ({"sub": None, "uid": "u"}, "u"),
            ({"sub": None}, None),
            ({"sub": {"a": 1}}, None),
        ],
    )
    def test_who_it_is(self, said: dict[str, Any], identity: str | None) -> None:
        assert checked(PROVIDER.claims(**said), NOW).identity == identity

    def test_a_mask_shows_the_ends_only(self) -> None:
        assert mask_of_token("eyJhbGciOiJSUzI1NiJ9.xx.yybt") == "ey****bt"


class TestKeys:
    def test_what_cannot_verify_is_left_out(self) -> None:
        keys = [
            public(),
            public(kid="enc", use="enc"),
            public(kid="rs512", alg="RS512"),
            public(kid=None),
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "oct", "kid": "oct", "k": "c2VjcmV0"},
            public(kid="odd", n="§"),
            public(kid="number", n=5),
            public(kid="even", e="AA"),
            "not an object",
        ]
        assert list(usable({"keys": keys})) == ["first"]

    @pytest.mark.parametrize("document", [None, [], "x", {}, {"keys": {}}, {"keys": None}])
    def test_what_is_no_key_set(self, document: Any) -> None:
        with pytest.raises(ValueError, match="is not a JWKS"):
            usable(document)

    def test_short_keys_do_not_count(self) -> None:
        short = {"kty": "RSA", "kid": "short", "n": "A" * 170, "e": "AQAB"}
        short["n"] = "x" + short["n"]  # 1,024 bits
        assert usable({"keys": [short]}) == {}


class TestSettings:
    def test_a_url_or_a_key_set(self) -> None:
        assert parse_auth_settings({"jwks_url": "https://idp.example/keys?v=2"}) == {
            "jwks_url": "https://idp.example/keys?v=2"
        }
        assert parse_auth_settings({"jwks": PROVIDER.jwks, "jwks_url": None}) == {"jwks": PROVIDER.jwks}
        for nothing in (None, {}, {"jwks": None, "jwks_url": None}):
            assert parse_auth_settings(nothing) is None

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (5, "must be an object"),
            ({"url": "https://idp.example"}, "unknown field 'url'; allowed: jwks_url, jwks"),
            ({"jwks_url": "https://idp.example", "jwks": {"keys": []}}, "not both"),
            ({"jwks_url": "http://idp.example"}, "https://"),
            ({"jwks_url": "https://user:pw@idp.example"}, "without user"),
            ({"jwks_url": "https://"}, "https://"),
            ({"jwks_url": "https://idp.example:99999999"}, "https://"),
            ({"jwks_url": "file:///etc/passwd"}, "https://"),
            ({"jwks_url": "https://idp.example/\r\nx"}, "https://"),
            ({"jwks_url": 5}, "https://"),
            ({"jwks": {"keys": []}}, "holds no key"),
            ({"jwks": []}, "is not a JWKS"),
            ({"jwks": {"keys": [public(), public()]}}, "same kid"),
            ({"jwks": {"keys": [public(), public(kid="b", use="enc")]}}, r"keys\[1\]: is not an RSA key for RS256"),
            ({"jwks": {"keys": [public(kid="")]}}, r"keys\[0\]: has no kid"),
            ({"jwks": {"keys": [rsa_key("first").as_dict(private=True)]}}, "private parameters"),
            ({"jwks": {"keys": [public(n="AQAB")]}}, "has 17 bits; allowed: 2048"),
        ],
    )
    def test_what_is_wrong_is_told(self, value: Any, says: str) -> None:
        with pytest.raises(InvalidRequest, match=says):
            parse_auth_settings(value)
