"""Finding a price: names, levels, time, ids."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.factories.prices import MemoryLevel, book, default, entry
from warehouse.errors import ConfigurationError
from warehouse.pricing.book import Listing, PriceBook, UnpricedReason
from warehouse.pricing.names import band_of, model_keys, provider_slug
from warehouse.pricing.sources import FolderLevel, open_book

CHEAP, DEAR = entry(request_token=1, response_token=1), entry(request_token=9, response_token=9)


def _rate(found):
    assert isinstance(found, Listing), found
    return found.row(None).pricing.config.pay_as_you_go.tokens["request_token"]


@pytest.mark.parametrize(
    ("written", "slug"),
    [
        ("openai", "openai"),
        ("Open-AI", "openai"),
        ("@azure_openai", "azure-openai"),
        ("azure", "azure-openai"),
        ("Amazon Bedrock", "bedrock"),
        ("vertexai", "vertex-ai"),
        ("gemini", "google"),
        ("xai", "x-ai"),
        (None, ""),
    ],
)
def test_a_provider_has_many_names(written, slug):
    assert provider_slug(written) == slug


@pytest.mark.parametrize(
    ("provider", "model", "key"),
    [
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("openai", "@my-team/gpt-4o", "gpt-4o"),
        ("google", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex-ai", "publishers/anthropic/models/claude-3-haiku@20240307", "claude-3-haiku@20240307"),
        ("vertex-ai", "anthropic.claude-3-haiku@20240307", "claude-3-haiku@20240307"),
        ("bedrock", "us.anthropic.claude-v2:1", "anthropic.claude-v2:1"),
        ("bedrock", "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", "ft:gpt-4o-mini-2024-07-18"),
        ("openrouter", "anthropic/claude-opus-4.6", "anthropic/claude-opus-4.6"),
    ],
)
def test_a_model_is_found_under_what_its_name_wraps(provider, model, key):
    keys = list(model_keys(provider, model))
    assert keys[0] == model
    assert key in keys
    assert _rate(book({key: CHEAP}, provider=provider).listing(provider, model)) == 1


@pytest.mark.parametrize(
    "model", ["gpt-4o-2024-08-06", "gpt-4", "gpt-4o-x", "anthropic/gpt-4o", "ft:gpt-4o:acme", "default", ""]
)
def test_nothing_is_guessed(model):
    assert book({"gpt-4o": CHEAP}, provider="openai").listing("openai", model) is UnpricedReason.UNKNOWN_MODEL


def test_case_counts_only_where_two_keys_differ_by_it():
    prices = book({"Meta/Llama-3": CHEAP, "meta/llama-3": DEAR, "qwen/qwen3": CHEAP})
    assert _rate(prices.listing("acme", "Meta/Llama-3")) == 1
    assert _rate(prices.listing("acme", "meta/llama-3")) == 9
    assert _rate(prices.listing("acme", "Qwen/Qwen3")) == 1


def test_bands_of_suffixed_names():
    assert band_of("m-gt-32k-lte-128k") == ("m", 32_000, 128_000)
    assert band_of("m-lte-128k") == ("m", 0, 128_000)
    assert band_of("m-128k") is None
    found = book({"m-lte-128k": CHEAP}).listing("acme", "m")
    assert isinstance(found, Listing)
    assert found.row(None, 128_001) is None


def test_the_first_level_wins_model_by_model():
    local = MemoryLevel({"acme": {"default": default(), "m": DEAR, "broken": entry(nonsense=1)}}, "local")
    shipped = MemoryLevel({"acme": {"default": default(), "m": CHEAP, "n": CHEAP, "broken": CHEAP}}, "shipped")
    prices = PriceBook([local, shipped])
    assert [_rate(prices.listing("acme", model)) for model in ("m", "n", "broken")] == [9, 1, 1]
    assert prices.listing("acme", "m").row(None).source == "local"
    assert [str(problem) for problem in prices.problems()] == [
        next(str(p) for p in prices.problems() if p.model == "broken" and p.source == "local")
    ]
    assert local.reads == shipped.reads == ["acme"]


@pytest.mark.parametrize("bad", [b"{", b"[]", b"\xff", OSError("disk on fire")])
def test_a_bad_level_falls_through_and_is_reported(bad):
    prices = PriceBook([MemoryLevel({"acme": bad}, "local"), MemoryLevel({"acme": {"m": CHEAP}}, "shipped")])
    assert _rate(prices.listing("acme", "m")) == 1
    (problem,) = prices.problems()
    assert (problem.provider, problem.source) == ("acme", "local")


def test_a_price_id_names_the_price_not_its_spelling():
    one = book({"m": entry(request_token=0.0001, response_token=1) | {"source": "a", "as_of": "2026-01-01"}})
    two = book({"m": entry(response_token=1.0, request_token=1e-4) | {"source": "b", "as_of": "2026-02-02"}})
    other = book({"m": entry(request_token=0.0002, response_token=1)})
    ids = [prices.listing("acme", "m").row(None).price_id for prices in (one, two, other)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("acme/m@start#")


def test_rows_are_dated():
    dated = DEAR | {"effective_from": "2026-08-17", "periods": [CHEAP], "source": "page", "as_of": "2026-11-23"}
    old, new = book({"m": dated}).rows("acme")
    change = datetime(2026, 8, 17, tzinfo=UTC)
    assert (old.effective_from, old.effective_to, new.effective_from, new.effective_to) == (None, change, change, None)
    assert new.price_id.startswith("acme/m@2026-08-17#")
    assert (str(new.as_of), new.source) == ("2026-11-23", "memory: page")


def test_local_files_come_before_shipped_ones(tmp_path):
    (tmp_path / "open-ai.json").write_text(json.dumps({"gpt-4o": entry(request_token=7, response_token=7)}))
    prices = open_book(tmp_path)
    assert _rate(prices.listing("openai", "gpt-4o")) == 7
    assert _rate(prices.listing("openai", "gpt-4o-mini")) == Decimal("0.000015")
    assert {"openai", "anthropic", "google"} <= set(prices.providers())
    with pytest.raises(ConfigurationError, match="MODEL_CONFIGS_PRICING_LOCAL_PATH"):
        open_book(tmp_path / "absent")


def test_a_provider_name_cannot_leave_the_folder(tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "prices").mkdir()
    level = FolderLevel("local", tmp_path / "prices")
    assert [level.read(name) for name in ("../secret", "..", "/etc/passwd", ".hidden", "a/b", "")] == [None] * 6
