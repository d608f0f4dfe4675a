"""`/api-keys` over HTTP: keys deleted, rotated, and asking about themselves."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of, mask_of
from api.permissions import KeyKind, scopes_of
from tests.factories.api_keys import KEYS, World, error
from tests.factories.app import NOW, auth, installed, serving

ABSENT = "00000000-0000-4000-8000-000000000000"
SERVICE, USER = KeyKind.WORKSPACE_SERVICE, KeyKind.WORKSPACE_USER


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("keys"), key_cache_s=60) as here, serving(here) as client:
        yield World(here, client)


class TestDeleting:
    def test_a_deleted_key_is_refused_at_once_and_gone(self, world: World) -> None:
        made = world.made()
        assert world.works(made["key"])
        answer = world.delete(made["id"])
        assert (answer.status_code, answer.json()) == (200, {})
        assert not world.works(made["key"])
        assert made["id"] not in world.listed().text
        for again in (world.get(made["id"]), world.delete(made["id"]), world.put(made["id"], name="x")):
            error(again, 403, "AB03")

    def test_a_key_that_never_was(self, world: World) -> None:
        for key_id in (ABSENT, "absent", "x" * 90, "%00", "' OR 1=1 --"):
            error(world.get(key_id), 404, "AB08")
        error(world.delete(ABSENT), 404, "AB08")
        error(world.put(ABSENT, name="x"), 404, "AB08")

    def test_a_key_of_another_workspace_than_was_said(self, world: World) -> None:
        other = world.here.workspace("Said")
        made = world.made()
        error(world.delete(made["id"], workspace_id=other.id), 403, "AB03")
        error(world.put(made["id"], workspace_id=other.slug, name="x"), 403, "AB03")
        assert world.delete(made["id"], workspace_id=world.here.first.workspace_slug).status_code == 200

    def test_changes_count_at_once(self, world: World) -> None:
        made = world.made(scopes=["logs.list"])
        told = world.client.get(f"{KEYS}/self", headers=auth(made["key"])).json()
        assert told["scopes"] == ["logs.list"]
        world.changed(made["id"], scopes=["analytics.view"], expires_at="2026-04-02T12:30:01Z")
        told = world.client.get(f"{KEYS}/self", headers=auth(made["key"])).json()
        assert (told["scopes"], told["expires_at"]) == (["analytics.view"], "2026-04-02T12:30:01.000Z")


class TestRotating:
    def rotate(self, world: World, key_id: str, key: str | None = None, **body: Any) -> Any:
        return world.client.post(
            f"{KEYS}/{key_id}/rotate", json=body or None, headers=auth(key or world.here.admin_key)
        )

    def test_both_secrets_count_until_the_transition_ends(self, tmp_path: Any) -> None:
        times = {"now": NOW}
        with installed(tmp_path, key_cache_s=60) as here, serving(here, lambda: times["now"]) as client:
            world = World(here, client)
            made = world.made()
            rotated = self.rotate(world, made["id"]).json()
            assert set(rotated) == {"id", "key", "object", "key_transition_expires_at"}
            assert rotated["id"] == made["id"]
            assert rotated["key_transition_expires_at"] == "2026-04-02T13:00:00.000Z"
            assert rotated["key"] != made["key"]
            found = world.read(made["id"])
            assert (found["key"], found["key_transition_expires_at"]) == (
                mask_of(rotated["key"]),
                "2026-04-02T13:00:00.000Z",
            )
            assert world.works(made["key"])
            assert world.works(rotated["key"])
            assert "counts until 2026-04-02T13:00:00.000Z" in error(self.rotate(world, made["id"]), 409, "AB07")
            times["now"] = NOW + timedelta(minutes=30)
            assert not world.works(made["key"])
            assert world.works(rotated["key"])
            again = self.rotate(world, made["id"], key_transition_period_ms=7_200_000).json()
            assert again["key_transition_expires_at"] == "2026-04-02T15:00:00.000Z"
            assert not world.works(made["key"])  # two at most
            assert world.works(rotated["key"])
            assert world.works(again["key"])
            assert world.delete(made["id"]).status_code == 200
            assert not world.works(rotated["key"])
            assert not world.works(again["key"])

    @pytest.mark.parametrize("period", [0, -1, 1_799_999, 2_592_000_001, 1_800_000.5, "1800000", True])
    def test_transitions_that_are_none(self, world: World, period: Any) -> None:
        made = world.made()
        assert "key_transition_period_ms" in error(
            self.rotate(world, made["id"], key_transition_period_ms=period), 400, "AB01"
        )

    def test_it_is_shorter_than_the_period(self, world: World) -> None:
        made = world.made(rotation_policy={"rotation_period": "weekly", "key_transition_period_ms": 3_600_000})
        message = error(self.rotate(world, made["id"], key_transition_period_ms=604_800_000), 400, "AB01")
        assert "less than the rotation period (7 days)" in message
        rotated = self.rotate(world, made["id"]).json()
        assert rotated["key_transition_expires_at"] == "2026-04-02T13:30:00.000Z"  # what the policy says

    def test_at_once_from_two_sides(self, world: World) -> None:
        made = world.made()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: self.rotate(world, made["id"]), range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        [raw] = [answer.json()["key"] for answer in answers if answer.status_code == 200]
        assert world.works(raw)
        assert world.works(made["key"])

    def test_a_key_that_expired(self, world: World) -> None:
        made = world.made(expires_at="2027-01-01T00:00:00Z")
        with world.here.database.transaction() as session:
            session.get_one(ApiKey, made["id"]).expires_at = NOW
        assert world.read(made["id"])["status"] == "expired"
        assert "has expired" in error(self.rotate(world, made["id"]), 400, "AB01")
        assert world.changed(made["id"], expires_at="2027-01-01T00:00:00Z")["status"] == "active"
        assert self.rotate(world, made["id"]).status_code == 200

    def test_the_old_secret_does_not_outlive_the_key(self, tmp_path: Any) -> None:
        times = {"now": NOW}
        with installed(tmp_path, key_cache_s=60) as here, serving(here, lambda: times["now"]) as client:
            world = World(here, client)
            made = world.made(expires_at="2026-04-02T12:40:00Z")
            self.rotate(world, made["id"])
            assert world.works(made["key"])
            times["now"] = NOW + timedelta(minutes=10)
            assert not world.works(made["key"])

    @pytest.mark.parametrize("verb", ["rotate", "update"])
    def test_either_scope_will_do(self, world: World, verb: str) -> None:
        made = world.made(scopes=["completions.write", "logs.list"])
        scopes = [f"workspace_service_api_keys.{verb}", "logs.list"]
        assert self.rotate(world, made["id"], world.here.key(scopes=scopes)).status_code == 200

    def test_nobody_gets_a_secret_that_may_more_than_itself(self, world: World) -> None:
        made = world.made(scopes=["logs.list", "configs.delete"])
        scopes = ["workspace_service_api_keys.rotate", "workspace_service_api_keys.update", "logs.list"]
        for caller in (
            world.here.key(scopes=scopes),
            world.here.key(SERVICE, workspace_id=world.workspace, scopes=scopes),
        ):
            assert "configs.delete" in error(self.rotate(world, made["id"], caller), 403, "AB03")


class TestSelf:
    def test_every_kind_sees_itself_whatever_it_may(self, world: World) -> None:
        user = world.here.colleague("self@acme.example", world.workspace)
        for kind, fields in (
            (KeyKind.ORGANISATION_SERVICE, {}),
            (SERVICE, {"workspace_id": world.workspace}),
            (USER, {"workspace_id": world.workspace, "user_id": user}),
        ):
            raw = world.here.key(kind, scopes=[], **fields)
            told = world.client.get(f"{KEYS}/self", headers=auth(raw)).json()
            assert (told["type"], told["user_id"]) == (kind.value, fields.get("user_id"))
            assert (told["scopes"], told["status"], told["object"]) == ([], "active", "api-key")
            assert raw not in str(told)

    def test_limits_and_the_next_reset(self, world: World) -> None:
        made = world.made(
            usage_limits={"type": "tokens", "credit_limit": 1000, "periodic_reset_days": 3},
            rate_limits=[{"type": "requests", "unit": "rps", "value": 1}],
            defaults={"metadata": {"a": "b"}},
        )
        told = world.client.get(f"{KEYS}/self", headers=auth(made["key"])).json()
        assert told["id"] == made["id"]
        assert told["workspace_slug"] == world.here.first.workspace_slug
        assert told["usage_limits"]["credit_limit"] == 1000
        assert told["next_usage_reset_at"] == "2026-04-05T00:00:00.000Z"
        assert told["rate_limits"] == [{"type": "requests", "unit": "rps", "value": 1}]
        assert told["defaults"]["metadata"] == {"a": "b"}

    def test_an_exhausted_key_still_sees_itself(self, world: World) -> None:
        made = world.made(usage_limits={"credit_limit": 5})
        with world.here.database.transaction() as session:
            session.query(ApiKey).filter_by(key_hash=hash_of(made["key"])).one().status = "exhausted"
        assert world.client.get(f"{KEYS}/self", headers=auth(made["key"])).json()["status"] == "exhausted"

    def test_nobody_without_a_key(self, world: World) -> None:
        assert world.client.get(f"{KEYS}/self").status_code == 401


def test_everything_an_admin_key_can_hold_can_be_given(world: World) -> None:
    for kind, path in ((KeyKind.ORGANISATION_SERVICE, "organisation/service"), (SERVICE, "workspace/service")):
        made = world.made(path, scopes=sorted(scopes_of(kind)))
        assert world.read(made["id"])["scopes"] == sorted(scopes_of(kind))


def test_created_at_is_when_it_was_made(world: World) -> None:
    made = world.read(world.made()["id"])
    assert datetime.fromisoformat(made["created_at"]) == NOW
