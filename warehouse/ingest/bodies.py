"""What a response body says, whole or streamed: its model, its usage, how it was served, what it made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from warehouse.ingest.asked import Asked, Makes, part
from warehouse.ingest.batch_results import results_of
from warehouse.ingest.counted import Heard, Units, images_in, units_in
from warehouse.ingest.fields import parse_json
from warehouse.ingest.records import BadRecord
from warehouse.ingest.usage import Report, Usage, sum_of, usage_of

_USAGE = ("usage", "usageMetadata", "usage_metadata", "amazon-bedrock-invocationMetrics")
_MODEL = ("model", "modelVersion", "model_version", "modelId")
_BARE = (
    "prompt_eval_count", "eval_count", "prompt_token_count", "generation_token_count", "inputTextTokenCount",
)  # fmt: skip
"""Counts that some providers put beside the answer instead of into a usage report."""
_BEDROCK_HEADERS = {
    "inputTokens": "x-amzn-bedrock-input-token-count",
    "outputTokens": "x-amzn-bedrock-output-token-count",
    "cacheReadInputTokens": "x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokens": "x-amzn-bedrock-cache-write-input-token-count",
}
_JOBS = {"batch", "message_batch", "fine_tuning.job", "video"}
_ASKED = Asked()


@dataclass
class Answer:
    """What was found in a body."""

    model: str | None = None
    usage: Usage | None = None
    images: int | None = None
    tier: str | None = None
    """The provider's word for how it served the request."""
    speed: str | None = None
    region: str | None = None
    quality: str | None = None
    size: str | None = None
    provider: str | None = None
    units: Units = field(default_factory=dict[str, Decimal])


def answer_of(body: object, asked: Asked = _ASKED) -> Answer:
    """What a body says. A body is an object, a list of stream chunks, or text: JSON or server-sent events.

    Raises: BadRecord for usage that cannot be counted.
    """
    parts = list(_parts(body))
    results = results_of(parts, asked)
    if results is not None:
        return _sum_of([_one([result], asked) for result in results])
    return _one(parts, asked)


def _one(parts: list[Report], asked: Asked) -> Answer:
    found = Answer()
    report: dict[str, object] = {}
    for one in parts:
        _look(one, found)
        for holder in _holders(one):
            report |= {name: value for name, value in _report(holder).items() if value is not None}
    _of_report(report, found)
    if not asked.is_new and any(_is_kept(one) for one in parts):
        found.usage = usage_of({"prompt_tokens": 0, "completion_tokens": 0})
        return found
    heard = Heard(parts, report, asked, found.model or "")
    if asked.makes is Makes.IMAGES and asked.is_new:
        found.images = images_in(heard)
    found.usage = usage_of(report or _header_report(asked), asked.makes) or _embedded(parts)
    found.units = units_in(heard)
    return found


def _is_kept(one: Report) -> bool:
    """True for something that was made, and billed, by an earlier request; background answers come by polling only."""
    kind = one.get("object")
    return kind in _JOBS or (kind == "response" and one.get("background") is not True)


def _sum_of(answers: list[Answer]) -> Answer:
    """The results of a batch as one answer: a batch has one model and one way of being served."""
    found = answers[0] if answers else Answer()
    found.tier = "batch"
    found.usage = sum_of(one.usage for one in answers if one.usage is not None)
    for one in answers[1:]:
        for unit, quantity in one.units.items():
            found.units[unit] = found.units.get(unit, Decimal(0)) + quantity
        found.images = (found.images or 0) + (one.images or 0) or None
    return found


def _parts(body: object) -> Iterator[Report]:
    if isinstance(body, str):
        yield from _text_parts(body)
    elif isinstance(body, dict):
        yield cast("Report", body)
    elif isinstance(body, list):
        for one in cast("list[object]", body):
            yield from _parts(one)


def _text_parts(text: str) -> Iterator[Report]:
    """The events of a text: JSON as a whole, a JSON object per line, or `data:` lines."""
    if text.lstrip()[:1] in ("{", "["):
        whole = _parsed(text)
        lines = [whole] if whole is not None else [_parsed(line) for line in text.splitlines()]
        for line in lines:
            yield from _parts(line)
        return
    for line in text.splitlines():
        name, _, data = line.partition(":")
        if name.strip() == "data" and data.strip()[:1] == "{":
            yield from _parts(_parsed(data.strip()))


def _parsed(text: str) -> object:
    try:
        return parse_json(text.encode("utf-8", "replace"))
    except BadRecord:
        return None


def _holders(one: Report) -> Iterator[Report]:
    """The objects of a part that may hold usage: itself, and what a stream event wraps."""
    yield one
    for name in ("message", "response", "metadata", "meta", "delta"):
        inner = one.get(name)
        if isinstance(inner, dict):
            yield cast("Report", inner)


def _report(holder: Report) -> Report:
    for name in _USAGE:
        value = holder.get(name)
        if isinstance(value, dict):
            return cast("Report", value)
    if isinstance(holder.get("billed_units"), dict):
        return holder
    return {name: holder[name] for name in _BARE if name in holder}


def _look(one: Report, found: Answer) -> None:
    for holder in _holders(one):
        for name in _MODEL:
            found.model = found.model or text(holder.get(name))
        found.tier = tier_word(holder.get("service_tier")) or tier_word(holder.get("serviceTier")) or found.tier
        found.provider = found.provider or text(holder.get("provider"))
        found.quality = text(holder.get("quality")) or found.quality
        found.size = text(holder.get("size")) or found.size


def _of_report(report: Report, found: Answer) -> None:
    """How it was served, where a provider says so among the counts."""
    found.tier = found.tier or tier_word(report.get("service_tier")) or text(report.get("trafficType"))
    found.speed = text(report.get("speed"))
    found.region = text(report.get("inference_geo"))


def _header_report(asked: Asked) -> Report:
    """Counts that Bedrock puts into the headers of an answer."""
    return {name: asked.answered[header] for name, header in _BEDROCK_HEADERS.items() if header in asked.answered}


def _embedded(parts: list[Report]) -> Usage | None:
    """Tokens of embeddings on Vertex AI, which are told per text."""
    counts = [
        statistics
        for one in parts
        for prediction in dicts(one.get("predictions"))
        if (statistics := part(part(prediction, "embeddings"), "statistics"))
    ]
    return sum_of(usage_of({"prompt_tokens": one.get("token_count")}) for one in counts if "token_count" in one)


def tier_word(value: object) -> str | None:
    """The word for a tier: plain, or as Bedrock says it, `{"type": "priority"}`."""
    return text(cast("Mapping[str, object]", value).get("type")) if isinstance(value, dict) else text(value)


def dicts(value: object) -> Iterator[Report]:
    """The objects of a list; none where it is no list."""
    for item in cast("list[object]", value) if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield cast("Report", item)


def text(value: object) -> str | None:
    """Text that says something; None for anything else."""
    return value if isinstance(value, str) and value.strip() else None
