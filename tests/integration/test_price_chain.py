"""The source chain under everything that can go wrong: never a wrong price, never a failure of who asks."""

import threading
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.factories.model_files import ModelFileHost, model_file_host, price_file
from warehouse.errors import ConfigurationError
from warehouse.pricing import origins, remembered
from warehouse.pricing import sources as chain
from warehouse.pricing.book import Listing, UnpricedReason
from warehouse.pricing.remembered import RememberedLevel, within
from warehouse.pricing.sources import MEMORY, Sources, open_sources
from warehouse.settings import WarehouseSettings

TROUBLES = ["error", "slow", "drip", "html", "truncated", "cut", "huge", "error-object", "empty", "list", "gone"]
PROXY, STORE, LOCAL = Decimal(3), Decimal(5), Decimal(7)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    # A healthy answer may take long on a busy machine; only what is slow on purpose is not waited for (`break_it`).
    monkeypatch.setattr(chain, "PROXY_PATIENCE_S", 60.0)
    monkeypatch.setattr(origins, "READ_TIMEOUT_S", 30.0)
    monkeypatch.setattr(origins, "MAX_BYTES", 1 << 20)


@pytest.fixture
def host() -> Generator[ModelFileHost]:
    with model_file_host() as running:
        running.files["pricing/acme.json"] = price_file(PROXY, "m", "only-proxy")
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sources(host: ModelFileHost, clock: Clock, tmp_path: Path) -> Generator[Sources]:
    """Proxy, log store and local files that all know `m`, and one model each that only they know."""
    (tmp_path / "store" / "prices").mkdir(parents=True)
    (tmp_path / "local").mkdir()
    (tmp_path / "store" / "prices" / "acme.json").write_text(price_file(STORE, "m", "only-store"))
    (tmp_path / "local" / "acme.json").write_text(price_file(LOCAL, "m", "only-store", "only-local"))
    opened = opened_with(clock, tmp_path, host.url)
    yield opened
    opened.close()


def opened_with(clock: Clock, folder: Path, url: str) -> Sources:
    settings = WarehouseSettings(
        home=folder,
        log_store_url=str(folder / "store"),  # type: ignore[arg-type]
        model_configs_proxy_fetch_enabled="ON",  # type: ignore[arg-type]
        model_configs_proxy_url=url,  # type: ignore[arg-type]
        model_configs_pricing_log_store_path="prices",
        model_configs_pricing_local_path=folder / "local",
    )
    return open_sources(settings, clock, {})


def rate(sources: Sources, model: str = "m", provider: str = "acme") -> Decimal | str:
    found = sources.book().listing(provider, model)
    if not isinstance(found, Listing):
        return found.value
    row = found.row(None)
    assert row is not None
    assert row.pricing.config is not None
    return row.pricing.config.pay_as_you_go.tokens["request_token"]


def level(sources: Sources, name: str = "proxy") -> RememberedLevel:
    return next(one for one in sources.levels() if isinstance(one, RememberedLevel) and one.name == name)


def break_it(sources: Sources, host: ModelFileHost, trouble: str) -> None:
    level(sources)._patience_s = 0.3 if trouble in ("slow", "drip") else 60.0
    if trouble == "gone":
        host.files.clear()  # a proxy that has lost its files answers 404 for everything
    host.misbehave = trouble


def test_the_first_level_that_knows_a_model_gives_its_price(sources: Sources) -> None:
    found = {model: rate(sources, model) for model in ("m", "only-proxy", "only-store", "only-local", "none")}
    assert found == {
        "m": PROXY, "only-proxy": PROXY, "only-store": STORE, "only-local": LOCAL, "none": "unknown_model"
    }  # fmt: skip
    assert rate(sources, "gpt-4o", "openai") == Decimal("0.00025")
    assert sources.book().problems() == []


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_level_that_never_answered_falls_through_and_is_reported(
    sources: Sources, host: ModelFileHost, clock: Clock, trouble: str
) -> None:
    break_it(sources, host, trouble)
    assert rate(sources) == STORE
    assert rate(sources, "only-local") == LOCAL
    if trouble != "gone":
        problem = next(one for one in sources.book().problems() if one.provider == "acme")
        assert problem.source == "proxy"
        assert level(sources).status().failing
    break_it(sources, host, "")
    host.files["pricing/acme.json"] = price_file(PROXY, "m")
    clock.pass_(hours=1)
    assert rate(sources) == PROXY
    assert not level(sources).status().failing


@pytest.mark.parametrize("trouble", [one for one in TROUBLES if one != "gone"])
def test_what_a_level_said_before_counts_while_it_fails(
    sources: Sources, host: ModelFileHost, clock: Clock, trouble: str
) -> None:
    assert rate(sources) == PROXY
    break_it(sources, host, trouble)
    for _ in range(3):
        clock.pass_(hours=2)
        assert rate(sources) == PROXY
        assert rate(sources, "only-proxy") == PROXY
    status = level(sources).status()
    assert (status.held, status.stale, status.failing) == (("acme",), ("acme",), True)
    assert status.oldest_at == datetime(2026, 6, 1, tzinfo=UTC)
    break_it(sources, host, "")
    host.files["pricing/acme.json"] = price_file(11, "m")
    clock.pass_(hours=1)
    assert rate(sources) == 11
    assert level(sources).status().stale == ()


def test_a_closed_port_falls_through(clock: Clock, tmp_path: Path, sources: Sources) -> None:
    with model_file_host() as other:
        url = other.url
    dead = opened_with(clock, tmp_path, url)
    assert rate(dead) == STORE
    assert "ConnectError" in dead.book().problems()[0].message
    dead.close()


def test_broken_files_of_every_level_leave_the_next_one(sources: Sources, host: ModelFileHost, tmp_path: Path) -> None:
    host.misbehave = "truncated"
    (tmp_path / "store" / "prices" / "acme.json").write_text('{"m": {"pricing_con')
    assert rate(sources) == LOCAL
    assert {problem.source for problem in sources.book().problems()} == {"proxy", "log-store"}


def test_a_local_file_that_is_half_written_does_not_count(sources: Sources, clock: Clock, tmp_path: Path) -> None:
    assert rate(sources, "only-local") == LOCAL
    file = tmp_path / "local" / "acme.json"
    file.write_text(file.read_text()[:40])
    clock.pass_(minutes=5)
    assert rate(sources, "only-local") == LOCAL
    assert level(sources, "local").status().stale == ("acme",)
    file.write_text(price_file(8, "only-local"))
    clock.pass_(minutes=5)
    assert rate(sources, "only-local") == 8


def test_an_answer_counts_for_an_hour(sources: Sources, host: ModelFileHost, clock: Clock) -> None:
    assert rate(sources) == PROXY
    host.files["pricing/acme.json"] = price_file(9, "m")
    clock.pass_(seconds=MEMORY.total_seconds() - 1)
    assert rate(sources) == PROXY
    assert host.total() == 1
    clock.pass_(seconds=61)
    assert rate(sources) == 9


def test_a_level_that_is_down_is_not_asked_for_every_provider(
    sources: Sources, host: ModelFileHost, clock: Clock
) -> None:
    host.misbehave = "error"
    for _ in range(3):
        for provider in ("acme", "openai", "anthropic", "google", "nobody"):
            sources.book().listing(provider, "m")
    assert host.total() == 1
    asked = []
    for _ in range(10):
        clock.pass_(minutes=10)
        rate(sources)
        asked.append(host.total())
    assert asked == list(range(2, 12))
    clock.pass_(seconds=61)
    rate(sources)
    assert host.total() == 11, "within five minutes of a failure nobody asks"


def test_garbage_for_one_provider_does_not_silence_the_others(sources: Sources, host: ModelFileHost) -> None:
    host.files["pricing/acme.json"] = "garbage"
    host.files["pricing/beta.json"] = price_file(4, "b")
    assert rate(sources) == STORE
    assert rate(sources, "b", "beta") == 4


def test_concurrent_misses_ask_once(sources: Sources, host: ModelFileHost) -> None:
    together = threading.Barrier(8)
    texts: list[bytes | None] = []

    def ask() -> None:
        together.wait()
        texts.append(level(sources).read("acme"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert host.asked == {"pricing/acme.json": 1}
    assert len(texts) == 8
    assert len(set(texts)) == 1


def test_nobody_waits_for_a_newer_file(sources: Sources, host: ModelFileHost, clock: Clock) -> None:
    asked = level(sources)
    before = asked.read("acme")
    host.misbehave = "slow"
    clock.pass_(hours=2)
    first = threading.Thread(target=asked.read, args=("acme",))
    first.start()
    while host.total() < 2:
        time.sleep(0.005)
    assert asked.read("acme") == before
    assert first.is_alive(), "the one who asks still waits"
    first.join()


@pytest.mark.parametrize("name", ["pricing/acme", "pricing/acme.json"])
def test_both_spellings_of_a_file_are_understood(sources: Sources, host: ModelFileHost, name: str) -> None:
    host.files = {name: price_file(6, "m"), name.replace("acme", "beta"): price_file(4, "b")}
    assert (rate(sources), rate(sources, "b", "beta")) == (6, 4)
    assert host.asked[name.replace("acme", "beta")] == 1
    assert sum(count for path, count in host.asked.items() if "beta" in path) == 1, "the spelling is remembered"


def test_a_proxy_may_know_a_provider_by_another_name(sources: Sources, host: ModelFileHost) -> None:
    host.files["pricing/open-ai.json"] = price_file(2, "gpt-4o")
    assert rate(sources, "gpt-4o", "openai") == rate(sources, "gpt-4o", "open-ai") == 2


def test_a_provider_name_cannot_walk_about(sources: Sources, host: ModelFileHost) -> None:
    for name in ("../secret", "a/b", "..", "%2e%2e", "x?y=1", "", "a" * 65, "ö"):
        assert level(sources).read(name) is None
        assert sources.book().listing(name, "m") is UnpricedReason.UNKNOWN_PROVIDER
    assert host.total() == 0


def test_made_up_provider_names_do_not_fill_the_memory(
    sources: Sources, host: ModelFileHost, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MAX_NAMES", 5)
    assert rate(sources) == PROXY
    book = sources.book()
    for number in range(20):
        book.listing(f"made-up-{number}", "m")
    assert len([path for path in host.asked if path.endswith(".json") and "made-up" in path]) == 4
    assert rate(sources) == PROXY
    clock.pass_(hours=2)
    host.files["pricing/beta.json"] = price_file(4, "b")
    assert rate(sources, "b", "beta") == 4


def test_credentials_of_a_proxy_are_not_told(clock: Clock, tmp_path: Path, sources: Sources) -> None:
    secret = opened_with(clock, tmp_path, "http://user:hunter2@127.0.0.1:1/base")
    rate(secret)
    told = f"{[str(problem) for problem in secret.book().problems()]} {secret.statuses()}"
    assert "hunter2" not in told
    assert "127.0.0.1:1/base/pricing" in told
    secret.close()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model_configs_proxy_fetch_enabled": True}, "MODEL_CONFIGS_PROXY_URL"),
        ({"model_configs_proxy_fetch_enabled": True, "model_configs_proxy_url": "ftp://x"}, "MODEL_CONFIGS_PROXY_URL"),
        ({"model_configs_pricing_log_store_path": "prices"}, "MODEL_CONFIGS_PRICING_LOG_STORE_PATH"),
        ({"model_configs_capabilities_log_store_path": "x"}, "MODEL_CONFIGS_CAPABILITIES_LOG_STORE_PATH"),
        ({"model_configs_pricing_local_path": Path("absent")}, "MODEL_CONFIGS_PRICING_LOCAL_PATH"),
        ({"model_configs_capabilities_local_path": Path("absent")}, "MODEL_CONFIGS_CAPABILITIES_LOCAL_PATH"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(fields: dict[str, object], named: str, clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match=named):
        open_sources(WarehouseSettings(log_store_url=None, **fields), clock, {})  # type: ignore[arg-type]


def test_a_url_without_fetching_asks_nobody(host: ModelFileHost, clock: Clock) -> None:
    settings = WarehouseSettings(model_configs_proxy_url=host.url)  # type: ignore[arg-type]
    with_url = open_sources(settings, clock, {})
    assert [one.name for one in with_url.levels()] == ["shipped"]


def test_a_log_store_of_its_own_by_url(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "acme.json").write_text(price_file(4, "m"))
    settings = WarehouseSettings(model_configs_pricing_log_store_path=tmp_path.as_uri(), log_store_url=None)
    opened = open_sources(settings, clock, {})
    assert rate(opened) == 4
    assert "acme" in opened.book().providers()


def test_within_raises_what_the_work_raises() -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        within(1, fail)
    with pytest.raises(origins.Unreachable, match=r"0\.05 s"):
        within(0.05, lambda: time.sleep(0.2))
