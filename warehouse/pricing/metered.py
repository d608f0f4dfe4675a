"""What one of each additional unit costs: units are priced under one name and counted under another.

A file may price audio by the hour, a log counts seconds; a file prices a video second by its size, a request names the
size beside the seconds. Every name a request may count by has its rate here. Source: dataplane contract 5.3, 5.5.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal

from warehouse.pricing.config import RATE_DIGITS, PricingConfig, Rates
from warehouse.pricing.facets import Facets
from warehouse.pricing.formula import EXACT
from warehouse.pricing.units import UNIT_PREFIX, VIDEO_TOKENS

_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}
_DURATION = re.compile(r"(?P<of>[a-z0-9_]*?)_?(?P<unit>seconds|minutes|hours)")
_ENDINGS = tuple(_SECONDS)
_AUDIO = ("audio", "input_audio", "output_audio")
_SIZED_VIDEO = "video_duration_seconds_"
_RESOLUTIONS = {"720p": "1280_720", "1080p": "1920_1080", "4k": "3840_2160", "2160p": "3840_2160"}
_USUAL_SIZES = ("1280_720", "720_1280")
"""What a video model makes when a request names no size."""
_SAME: Mapping[str, tuple[str, ...]] = {
    "web_search_low_context": ("web_search",),
    "web_search_medium_context": ("web_search",),
    "web_search_high_context": ("web_search",),
    "enterprise_web_search": ("web_search",),
    # A search model that is priced by context searches with the least of it unless told otherwise.
    "web_search": ("web_search_low_context", "search"),
    "rerank_searches": ("search",),
    "input_images": ("input_image",),
}
"""Unit → units whose price it takes when it has none of its own, the first one that is priced."""
_TRAINING = {"pay_per_token": "training_tokens", "pay_per_hour": "training_hours"}
_PER_MINUTE = Decimal("0.1")
"""An audio rate from here on cannot be for a token (it would be 1,000 USD per million): it is for a minute."""
_UNIT_OF_AUDIO = f"{UNIT_PREFIX}request_audio_token"
_STEP = Decimal(1).scaleb(-RATE_DIGITS)


def unit_rates(config: PricingConfig, facets: Facets) -> dict[str, Decimal]:
    """Unit as a request counts it → cents each; units that cost nothing are left out."""
    rates = config.pay_as_you_go
    found = dict(rates.units)
    for price_name, unit in _TRAINING.items():
        if price_name in config.finetune:
            found.setdefault(unit, config.finetune[price_name])
    video = _video_second(rates, facets) if rates.units else None
    if video is not None:
        found.setdefault("video_seconds", video)
        _add_defaults(found, rates, video)
    _add_speech(found, rates)
    if not found:
        return found
    _add_durations(found)
    for unit, others in _SAME.items():
        for other in others:
            if found.get(other):
                found.setdefault(unit, found[other])
                break
    if rates.units:
        found.update(_video_tokens(rates))
    return {unit: price for unit, price in found.items() if price}


def _video_second(rates: Rates, facets: Facets) -> Decimal | None:
    """Cents per second of video of the request's size; of the usual size where it names none that is listed."""
    if not any(name.startswith("video_") for name in rates.units):
        return None
    size = (facets.image_size or "").lower()
    named = _RESOLUTIONS.get(size, size.replace("x", "_").replace("*", "_").replace(":", "_"))
    across = "_".join(reversed(named.split("_")))
    names = [f"{_SIZED_VIDEO}{one}" for one in (named, across)]
    names += ["video_seconds", *(f"{_SIZED_VIDEO}{one}" for one in _USUAL_SIZES)]
    return next((rates.units[name] for name in names if name in rates.units), None)


def _add_defaults(found: dict[str, Decimal], rates: Rates, second: Decimal) -> None:
    """Videos of which a request says no length, or not how many: what the file says to assume then."""
    seconds = rates.defaults.get("default_duration_seconds")
    if seconds is not None:
        one = EXACT.multiply(second, seconds)
        found.setdefault("generated_videos", one)
        found.setdefault("video_requests", EXACT.multiply(one, rates.defaults.get("default_sample_count", Decimal(1))))


def _add_speech(found: dict[str, Decimal], rates: Rates) -> None:
    """Speech models of older files: characters at the token rate, minutes of audio at the audio token rate."""
    tokens = rates.tokens
    text, audio = tokens.get("request_token"), tokens.get("request_audio_token")
    if audio is None:
        audio = tokens.get(_UNIT_OF_AUDIO)
    makes_text = tokens.get("response_token") or tokens.get("response_text_token")
    if text and not audio and not makes_text and not any("audio" in name and tokens[name] for name in tokens):
        found.setdefault("input_characters", text)
    if audio is not None and audio >= _PER_MINUTE and not any(_is_audio_time(unit) for unit in found):
        found["audio_minutes"] = audio


def _is_audio_time(unit: str) -> bool:
    match = _DURATION.fullmatch(unit)
    return match is not None and match["of"] in _AUDIO


def _add_durations(found: dict[str, Decimal]) -> None:
    """A price per hour is one per minute and second too; audio in, out or unsaid has one price where only one is."""
    for unit, price in list(found.items()):
        match = _DURATION.fullmatch(unit) if unit.endswith(_ENDINGS) else None
        if match is None:
            continue
        for of in _kin(match["of"]):
            for other, seconds in _SECONDS.items():
                name = f"{of}_{other}" if of else other
                exact = EXACT.divide(EXACT.multiply(price, Decimal(seconds)), Decimal(_SECONDS[match["unit"]]))
                found.setdefault(name, exact.quantize(_STEP, ROUND_HALF_EVEN, EXACT))


def _kin(of: str) -> Iterator[str]:
    yield of
    if of in _AUDIO:
        yield from (other for other in _AUDIO if other != of)


def _video_tokens(rates: Rates) -> dict[str, Decimal]:
    """What a token of video costs on top of one of text, as which its bucket counts it."""
    found: dict[str, Decimal] = {}
    for unit, (price_name, plain_names) in VIDEO_TOKENS.items():
        price = rates.units.get(price_name)
        if price is None:
            continue
        plain = next((rates.tokens[name] for name in plain_names if name in rates.tokens), Decimal(0))
        if price > plain:
            found[unit] = EXACT.subtract(price, plain)
    return found
