"""Prices beside those of `genai-prices`: the same usages cost the same, or the table here says why not."""

import re
from decimal import Decimal

from tests.factories.peer import peer_price, shared_models, shared_usages
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.pricing.sources import shipped_level
from warehouse.settings import CostPolicy

ROWS = 10_000
NEAR_CENTS = Decimal("0.0000001")
"""1e-9 USD."""
OTHER_SOURCE = "the peer has it under a pattern of another region or size only; the file names a page of its own"
LISTED_ELSEWHERE = (
    "the file has it from the peer's list of its maker; the reseller's list has a pattern that fits as well"
)
EXPLAINED = {
    ("azure-ai", r"deepseek-.*|DeepSeek-.*|gpt-5\.4-pro.*|gpt-oss-120b"): OTHER_SOURCE,
    ("azure-openai", r"o4-mini-deep-research.*"): LISTED_ELSEWHERE,
    ("bedrock", r"(?:apac|eu|jp|us-gov)\..*|claude-sonnet-4-5-.*"): OTHER_SOURCE,
    ("vertex-ai", r"claude-3-7-sonnet-latest|claude-3-5-haiku-latest|claude-opus-4-0"): LISTED_ELSEWHERE,
}
"""(provider, models) → why their cost differs."""
SOLD_OTHERWISE = "missing_quantity"
"""Models that are sold by seconds, characters or pages: tokens alone do not tell what they cost; the peer says 0."""


def _why(provider: str, model: str) -> tuple[str, str] | None:
    return next((key for key in EXPLAINED if key[0] == provider and re.fullmatch(key[1], model)), None)


def test_ten_thousand_usages_cost_what_the_peer_says() -> None:
    book = PriceBook([shipped_level()])
    models = list(shared_models(book))
    assert len(models) > 3_000
    theirs = {(slug, model): peer for slug, peer, model in models}
    frame = shared_usages(models, ROWS)
    sources = {(row.provider, row.model): row.source for row in book.rows()}
    used: set[tuple[str, str]] = set()
    equal, differing = 0, []
    for given, found in zip(frame.to_dicts(), price(frame, book, CostPolicy.COMPUTED).to_dicts(), strict=True):
        slug, model = given["ai_org"], given["ai_model"]
        expected = peer_price(theirs[slug, model], model, given, given["created_at"])
        if found["computed_cost"] is None:
            assert found["unpriced_reason"] == SOLD_OTHERWISE
            assert expected == 0
        elif abs(found["computed_cost"] - expected) <= NEAR_CENTS:
            equal += 1
        elif (why := _why(slug, model)) is not None:
            used.add(why)
            assert EXPLAINED[why] == LISTED_ELSEWHERE or "genai-prices" not in sources[slug, model]
        else:
            differing.append((slug, model, sources[slug, model], found["computed_cost"], expected))
    assert not differing, differing[:5]
    assert used == EXPLAINED.keys(), "an explanation that nothing needs any more"
    assert equal > ROWS * 0.95
