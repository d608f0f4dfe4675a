"""The same usages priced by `genai-prices`, the peer that pricing is held beside."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import genai_prices
import polars as pl

from pricing_configs.build import SLUGS
from tests.factories.prices import usage
from warehouse.pricing.book import Listing, PriceBook

NOON = datetime(2026, 11, 1, 12)  # noqa: DTZ001 - rows are UTC without a zone
_BUCKETS = (
    "uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens",
    "cache_read_audio_tokens", "output_tokens", "audio_output_tokens",
)  # fmt: skip


def shared_models(book: PriceBook) -> Iterator[tuple[str, str, str]]:
    """(our provider, theirs, model) of every model that both know by that name."""
    for slug in book.providers():
        for model in sorted({row.model for row in book.rows(slug)}):
            for theirs in SLUGS.get(slug, ()):
                if isinstance(book.listing(slug, model), Listing) and peer_price(theirs, model, {}, NOON) is not None:
                    yield slug, theirs, model
                    break


def shared_usages(models: list[tuple[str, str, str]], count: int, seed: int = 0) -> pl.DataFrame:
    """`count` usages over all of these models: each at least once, over three years, with every kind of token."""
    random = Random(seed)
    rows = []
    for number in range(count):
        slug, _, model = models[number % len(models)]
        scale = random.choice((100, 10_000, 400_000))
        kinds = _BUCKETS if random.random() < 0.3 else ("uncached_input_tokens", "cache_read_tokens", "output_tokens")
        counts = {name: random.randrange(scale) for name in kinds}
        at = NOON - timedelta(minutes=random.randrange(3 * 365 * 1_440))
        rows.append({"ai_org": slug, "ai_model": model, "created_at": at} | counts)
    return usage(*rows)


def peer_price(provider: str, model: str, row: dict, at: datetime) -> Decimal | None:
    """Cents by `genai-prices`; None where it does not know the model."""
    counts = {name: row.get(name) or 0 for name in _BUCKETS}
    read, audio_read = counts["cache_read_tokens"], counts["cache_read_audio_tokens"]
    write, write_1h = counts["cache_write_tokens"], counts["cache_write_1h_tokens"]
    audio = counts["audio_input_tokens"] + audio_read
    told = {
        "input_tokens": counts["uncached_input_tokens"] + read + write + write_1h + audio,
        "cache_read_tokens": read + audio_read,
        "cache_write_tokens": write + write_1h,
        "cache_write_1h_tokens": write_1h,
        "input_audio_tokens": audio,
        "cache_audio_read_tokens": audio_read,
        "output_tokens": counts["output_tokens"] + counts["audio_output_tokens"],
        "output_audio_tokens": counts["audio_output_tokens"],
    }
    use = genai_prices.Usage(**{name: value for name, value in told.items() if value})
    moment = at.replace(tzinfo=UTC)
    try:
        found = genai_prices.calc_price(use, model, provider_id=provider, genai_request_timestamp=moment)
    except LookupError:
        return None
    return found.total_price * 100
