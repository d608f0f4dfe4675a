"""A part that is switched off by its variable says so, and nothing else does."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from api.app import ROUTERS
from api.errors import Forbidden
from api.feature_flags import Feature, Features
from api.routing import Declared
from api.settings import ApiSettings
from tests.factories.app import Installation, auth, installed, serving

FLAGGED = [route for router in ROUTERS for route in router.declared if route.feature is not None]


@pytest.mark.parametrize("value", ["OFF", "off", "false", "0"])
def test_unset_is_on_and_off_is_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for feature in Feature:
        monkeypatch.delenv(feature.value, raising=False)
    assert ApiSettings().features == Features()
    for feature in Feature:
        with monkeypatch.context() as patch:
            patch.setenv(feature.value, value)
            assert ApiSettings().features == Features(frozenset({feature}))
            patch.setenv(feature.value, "ON")
            assert ApiSettings().features == Features()
            patch.setenv(feature.value, "")
            assert ApiSettings().features == Features()


@pytest.mark.parametrize("feature", Feature)
def test_the_refusal_names_the_variable(feature: Feature) -> None:
    off = Features(frozenset({feature}))
    with pytest.raises(Forbidden, match=f"disabled by {feature.value}=OFF$"):
        off.require(feature)
    for other in set(Feature) - {feature}:
        off.require(other)
    assert off.described() == {one.value: one is not feature for one in Feature}


def test_limits_are_refused_where_there_are_none_and_can_be_cleared() -> None:
    off = Features(frozenset({Feature.USAGE_LIMITS}))
    for clearing in (None, [], {}):
        off.check_limits(clearing)
    for limits in ([{"credit_limit": 1}], {"credit_limit": 1}):
        Features().check_limits(limits)
        with pytest.raises(Forbidden, match="USAGE_LIMITS_ENABLED=OFF"):
            off.check_limits(None, limits)


def statuses(here: Installation, routes: Iterable[Declared], key: str | None) -> dict[str, tuple[int, str]]:
    with serving(here) as client:
        found: dict[str, tuple[int, str]] = {}
        for route in routes:
            path = route.path.replace("{type}/{sub_type}", "workspace/service")
            answer = client.request(route.method, path, headers=auth(key) if key else {})
            body = answer.json()
            found[f"{route.method} {route.path}"] = (answer.status_code, body.get("data", {}).get("message", ""))
        return found


@pytest.mark.parametrize("feature", sorted({route.feature for route in FLAGGED if route.feature}))
def test_the_routes_of_a_part_that_is_off_answer_403(tmp_path: Path, feature: Feature) -> None:
    own = [route for route in FLAGGED if route.feature is feature]
    with installed(tmp_path, **{feature.value.lower(): False}) as here:
        for status, message in statuses(here, own, here.admin_key).values():
            assert status == 403
            assert f"disabled by {feature.value}=OFF" in message
        guarded = [route for route in own if not route.permission.public]
        assert {status for status, _ in statuses(here, guarded, None).values()} == {401}


def test_api_keys_and_audit_logs_can_be_switched_off() -> None:
    by_feature = {feature: {route.path for route in FLAGGED if route.feature is feature} for feature in Feature}
    assert {"/v1/api-keys", "/v1/api-keys/{id}"} <= by_feature[Feature.API_ACCESS]
    assert "/v1/audit-logs" in by_feature[Feature.AUDIT_LOGS]
