"""The permission matrix: every route declares what it needs, and every kind of caller gets exactly that."""

import re
from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of
from api.app import ROUTERS, create_app
from api.operations.settings import OperationsSettings
from api.organisations.rows import Organisation
from api.permissions import KeyKind, Permission, needs, scopes_of
from api.principal import resolve
from api.route_index import served
from api.routing import Declared, Gate, Router, gates
from api.users.rows import OrganisationMember
from api.workspaces import service as workspaces
from tests.factories.app import NOW, Installation, auth, installed, serving, settings_in

ROUTES: list[Declared] = [route for router in ROUTERS for route in router.declared]
GUARDED = [route for route in ROUTES if not route.permission.public]

MODEL_CONFIGS = {
    f"{prefix}/{kind}/{{provider}}{model}"
    for kind in ("pricing", "general")
    for prefix in ("", "/model-configs", "/v1/model-configs", "/v1/utils/model-configs")
    for model in ("", "/{model:path}")
    if prefix or not model
}
"""Gateways read prices without a key. Source: dataplane contract 5.1."""

INVITES = {"/v1/invites/{token}/accept", "/invite/{token}"}
"""Who is invited has no key yet; the token in the path is the secret."""

DOWNLOADS = {"/v1/logs/exports/{id}/file"}
"""The signature in the query is the secret."""

HEALTH = {"/health", "/v1/health", "/health/live", "/health/ready"}
OPEN = HEALTH | {"/metrics", "/openapi.json"} | MODEL_CONFIGS | INVITES | DOWNLOADS
"""Everything that needs no key. A new entry here is a decision."""

ANALYTICS = (
    *("requests", "cost", "latency", "tokens", "users", "users/requests", "users-requests", "errors", "errors/rate"),
    *("errors-rate", "errors/stacks", "errors-stack", "errors/status-codes", "errors-status-code", "requests/rescued"),
    *("requests-rescued", "cache/hit-rate", "cache-hit-rate", "cache/latency", "cache-latency", "feedbacks"),
    *("feedbacks/scores", "feedbacks/score", "feedbacks/weighted", "feedbacks/ai-models"),
)
"""Graphs by both SDKs' paths. Source: dataplane contract 2.1."""

EXPECTED = {
    **{("GET", f"/v1/analytics/graphs/{path}"): [{"analytics.view"}] for path in ANALYTICS},
    ("GET", "/v1/analytics/summary/cache"): [{"analytics.view"}],
    ("GET", "/v1/analytics/summary/overview"): [{"analytics.view"}],
    ("GET", "/v1/analytics/groups/users"): [{"analytics.view"}],
    ("GET", "/v1/analytics/groups/ai-models"): [{"analytics.view"}],
    ("GET", "/v1/analytics/groups/workspaces"): [{"analytics.view"}],
    ("GET", "/v1/analytics/groups/metadata/{metadataKey:path}"): [{"analytics.view"}],
    ("GET", "/v1/analytics/catalog"): [{"analytics.view"}],
    ("POST", "/v1/analytics/query"): [{"analytics.view"}],
    ("GET", "/v1/analytics/query/schema"): [{"analytics.view"}],
    ("GET", "/v1/analytics/groups/{groupBy}"): [{"analytics.view"}],
    ("GET", "/v1/logs/groups/{groupBy}"): [{"analytics.view"}, {"logs.list"}],
    ("POST", "/v1/ingest/generations"): [{"logs.write"}],
    ("POST", "/v1/ingest/logs"): [{"logs.write"}],
    ("POST", "/v1/ingest/feedbacks"): [{"logs.write"}],
    ("POST", "/v1/ingest/hook"): [{"logs.write"}],
    ("POST", "/v1/logs"): [{"completions.write", "logs.write"}],
    **{
        ("POST", f"/v1/{prefix}otel/v1/{signal}"): [{"logs.write"}]
        for prefix in ("", "logs/")
        for signal in ("traces", "logs")
    },
    **{
        ("GET", f"/v1/{path}"): [{"logs.list"}]
        for path in ("logs", "generations", "traces", "traces/{trace_id}", "traces/{trace_id}/spans", "spans")
    },
    **{
        ("GET", f"/v1/{path}/{{id}}"): [{"logs.view"}, {"logs.read"}, {"completions.write"}, {"logs.write"}]
        for path in ("logs", "generations")
    },
    ("POST", "/v1/feedback"): [{"logs.write"}, {"feedbacks.write"}],
    ("PUT", "/v1/feedback/{id}"): [{"logs.write"}, {"feedbacks.write"}],
    **{
        (method, f"/v1/logs/exports{path}"): [{"logs.export"}]
        for method, path in (
            ("POST", ""),
            ("GET", ""),
            ("GET", "/field-restrictions"),
            ("GET", "/{id}"),
            ("PUT", "/{id}"),
            ("POST", "/{id}/start"),
            ("POST", "/{id}/cancel"),
            ("GET", "/{id}/download"),
        )
    },
    ("GET", "/v1/audit-logs"): [{"audit_logs.list"}],
    ("GET", "/v1/pricing/negotiated"): [{"negotiated_prices.list"}],
    ("POST", "/v1/pricing/negotiated"): [{"negotiated_prices.create"}],
    ("POST", "/v1/pricing/negotiated/{id}/end"): [{"negotiated_prices.update"}],
    ("GET", "/v1/pricing/reservations"): [{"price_reservations.list"}],
    ("POST", "/v1/pricing/reservations"): [{"price_reservations.create"}],
    ("POST", "/v1/pricing/reservations/{id}/end"): [{"price_reservations.update"}],
    ("GET", "/v1/pricing/reservations/costs"): [{"price_reservations.list", "analytics.view"}],
    ("GET", "/v1/pricing/unpriced"): [{"analytics.view"}],
    **{
        (method, f"/v1{prefix}/users{path}"): [{f"organisation_users.{verb}"}]
        for prefix in ("/admin", "")
        for method, path, verb in (
            ("GET", "", "list"),
            ("GET", "/{user_id}", "read"),
            ("PUT", "/{user_id}", "update"),
            ("DELETE", "/{user_id}", "delete"),
            ("POST", "/invites", "create"),
            ("GET", "/invites", "list"),
            ("GET", "/invites/{invite_id}", "read"),
            ("DELETE", "/invites/{invite_id}", "delete"),
            ("POST", "/invites/{invite_id}/resend", "create"),
        )
    },
    **{
        (method, f"/v1{prefix}/workspaces{path}"): [{f"{resource}.{verb}"}]
        for prefix in ("/admin", "")
        for resource, start, one in (
            ("workspaces", "", "/{workspace_id}"),
            ("workspace_users", "/{workspace_id}/users", "/{workspace_id}/users/{user_id}"),
        )
        for method, path, verb in (
            ("POST", start, "create"),
            ("GET", start, "list"),
            ("GET", one, "read"),
            ("PUT", one, "update"),
            ("DELETE", one, "delete"),
        )
    },
    **{
        (method, path): [{f"organisation_settings.{verb}"}]
        for path in ("/v1/admin/organisation", "/v1/organisations/{id}")
        for method, verb in (("GET", "read"), ("PUT", "update"))
    },
    ("GET", "/v1/alerts/destinations"): [{"organisation_settings.read"}],
    ("POST", "/v1/alerts/destinations"): [{"organisation_settings.update"}],
    ("DELETE", "/v1/alerts/destinations/{destination_id}"): [{"organisation_settings.update"}],
    ("GET", "/v1/api-keys/self"): [set()],
    **{
        (method, f"/v1/api-keys{path}"): [
            {f"{kind}_api_keys.{verb}"}
            for verb in verbs
            for kind in ("organisation_service", "workspace_service", "workspace_user")
        ]
        for method, path, *verbs in (
            ("GET", "", "list"),
            ("POST", "/{type}/{sub_type}", "create"),
            ("POST", "/{id}/rotate", "rotate", "update"),
            ("GET", "/{id}", "read"),
            ("PUT", "/{id}", "update"),
            ("DELETE", "/{id}", "delete"),
        )
    },
    **{
        (method, f"/v1/policies/{kind}{path}"): [{f"policies.{verb}"}]
        for kind in ("usage-limits", "rate-limits")
        for method, path, verb in (
            ("GET", "", "list"),
            ("POST", "", "create"),
            ("GET", "/{id}", "read"),
            ("PUT", "/{id}", "update"),
            ("DELETE", "/{id}", "delete"),
        )
    },
    **{
        (method, f"/v1/policies/{kind}/{{id}}/entities{end}"): [{right}]
        for kind in ("usage-limits", "rate-limits")
        for method, end, right in (
            ("GET", "", "policies.read"),
            ("PUT", "/{entity_id}/reset", "policies.update"),
            ("POST", "/reset", "policies.update"),
        )
    },
    **{("POST", f"/v1/policies/{verb}"): [{"completions.write"}, {"policies.read"}] for verb in ("evaluate", "settle")},
    ("POST", "/v1/policies/backtest"): [{"policies.read", "analytics.view"}],
}
"""The matrix of the contract (dataplane 1.8, DECISIONS). A new route is added here, or this test fails."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    # Wrong keys are sent by the hundred here: their limit has a test of its own.
    operations = OperationsSettings(refusal_limit=0)
    with installed(tmp_path_factory.mktemp("permissions"), key_cache_s=0, operations=operations) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(here: Installation) -> Generator[TestClient]:
    with serving(here) as running:
        yield running


def test_every_served_route_passes_a_gate(tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path))
    routes = served(app.routes)
    assert len(routes) == len(ROUTES)
    for route in routes:
        assert isinstance(route, Gate), f"{route} is served without a permission"
    assert {route.path for route in routes if isinstance(route, Gate) and route.permission.public} == OPEN


def test_a_route_cannot_be_declared_without_a_permission_or_twice() -> None:
    router = Router("x")
    with pytest.raises(TypeError, match="permission"):
        router.get("/x")  # type: ignore[call-arg]
    router.get("/x", permission=needs("logs.list"))(lambda: None)
    router.get("/x", permission=needs("logs.view"))(lambda: None)
    with pytest.raises(ValueError, match="declared twice"):
        gates([router], body_limit_bytes=1, large_body_limit_bytes=1)


def test_the_matrix_is_the_contracts() -> None:
    declared = {
        (route.method, route.path): [set(needed) for needed in route.permission.alternatives] for route in GUARDED
    }
    assert declared == EXPECTED


def call(client: TestClient, route: Declared, key: str | None, workspace: str = "absent") -> int:
    path = route.path.replace("{groupBy}", "model").replace("{workspace_id}", workspace)
    path = re.sub(r"\{\w+\}", "absent", path)
    time = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
    headers = auth(key) if key is not None else {}
    return client.request(route.method, f"{path}?{time}", headers=headers).status_code


def key_of(here: Installation, kind: KeyKind, scopes: frozenset[str], **fields: timedelta) -> str:
    if kind is KeyKind.ORGANISATION_SERVICE:
        return here.key(kind, scopes=scopes, **fields)  # type: ignore[arg-type]
    user = here.first.owner_user_id if kind is KeyKind.WORKSPACE_USER else None
    return here.key(kind, workspace_id=here.first.workspace_id, user_id=user, scopes=scopes, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("route", "kind"), list(product(GUARDED, KeyKind)), ids=lambda value: getattr(value, "path", str(value))
)
def test_every_route_with_every_kind_of_key(
    client: TestClient, here: Installation, route: Declared, kind: KeyKind
) -> None:
    everything = scopes_of(kind)
    passes = {200, 400, 404, 409}
    # What a key may ask about itself needs no scope.
    refused = 200 if frozenset() in route.permission.alternatives else 403

    own = replace(route, path=route.path.replace("/organisations/{id}", f"/organisations/{here.first.organisation_id}"))

    def status_with(key: str | None) -> int:
        return call(client, own, key, here.first.workspace_id)

    assert status_with(None) == 401
    assert status_with("gl_" + "x" * 43) == 401
    assert status_with(key_of(here, kind, frozenset())) == refused
    needed = frozenset[str]().union(*route.permission.alternatives)
    can_hold = any(alternative <= everything for alternative in route.permission.alternatives)
    if kind not in route.permission.kinds or not can_hold:
        assert status_with(key_of(here, kind, everything)) == 403  # no key of this kind may, or can hold the scopes
        return
    assert status_with(key_of(here, kind, everything)) in passes
    assert status_with(key_of(here, kind, everything - needed)) == refused
    for alternative in (needed for needed in route.permission.alternatives if needed <= everything):
        assert status_with(key_of(here, kind, alternative)) in passes


def test_a_permission_for_some_kinds_only_holds_the_others_off() -> None:
    permission: Permission = needs("analytics.view", kinds=[KeyKind.ORGANISATION_SERVICE])
    assert [permission.allows(kind, frozenset({"analytics.view"})) for kind in KeyKind] == [True, False, False]


class TestKeysThatDoNotCount:
    """Expired, revoked, deleted, stranded: all are 401, and none says which."""

    @pytest.fixture
    def groups(self) -> Declared:
        return GUARDED[0]

    def assert_refused(self, client: TestClient, groups: Declared, key: str) -> None:
        answer = client.get(groups.path.replace("{groupBy}", "model"), headers=auth(key))
        assert answer.status_code == 401
        assert answer.json()["data"] == {"message": "Unauthorised Request", "errorCode": "AB05"}

    def test_an_expired_key(self, here: Installation, groups: Declared) -> None:
        key = here.key(expires_in=timedelta(seconds=5))
        times = {"now": NOW}
        with serving(here, clock=lambda: times["now"]) as client:
            assert call(client, groups, key) == 200
            times["now"] = NOW + timedelta(seconds=5)
            self.assert_refused(client, groups, key)

    def test_an_expired_key_is_refused_even_while_it_is_remembered(self, tmp_path: Path) -> None:
        with installed(tmp_path, key_cache_s=60) as here:
            key = here.key(expires_in=timedelta(seconds=5))
            times = {"now": NOW}
            with serving(here, clock=lambda: times["now"]) as client:
                assert call(client, GUARDED[0], key) == 200
                times["now"] = NOW + timedelta(seconds=5)
                self.assert_refused(client, GUARDED[0], key)

    @pytest.mark.parametrize("change", [{"status": "expired"}, {"deleted_at": NOW}])
    def test_a_key_that_was_taken_away(
        self, client: TestClient, here: Installation, groups: Declared, change: dict[str, object]
    ) -> None:
        key = here.key()
        assert call(client, groups, key) == 200
        with here.database.transaction() as session:
            row = session.query(ApiKey).filter_by(key_hash=hash_of(key)).one()
            for name, value in change.items():
                setattr(row, name, value)
        self.assert_refused(client, groups, key)

    def test_a_key_whose_budget_is_exhausted_may_still_read(
        self, client: TestClient, here: Installation, groups: Declared
    ) -> None:
        key = here.key()
        with here.database.transaction() as session:
            session.query(ApiKey).filter_by(key_hash=hash_of(key)).one().status = "exhausted"
        assert call(client, groups, key) == 200

    def test_a_key_of_an_exhausted_workspace_may_still_read_and_say_what_was_used(
        self, client: TestClient, here: Installation, groups: Declared
    ) -> None:
        workspace = here.workspace("Exhausted")
        key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=workspace.id)
        with here.database.transaction() as session:
            workspaces.find(session, workspace.organisation_id, workspace.id).status = "exhausted"
        assert call(client, groups, key) == 200
        record = {"id": "after-the-end", "created_at": NOW.isoformat(), "ai_org": "openai", "ai_model": "gpt-4o"}
        answer = client.post("/v1/ingest/generations", json=[record], headers=auth(key))
        assert answer.status_code == 200, answer.text

    def test_a_key_of_an_archived_workspace(self, client: TestClient, here: Installation, groups: Declared) -> None:
        workspace = here.workspace("Gone")
        key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=workspace.id)
        assert call(client, groups, key) == 200
        with here.database.transaction() as session:
            workspaces.find(session, workspace.organisation_id, workspace.id).status = "archived"
        self.assert_refused(client, groups, key)

    def test_a_key_of_an_archived_organisation(self, client: TestClient, here: Installation, groups: Declared) -> None:
        other = here.organisation("Closed")
        key = here.key(organisation_id=other)
        with here.database.transaction() as session:
            session.get_one(Organisation, other).status = "archived"
        self.assert_refused(client, groups, key)

    def test_a_key_whose_user_left_the_organisation(
        self, client: TestClient, here: Installation, groups: Declared
    ) -> None:
        user = here.colleague("leaver@acme.example", here.first.workspace_id)
        key = here.key(KeyKind.WORKSPACE_USER, workspace_id=here.first.workspace_id, user_id=user)
        assert call(client, groups, key) == 200
        with here.database.transaction() as session:
            session.query(OrganisationMember).filter_by(user_id=user).one().status = "inactive"
        self.assert_refused(client, groups, key)

    def test_scopes_that_a_kind_cannot_hold_do_not_count_even_when_stored(
        self, client: TestClient, here: Installation
    ) -> None:
        key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id, scopes=[])
        with here.database.transaction() as session:
            session.query(ApiKey).filter_by(key_hash=hash_of(key)).one().scopes = ["audit_logs.list", "everything"]
        with here.database.transaction(writes=False) as session:
            assert resolve(session, hash_of(key), NOW).scopes == frozenset()

    @pytest.mark.parametrize("key", ["", " ", "gl_", "x" * 9000, "gl_\u00e9", "null", "' OR '1'='1", "\x7f"])
    def test_odd_keys(self, client: TestClient, groups: Declared, key: str) -> None:
        answer = client.get(groups.path, headers={"x-portkey-api-key": key.encode("latin-1")})
        assert answer.status_code == 401
