"""Random usages of every model of a provider, and what each costs by the Decimal reference."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random

import polars as pl

from tests.factories.prices import BUCKET_NAMES, usage
from warehouse.pricing.book import Listing
from warehouse.pricing.reference import cost_of
from warehouse.pricing.tariff import Facets, choose
from warehouse.pricing.units import COST_COLUMNS, INPUT_COLUMNS, OUTPUT_COLUMNS

START = datetime(2024, 1, 1)  # noqa: DTZ001 - rows are UTC without a zone
DAYS = 1_100
MODES = (None, None, "standard", "batch", "priority", "flex", "fast", "provisioned")
REGIONS = (None, None, "us", "eu", "us-east5", "eu-west-1", "ap-south-1", "global", "nowhere")
QUALITIES = (None, "standard", "hd", "low", "medium", "high", "auto")
SIZES = (None, "1024x1024", "1024x1792", "1536x1024", "512x512", "1280x720", "1080p", "7x7")
FACETS = {"execution_mode": MODES, "region": REGIONS, "image_quality": QUALITIES, "image_size": SIZES}
PROFILES = 24
UNITS = (
    "web_search", "web_search_high_context", "file_search", "code_execution", "x_search", "maps", "search",
    "enterprise_web_search", "audio_seconds", "audio_minutes", "input_audio_hours", "video_seconds",
    "generated_videos", "video_requests", "video_input_tokens", "video_output_tokens", "input_characters",
    "document_pages", "rerank_searches", "training_tokens", "training_hours", "routing_units", "input_images",
    "citation_token", "something_unheard_of",
)  # fmt: skip
SCALES = (10, 1_000, 300_000, 2_000_000)


def random_usages(book, provider: str, count: int, seed: int = 0) -> pl.DataFrame:
    """`count` rows over all models of a provider: counts of all magnitudes, fractions of units, every facet."""
    random = Random(f"{provider}-{seed}")
    models = sorted({row.model for row in book.rows(provider)})
    profiles = [{name: random.choice(values) for name, values in FACETS.items()} for _ in range(PROFILES)]
    rows = [_row(random, models[number % len(models)]) | random.choice(profiles) for number in range(count)]
    return usage(*rows, ai_org=provider)


def _row(random: Random, model: str) -> dict[str, object]:
    scale = random.choice(SCALES)
    row: dict[str, object] = {
        name: random.choice((None, 0, random.randrange(scale), random.randrange(scale))) for name in BUCKET_NAMES[:-1]
    }
    units = random.sample(UNITS, random.choice((0, 0, 1, 3)))
    return row | {
        "ai_model": model,
        "created_at": START + timedelta(minutes=random.randrange(DAYS * 1_440)),
        "generated_images": random.choice((None, None, 0, 1, 4)),
        "extra_units": {name: _quantity(random) for name in units},
    }


def _quantity(random: Random) -> Decimal:
    return Decimal(random.randrange(1, 10 ** random.choice((1, 4, 9)))).scaleb(-random.choice((0, 0, 3, 6)))


def reference_costs(book, frame: pl.DataFrame) -> Iterator[dict[str, Decimal] | None]:
    """The cost of each row by cost column; None where the book has no price for it."""

    @cache
    def listed(provider, model):
        listing = book.listing(provider, model)
        if not isinstance(listing, Listing):
            return None, (), ()
        starts = sorted(start for band in listing.bands for row in band.rows if (start := row.effective_from))
        return listing, sorted(listing.thresholds), starts

    @cache
    def configured(provider, model, at, facets):
        listing, _, _ = listed(provider, model)
        row = None if listing is None else listing.row(at, facets.prompt_tokens)
        return None if row is None else choose(row.default, row.pricing, facets)[0]

    for row in frame.iter_rows(named=True):
        prompt = sum(row[name] or 0 for name in INPUT_COLUMNS)
        created_at = row["created_at"].replace(tzinfo=UTC)
        listing, thresholds, starts = listed(row["ai_org"], row["ai_model"])
        clock = created_at.hour * 60 + created_at.minute
        facets = Facets(
            # All prompts between two thresholds, and all moments between two changes, have the same price.
            prompt_tokens=next((edge + 1 for edge in reversed(thresholds) if prompt > edge), min(prompt, 1)),
            has_images=bool(row["generated_images"]),
            has_output_tokens=any(row[name] for name in OUTPUT_COLUMNS),
            minute_of_day=clock if listing is not None and listing.clock else 0,
            **{name: row[name] for name in ("region", "execution_mode", "image_quality", "image_size")},
        )
        since = next((start for start in reversed(starts) if start <= created_at), datetime(2000, 1, 1, tzinfo=UTC))
        config = configured(row["ai_org"], row["ai_model"], since, facets)
        units = {name: Decimal(q) for name, q in zip(row["units.name"], row["units.quantity"], strict=True)}
        counts = {name: row[name] or 0 for name in BUCKET_NAMES}
        yield None if config is None else cost_of(config, counts, facets, units)


def differences(frame: pl.DataFrame, priced: pl.DataFrame, book) -> tuple[int, list[tuple]]:
    """How many rows both priced, and those whose cost is not the reference's to the last digit."""
    compared, wrong = 0, []
    for given, found, expected in zip(
        frame.iter_rows(named=True), priced.iter_rows(named=True), reference_costs(book, frame), strict=True
    ):
        if found["computed_cost"] is None:
            too_large = expected is not None and sum(expected.values()) >= 10**6
            if found["unpriced_reason"] == "cost_too_large" and not too_large:
                wrong.append((given, found["unpriced_reason"], expected))
            continue
        compared += 1
        parts = {name: found[name] for name in COST_COLUMNS}
        if expected != parts or found["computed_cost"] != sum(parts.values()):
            wrong.append((given, parts, expected))
    return compared, wrong
