"""What is remembered, for how long, and that every committed write ends it: on all workers, with Redis or not."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import event, select, update

from api.api_keys import service as api_keys
from api.api_keys.rows import ApiKey
from api.caching import Cache
from api.errors import Forbidden
from api.opening import ready_database
from api.organisations.rows import Organisation
from api.permissions import KeyKind
from api.principal import Gatekeeper, Principal
from api.redis_settings import RedisSettings
from api.shared_cache import KEPT_S, SharedCache
from api.users.rows import User
from api.workspaces.places import IN_USE, Places, place_of
from api.workspaces.rows import ARCHIVED, Workspace
from api.written import EVERY_ORGANISATION
from tests.factories.app import NOW, Installation, auth, installed, serving
from tests.factories.parts import needed
from tests.factories.private_redis import redis_server
from tests.factories.private_servers import Server, alone
from tests.factories.server import LiveServer, live_server

ASKED = "/v1/analytics/groups/model?time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
PROMISED_S = 1.0
SIGNING_KEY = b"k" * 32


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path) as installation:
        yield installation


@pytest.fixture
def redis_at() -> Iterator[Server]:
    with needed(alone(redis_server())) as server:
        yield server


def url_of(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


class Watching:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, frozenset[str]]] = []

    def writing(self, organisations: frozenset[str]) -> None:
        self.said.append(("writing", organisations))

    def written(self, organisations: frozenset[str]) -> None:
        self.said.append(("written", organisations))


class TestWhatWasWritten:
    @pytest.fixture
    def watching(self, here: Installation) -> Watching:
        watching = Watching()
        here.database.watchers.append(watching)
        return watching

    def test_a_row_says_whose_it_is(self, here: Installation, watching: Watching) -> None:
        own = frozenset({here.first.organisation_id})
        here.workspace("Prod")
        assert watching.said == [("writing", own), ("written", own)]

    def test_an_organisation_and_the_last_flush_count(self, here: Installation, watching: Watching) -> None:
        with here.database.transaction() as session:
            session.get_one(Organisation, here.first.organisation_id).name = "Other"
        assert watching.said[0] == ("writing", frozenset({here.first.organisation_id}))

    def test_what_cannot_be_told_apart_is_everything(self, here: Installation, watching: Watching) -> None:
        everything = frozenset({EVERY_ORGANISATION})
        with here.database.transaction() as session:
            session.get_one(User, here.first.owner_user_id).first_name = "Ada"
        with here.database.transaction() as session:
            session.execute(update(ApiKey).values(deleted_at=NOW))
        assert [said for said in watching.said if said[0] == "written"] == [("written", everything)] * 2

    def test_reading_and_rolling_back_say_nothing(self, here: Installation, watching: Watching) -> None:
        with here.database.transaction() as session:
            session.get_one(Workspace, here.first.workspace_id)
        session = here.database.session(writes=True)
        session.get_one(Workspace, here.first.workspace_id).name = "x"
        session.flush()
        session.rollback()
        session.close()
        assert watching.said == []

    def test_savepoints_wait_for_the_commit(self, here: Installation, watching: Watching) -> None:
        with here.database.transaction() as session:
            with session.begin_nested():
                session.get_one(Workspace, here.first.workspace_id).name = "x"
            assert watching.said == []
        assert [what for what, _ in watching.said] == ["writing", "written"]


class TestMemory:
    def cache(self, clock: Callable[[], float]) -> Cache[Principal]:
        return Cache("principal", Principal, lambda known: known.organisation_id, ttl_s=0.9, timer=clock)

    def test_what_was_read_before_a_write_is_not_kept_after_it(self) -> None:
        cache = self.cache(lambda: 0.0)

        def read_while_somebody_writes() -> Principal:
            cache.forget("o")
            return somebody("o")

        assert cache.load("k", read_while_somebody_writes) == somebody("o")
        assert cache.get("k") is None

    def test_its_time_counts_from_before_it_was_read(self) -> None:
        clock = {"s": 0.0}
        cache = self.cache(lambda: clock["s"])

        def slow() -> Principal:
            clock["s"] += 0.5
            return somebody("o")

        cache.load("k", slow)
        clock["s"] = 0.8
        assert cache.get("k") == somebody("o")
        clock["s"] = 0.9
        assert cache.get("k") is None

    def test_one_organisation_is_forgotten_and_others_stay(self) -> None:
        cache = self.cache(lambda: 0.0)
        for name in ("a", "b"):
            cache.load(name, lambda name=name: somebody(name))
        cache.forget("a")
        assert (cache.get("a"), cache.get("b")) == (None, somebody("b"))
        cache.forget()
        assert cache.get("b") is None

    def test_a_change_over_http_is_seen_by_the_next_request(self, here: Installation) -> None:
        """In the worker that made it, whatever the time that callers are remembered."""
        patient = Installation(here.settings.model_copy(update={"key_cache_s": 60}), here.database, here.first)
        key = here.key()
        with serving(patient) as client:
            assert client.get(ASKED, headers=auth(key)).status_code == 200
            database = client.app.state.services.database  # type: ignore[attr-defined]
            with database.transaction() as session:
                session.execute(update(ApiKey).where(ApiKey.key_mask == api_keys.mask_of(key)).values(deleted_at=NOW))
            assert client.get(ASKED, headers=auth(key)).status_code == 401
            assert client.get(ASKED, headers=auth(here.admin_key)).status_code in {200, 401}


class TestPlaces:
    """Which workspace a question is about, and who may ask."""

    def test_it_is_looked_up_once_and_by_who_asks(self, here: Installation) -> None:
        places = Places(here.database, ttl_s=60)
        own, slug = here.first.organisation_id, here.first.workspace_slug
        looked_up: list[str] = []

        def note(*given: Any) -> None:
            if "FROM workspaces" in given[2]:
                looked_up.append(given[2])

        event.listen(here.database.engine, "before_cursor_execute", note)
        for _ in range(3):
            assert places.of(own, slug, IN_USE, is_admin=False).slug == slug
        once = len(looked_up)
        places.of(own, slug, (*IN_USE, ARCHIVED), is_admin=True)
        assert (once, len(looked_up)) == (1, 2)
        for unknown in ("absent", here.organisation("Other")):
            with pytest.raises(Forbidden):
                places.of(own, unknown, IN_USE, is_admin=False)

    def test_archiving_ends_it_at_once_for_members_and_not_for_administrators(self, here: Installation) -> None:
        patient = Installation(here.settings.model_copy(update={"key_cache_s": 60}), here.database, here.first)
        made = here.workspace("Old")
        with serving(patient) as client:
            database = client.app.state.services.database  # type: ignore[attr-defined]

            def asks(*, is_admin: bool) -> str:
                with database.transaction(writes=False) as session:
                    return place_of(session, made.organisation_id, made.slug, is_admin=is_admin).status

            assert [asks(is_admin=who) for who in (True, False)] == ["active", "active"]
            with database.transaction() as session:
                session.get_one(Workspace, made.id).status = ARCHIVED
            assert asks(is_admin=True) == ARCHIVED
            with pytest.raises(Forbidden):
                asks(is_admin=False)


def somebody(organisation_id: str) -> Principal:
    return Principal(
        kind=KeyKind.WORKSPACE_SERVICE,
        key_id="k",
        organisation_id=organisation_id,
        scopes=frozenset({"logs.list"}),
        expires_at=datetime(2027, 1, 1, 1, 2, 3, 456_789, tzinfo=UTC),
        limits={"usage": [1, 2.5]},
    )


class TestRedis:
    @pytest.fixture
    def workers(self, redis_at: Server) -> Iterator[tuple[SharedCache, SharedCache]]:
        one, two = (SharedCache(url_of(redis_at), SIGNING_KEY) for _ in range(2))
        with closing(one), closing(two):
            yield one, two

    def test_what_one_worker_read_another_has(self, workers: tuple[SharedCache, SharedCache]) -> None:
        one, two = (self.cache(shared) for shared in workers)
        assert one.load("k", lambda: somebody("o")) == somebody("o")
        assert two.load("k", never) == somebody("o")

    def test_a_write_ends_it_for_all(self, workers: tuple[SharedCache, SharedCache]) -> None:
        one, two = workers
        self.cache(one).load("k", lambda: somebody("o"))
        self.cache(one).load("other", lambda: somebody("p"))
        two.writing(frozenset({"o"}))
        assert one.read("principal:k") is None
        two.written(frozenset({"o"}))
        assert one.read("principal:k") is None
        assert one.read("principal:other") is not None
        two.written(frozenset({EVERY_ORGANISATION}))
        assert one.read("principal:other") is None

    def test_what_was_read_before_a_write_does_not_come_back(self, workers: tuple[SharedCache, SharedCache]) -> None:
        one, two = workers

        def read_while_another_worker_writes() -> Principal:
            two.writing(frozenset({"o"}))
            two.written(frozenset({"o"}))
            return somebody("o")

        self.cache(one).load("k", read_while_another_worker_writes)
        assert two.read("principal:k") is None

    def test_a_writer_that_died_leaves_nothing_to_be_used(self, workers: tuple[SharedCache, SharedCache]) -> None:
        one, two = workers
        two.writing(frozenset({"o"}))
        self.cache(one).load("k", lambda: somebody("o"))
        assert two.read("principal:k") is None

    def test_who_can_write_to_redis_still_cannot_become_somebody(
        self, redis_at: Server, workers: tuple[SharedCache, SharedCache]
    ) -> None:
        with closing(SharedCache(url_of(redis_at), b"a guess")) as stranger:
            self.cache(stranger).load("k", lambda: somebody("o"))
        assert workers[0].read("principal:k") is None
        self.cache(workers[0]).load("mine", lambda: somebody("o"))
        with closing(redis.Redis(port=redis_at.port)) as client:
            client.set("gateledger:kept:principal:yours", client.get("gateledger:kept:principal:mine"))
            assert 0 < client.ttl("gateledger:kept:principal:mine") <= KEPT_S
        assert workers[0].read("principal:yours") is None
        assert workers[0].read("principal:mine") is not None

    def test_the_word_goes_round(self, workers: tuple[SharedCache, SharedCache]) -> None:
        heard: list[str] = []
        listening, told = threading.Event(), threading.Event()

        def forget(organisation_id: str) -> None:
            heard.append(organisation_id)
            (told if organisation_id == "o" else listening).set()

        with workers[0].listening(forget):
            assert listening.wait(5)
            workers[1].written(frozenset({"o"}))
            assert told.wait(PROMISED_S)
        assert heard == [EVERY_ORGANISATION, "o"]

    def test_down_is_a_warning_and_what_is_owed_is_told_later(self, caplog: pytest.LogCaptureFixture) -> None:
        with needed(alone(redis_server())) as first:
            port = first.port
            clock = {"s": 0.0}
            shared = SharedCache(f"redis://127.0.0.1:{port}/0", SIGNING_KEY, timer=lambda: clock["s"])
            cache = self.cache(shared)
            cache.load("k", lambda: somebody("o"))
        for _ in range(50):
            assert cache.load("k", lambda: somebody("o")) == somebody("o")
            shared.writing(frozenset({"o"}))
            shared.written(frozenset({"o"}))
        assert not shared.answers()
        told = [record.levelname for record in caplog.records if record.name == "api.shared_cache"]
        assert told == ["WARNING"], "a dead Redis is asked once a second, not by every request"
        with needed(alone(redis_server(port))) as second, closing(redis.Redis(port=second.port)) as client:
            clock["s"] = 2.0
            shared.pay()
            assert client.get("gateledger:written:o") == b"1"
            assert shared.answers()
            shared.close()

    @staticmethod
    def cache(shared: SharedCache) -> Cache[Principal]:
        return Cache("principal", Principal, lambda known: known.organisation_id, ttl_s=0, shared=shared)

    def test_every_process_of_an_installation_signs_alike(self, here: Installation, redis_at: Server) -> None:
        settings = here.settings.model_copy(update={"redis": RedisSettings(url=url_of(redis_at))})
        with ExitStack() as opened, ThreadPoolExecutor(4) as pool:
            pairs = list(pool.map(lambda _: ready_database(settings, opened, NOW), range(4)))
            keepers = [Gatekeeper(database, ttl_s=0, shared=shared) for database, shared in pairs]
            principal = keepers[0].look_up(here.admin_key, NOW)
            for database, _ in pairs:
                database.engine.dispose()
            shared = [shared for _, shared in pairs if shared is not None]
            assert len({cache._signing_key for cache in shared}) == 1
            assert [keeper.look_up(here.admin_key, NOW) for keeper in keepers] == [principal] * 4


def never() -> Principal:
    raise AssertionError("the database was asked")


@pytest.mark.slow
class TestRevokedKeys:
    """The promise: on every worker, within a second."""

    def test_without_redis(self, here: Installation, tmp_path: Path) -> None:
        key = here.key()
        with live_server(tmp_path, workers=2) as server:
            assert refused_after_s(here, server, key) < PROMISED_S

    def test_with_redis_though_callers_are_remembered_for_long(
        self, here: Installation, tmp_path: Path, redis_at: Server
    ) -> None:
        """A worker that revokes tells the others; and so does a command on another machine."""
        key, other = here.key(), here.key()
        environment = {"REDIS_URL": url_of(redis_at), "GATELEDGER_KEY_CACHE_S": "60"}
        settings = here.settings.model_copy(update={"redis": RedisSettings(url=url_of(redis_at))})
        with live_server(tmp_path, workers=2, **environment) as server, ExitStack() as opened:
            database, _ = ready_database(settings, opened, NOW)
            elsewhere = Installation(settings, database, here.first)
            assert refused_after_s(elsewhere, server, key) < PROMISED_S
            redis_at.stop()
            for _ in range(20):
                assert httpx.get(server.url + ASKED, headers=auth(other), timeout=10).status_code == 200
        assert "Redis does not answer" in server.log.read_text()


def refused_after_s(here: Installation, server: LiveServer, key: str) -> float:
    """Seconds from the commit that revokes a key to the last request that was still served, all workers being asked."""
    stop = threading.Event()
    served: list[float] = []

    def ask() -> None:
        while not stop.is_set():
            # A new connection each time, so that the kernel spreads them over the workers.
            asked = time.monotonic()
            if httpx.get(server.url + ASKED, headers=auth(key), timeout=30).status_code == httpx.codes.OK:
                served.append(asked)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            deadline = time.monotonic() + 60
            while len(served) < 20 and time.monotonic() < deadline:
                time.sleep(0.05)
            with here.database.transaction() as session:
                session.scalars(select(ApiKey).where(ApiKey.key_hash == api_keys.hash_of(key))).one().deleted_at = NOW
            revoked = time.monotonic()
            time.sleep(2)
        finally:
            stop.set()
        for one in asking:
            one.result()
    assert len(served) >= 20, "the key works at first"
    return max(served) - revoked
