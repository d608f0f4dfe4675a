"""What a response body says, whole or streamed: its model, its usage, how it was served, what it made."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from warehouse.ingest.fields import parse_json
from warehouse.ingest.records import BadRecord
from warehouse.ingest.usage import Report, Usage, count, usage_of

_USAGE = ("usage", "usageMetadata", "usage_metadata")
_MODEL = ("model", "modelVersion", "model_version", "modelId")
_OUTPUT_UNITS = {"web_search_call": "web_search", "file_search_call": "file_search"}
_STANDARD = {"default", "auto", "standard", "on_demand", "scale"}


@dataclass
class Answer:
    """What was found in a body."""

    model: str | None = None
    usage: Usage | None = None
    images: int | None = None
    tier: str | None = None
    provider: str | None = None
    units: Counter[str] = field(default_factory=Counter[str])


def answer_of(body: object, *, is_image: bool) -> Answer:
    """What a body says. A body is an object, a list of stream chunks, or text: JSON or server-sent events.

    Raises: BadRecord for usage that cannot be counted.
    """
    parts = list(_parts(body))
    found = Answer()
    report: dict[str, object] = {}
    for part in parts:
        _look(part, found)
        for holder in _holders(part):
            report |= {name: value for name, value in _report(holder).items() if value is not None}
    if report:
        found.usage = usage_of(report, is_image_output=is_image)
        searches = report.get("server_tool_use")
        if isinstance(searches, dict):
            found.units["web_search"] += count(cast("Report", searches), "web_search_requests")
        found.tier = found.tier or _text(report.get("service_tier"))
    if found.tier in _STANDARD:
        found.tier = None
    if is_image and found.images is None:
        found.images = _images(parts)
    return found


def _parts(body: object) -> Iterator[Mapping[str, object]]:
    if isinstance(body, str):
        yield from _text_parts(body)
    elif isinstance(body, dict):
        yield cast("Mapping[str, object]", body)
    elif isinstance(body, list):
        for part in cast("list[object]", body):
            yield from _parts(part)


def _text_parts(text: str) -> Iterator[Mapping[str, object]]:
    """The events of a text: JSON as a whole, or `data:` lines."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            yield from _parts(parse_json(text.encode("utf-8", "replace")))
        except BadRecord:
            return
        return
    for line in text.splitlines():
        name, _, data = line.partition(":")
        if name.strip() == "data" and data.strip()[:1] == "{":
            try:
                yield from _parts(parse_json(data.strip().encode("utf-8", "replace")))
            except BadRecord:
                continue


def _holders(part: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The objects of a part that may hold usage: itself, and what a stream event wraps."""
    yield part
    for name in ("message", "response", "metadata", "meta", "delta"):
        inner = part.get(name)
        if isinstance(inner, dict):
            yield cast("Mapping[str, object]", inner)


def _report(holder: Mapping[str, object]) -> Mapping[str, object]:
    for name in _USAGE:
        value = holder.get(name)
        if isinstance(value, dict):
            return cast("Mapping[str, object]", value)
    if isinstance(holder.get("billed_units"), dict):
        return holder
    known = ("prompt_eval_count", "eval_count", "prompt_token_count", "generation_token_count", "inputTextTokenCount")
    return {name: holder[name] for name in known if name in holder}


def _look(part: Mapping[str, object], found: Answer) -> None:
    for holder in _holders(part):
        for name in _MODEL:
            found.model = found.model or _text(holder.get(name))
        found.tier = _text(holder.get("service_tier")) or found.tier
        found.provider = found.provider or _text(holder.get("provider"))
        for item in _dicts(holder.get("output")):
            unit = _OUTPUT_UNITS.get(str(item.get("type")))
            if unit:
                found.units[unit] += 1
    for candidate in _dicts(part.get("candidates")):
        grounding = candidate.get("groundingMetadata")
        if isinstance(grounding, dict) and cast("Mapping[str, object]", grounding).get("webSearchQueries"):
            found.units["web_search"] = 1


def _images(parts: Sequence[Mapping[str, object]]) -> int:
    return sum(len(list(_dicts(part.get("data")))) for part in parts)


def _dicts(value: object) -> Iterator[Mapping[str, object]]:
    for item in cast("list[object]", value) if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield cast("Mapping[str, object]", item)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
