"""The shipped price files: whole, sourced, dated, resolvable, and equal to published examples."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import pricing_configs
from pricing_configs import build
from tests.factories.prices import BUCKET_NAMES, priced
from warehouse.pricing.book import Listing
from warehouse.pricing.config import parse_provider
from warehouse.pricing.sources import open_book

ROOT = Path(pricing_configs.__file__).parent
GOLDEN = Path(__file__).parents[1] / "golden" / "pricing"
FILES = sorted((ROOT / "pricing").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_loads_and_every_entry_has_a_source_and_a_date(path):
    parsed = parse_provider(path.stem, path.read_bytes())
    assert not parsed.problems
    assert parsed.default.calculate is not None
    assert parsed.models
    for model, entry in json.loads(path.read_bytes()).items():
        assert entry.get("source", "").strip(), f"{path.stem}: {model} has no source"
        assert date.fromisoformat(entry["as_of"]), model
        assert "://" not in entry["source"]


def test_every_shipped_model_resolves():
    book = open_book(None)
    names = [(row.provider, row.model) for row in book.rows()]
    assert len(book.providers()) >= 60
    assert len(set(names)) >= 4_500
    assert not [name for name in set(names) if not isinstance(book.listing(*name), Listing)]
    assert not book.problems()


def test_every_provider_has_a_capabilities_file():
    assert [path.name for path in sorted((ROOT / "general").glob("*.json"))] == [path.name for path in FILES]
    for path in (ROOT / "general").glob("*.json"):
        models = {name: m for name, m in json.loads(path.read_bytes()).items() if isinstance(m, dict)}
        assert models
        assert all(m["type"]["primary"] and m["source"] and m["as_of"] for m in models.values()), path.stem


@pytest.mark.parametrize("slug", ["anthropic", "deepseek", "cohere", "google", "bedrock", "dashscope", "fal-ai"])
def test_the_files_are_what_the_build_makes(slug):
    assert build.text_of(build.pricing_file(slug)) == (ROOT / "pricing" / f"{slug}.json").read_text()
    assert build.text_of(build.general_file(slug)) == (ROOT / "general" / f"{slug}.json").read_text()


def _examples():
    for path in sorted(GOLDEN.glob("*.json")):
        for example in json.loads(path.read_text(), parse_float=Decimal):
            yield pytest.param(example, id=f"{path.stem}: {example['example']}")


@pytest.mark.parametrize("example", list(_examples()))
def test_published_examples_to_the_cent(example):
    usage = {name: count for name, count in example["usage"].items() if name in BUCKET_NAMES}
    facets = {name: value for name, value in example["usage"].items() if name not in BUCKET_NAMES}
    at = datetime.fromisoformat(example["at"])
    row = {"ai_org": example["provider"], "ai_model": example["model"], "created_at": at} | usage | facets
    (answer,) = priced(open_book(None), row)
    assert answer["computed_cost"] == example["cents"], example["page"]
