"""Small values of the API: keys, slugs, pages, scopes, paths, answers."""

import json
import string
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.analytics import rendering
from api.api_keys.service import IssuedKey, hash_of, mask_of, new_raw_key
from api.errors import InvalidRequest, Unauthorised, describe
from api.identifiers import SLUG, new_id, new_slug
from api.organisations.service import Bootstrap
from api.paging import parse_page
from api.permissions import HOLDERS, PUBLIC, KeyKind, Permission, checked_scopes, needs, scopes_of
from api.principal import credential_of
from api.routing import canonical_path
from api.settings import ApiSettings
from warehouse.errors import UnknownName


class TestKeys:
    def test_a_key_is_gl_and_43_characters_of_base62(self) -> None:
        raw = new_raw_key()
        assert raw.startswith("gl_")
        assert len(raw) == 3 + 43
        assert set(raw[3:]) <= set(string.ascii_letters + string.digits)
        assert len({new_raw_key() for _ in range(100)}) == 100

    def test_what_is_kept_does_not_hold_the_key(self) -> None:
        raw = new_raw_key()
        assert raw not in hash_of(raw)
        assert len(hash_of(raw)) == 64
        assert mask_of(raw) == f"gl*****{raw[-3:]}"

    def test_values_that_hold_a_raw_key_do_not_show_it(self) -> None:
        made = Bootstrap("org", "ws", "slug", "user", "gl_secret", created=True)
        assert "gl_secret" not in repr(made)
        row = type("Row", (), {"id": "k", "key_mask": "gl*****ret"})()
        assert "gl_secret" not in repr(IssuedKey(row, "gl_secret"))  # type: ignore[arg-type]


class TestCredential:
    def test_the_portkey_header_wins_over_bearer(self) -> None:
        assert credential_of({"x-portkey-api-key": " a ", "authorization": "Bearer b"}) == "a"
        assert credential_of({"authorization": "bEaReR  b "}) == "b"

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"x-portkey-api-key": " "},
            {"authorization": "Basic b"},
            {"authorization": "Bearer"},
            {"x-portkey-api-key": "x" * 9000},
        ],
    )
    def test_no_credential_is_unauthorised(self, headers: dict[str, str]) -> None:
        with pytest.raises(Unauthorised):
            credential_of(headers)


class TestIdentifiers:
    @pytest.mark.parametrize(
        ("name", "stem"),
        [
            ("Shared Workspace", "ws-shared-"),
            ("Prod EU!", "ws-prod-e-"),
            ("🚀", "ws-"),
            ("Équipe", "ws-equipe-"),
            ("a - b", "ws-a-b-"),
        ],
    )
    def test_a_slug_is_made_from_the_first_characters_of_the_name(self, name: str, stem: str) -> None:
        slug = new_slug("ws", name)
        assert slug.startswith(stem)
        assert len(slug.removeprefix(stem)) == 6
        assert SLUG.fullmatch(slug)

    @given(st.text())
    def test_any_name_makes_a_valid_slug(self, name: str) -> None:
        assert SLUG.fullmatch(new_slug("ws", name))

    def test_ids_are_random_uuids(self) -> None:
        assert len({new_id() for _ in range(100)}) == 100
        assert UUID(new_id()).version == 4


class TestPages:
    def test_pages_count_from_zero(self) -> None:
        assert parse_page(None, None).offset == 0
        assert parse_page("2", "10").offset == 20
        assert parse_page("", " ", default=7).size == 7
        assert parse_page("0", "0").size == 0

    @pytest.mark.parametrize(
        ("number", "size"), [("-1", None), ("x", None), (None, "101"), (None, "1.0"), ("9" * 30, None), ("²", None)]
    )
    def test_other_pages_are_refused(self, number: str | None, size: str | None) -> None:
        with pytest.raises(InvalidRequest):
            parse_page(number, size)


class TestPermissions:
    def test_the_scopes_of_each_kind(self) -> None:
        admin, service, user = (scopes_of(kind) for kind in KeyKind)
        assert "audit_logs.list" in admin - service - user
        assert "completions.write" in (service & user) - admin
        assert "workspace_user_api_keys.create" in (admin & service) - user
        assert all({"analytics.view", "logs.write"} <= scopes for scopes in (admin, service, user))
        assert all(scope.count(".") == 1 for scope in HOLDERS)

    def test_a_key_is_given_only_scopes_of_its_kind(self) -> None:
        assert checked_scopes(["analytics.view"], KeyKind.WORKSPACE_USER) == {"analytics.view"}
        with pytest.raises(UnknownName, match="Did you mean analytics"):
            checked_scopes(["analytics.views"], KeyKind.WORKSPACE_USER)
        with pytest.raises(UnknownName, match="organisation-service"):
            checked_scopes(["completions.write"], KeyKind.ORGANISATION_SERVICE)

    def test_alternatives_and_all_of(self) -> None:
        kind = KeyKind.WORKSPACE_SERVICE
        both = needs("logs.write", "completions.write")
        assert not both.allows(kind, frozenset({"logs.write"}))
        assert both.allows(kind, frozenset({"logs.write", "completions.write"}))
        either = both | needs("logs.list")
        assert either.allows(kind, frozenset({"logs.list"}))
        assert not needs("audit_logs.list", kinds=[KeyKind.ORGANISATION_SERVICE]).allows(kind, frozenset(HOLDERS))
        assert PUBLIC.allows(kind, frozenset())

    def test_a_scope_that_does_not_exist_cannot_be_asked_for(self) -> None:
        with pytest.raises(UnknownName):
            needs("analytics.views")
        with pytest.raises(ValueError, match="PUBLIC"):
            needs()
        assert Permission(()).described() == {"public": True}


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/v1/x", "/v1/x"),
        ("/v2/x", "/v1/x"),
        ("/albus/v1/x", "/v1/x"),
        ("/albus/v2/x/y", "/v1/x/y"),
        ("/albus/health", "/health"),
        ("/v2", "/v2"),
        ("/v22/x", "/v22/x"),
        ("/albusx/v1/x", "/albusx/v1/x"),
        ("/v1/v2/x", "/v1/v2/x"),
        ("/albus/albus/v1/x", "/albus/v1/x"),
    ],
)
def test_every_spelling_of_a_prefix_is_one_path(path: str, canonical: str) -> None:
    assert canonical_path(path) == canonical


class TestRendering:
    def test_money_keeps_every_digit(self) -> None:
        body = orjson.dumps(
            [
                rendering.money(Decimal(text))
                for text in ("0.000000000001", "830.400000000000", "100", "0E-12", "12345678901234567890.123456789012")
            ]
        )
        assert body == b"[0.000000000001,830.4,100,0,12345678901234567890.123456789012]"

    @given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20))
    def test_money_read_back_is_the_same_number(self, value: Decimal) -> None:
        assert json.loads(orjson.dumps(rendering.money(value)), parse_float=Decimal, parse_int=Decimal) == value

    def test_instants_have_milliseconds_and_z(self) -> None:
        moment = datetime(2026, 2, 26, 18, 2, 11, tzinfo=UTC)
        assert rendering.instant(moment) == "2026-02-26T18:02:11.000Z"
        east = timezone(timedelta(hours=5, minutes=30))
        assert rendering.instant(datetime(2026, 2, 26, 1, 0, 0, 1999, tzinfo=east)) == "2026-02-25T19:30:00.001Z"

    def test_a_group_without_a_value_is_blank_and_an_unknown_number_is_null(self) -> None:
        rows = pa.table(
            {
                "status_code": pa.array([200, None], pa.int64()),
                "requests": pa.array([2, 1], pa.int64()),
                "cost": pa.array([Decimal("0.5"), None], pa.decimal128(38, 12)),
                "last_seen": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("us", tz="UTC")),
            }
        )
        assert json.loads(rendering.groups(rows, ["status_code"], 2)) == {
            "object": "list",
            "total": 2,
            "data": [
                {
                    "status_code": 200,
                    "requests": 2,
                    "cost": 0.5,
                    "last_seen": "2026-01-01T00:00:00.000Z",
                    "object": "analytics-group",
                },
                {"status_code": "", "requests": 1, "cost": None, "last_seen": None, "object": "analytics-group"},
            ],
        }


def test_problems_are_told_without_the_input() -> None:
    problems = [{"loc": ("body", "users", 0, "role"), "msg": "Input should be 'admin'", "input": "hunter2"}] * 12
    told = describe(problems)
    assert told.startswith("users.0.role: Input should be 'admin'. ")
    assert told.endswith("And 2 more.")
    assert "hunter2" not in told


def test_settings_are_read_by_their_documented_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("GATELEDGER_HOME", "/data/gl"),
        ("PORT", "9000"),
        ("GATELEDGER_ADMIN_KEY_SCOPE", "default-workspace"),
    ):
        monkeypatch.setenv(name, value)
    for name in ("DATABASE_URL", "DB_HOST"):
        monkeypatch.delenv(name, raising=False)
    settings = ApiSettings()
    assert str(settings.resolved_database_url()) == "sqlite:////data/gl/gateledger.db"
    assert (settings.port, settings.admin_key_scope.value) == (9000, "default-workspace")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hush-hush@db/x")
    settings = ApiSettings()
    assert settings.resolved_database_url().render_as_string(hide_password=False) == "postgresql://u:hush-hush@db/x"
    assert "hush-hush" not in repr(settings)
