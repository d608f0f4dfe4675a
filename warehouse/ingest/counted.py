"""What an answer used beside tokens: searches, seconds, characters, pages. Names as prices have them.

Source: dataplane contract 5.3 (additional units).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import cast

from warehouse.ingest.asked import Asked, Body, Makes, part
from warehouse.ingest.usage import count

Units = dict[str, Decimal]


@dataclass(frozen=True)
class Heard:
    """An answer in parts, its usage report, and what it answers."""

    parts: Sequence[Body]
    report: Body
    asked: Asked
    model: str = ""

    @property
    def is_error(self) -> bool:
        return not self.parts or any(one.get("error") for one in self.parts)


_OUTPUT_ITEMS = {"file_search_call": "file_search", "x_search_call": "x_search"}
_SERVER_TOOLS = {
    "web_search_requests": "web_search",
    "web_search_calls": "web_search",
    "x_search_calls": "x_search",
    "code_execution_requests": "code_execution",
    "code_interpreter_calls": "code_execution",
    "file_search_calls": "file_search",
    "attachment_search_calls": "attachment_search",
    "document_search_calls": "attachment_search",
}
_TOOL_REPORTS = ("server_tool_use", "server_side_tool_usage_details")
_IMAGES = ("data", "predictions", "images", "artifacts", "generatedImages")
_PER_QUERY = re.compile(r"gemini-(?:[3-9]|\d\d)")
"""From Gemini 3 on, Google bills every search query; before, a grounded prompt however many it took."""
_SEARCH_MODEL = re.compile(r"-search-(?:preview|api)")
_ROUTER = re.compile(r"model-router", re.IGNORECASE)
_ONE = Decimal(1)


def units_in(heard: Heard) -> Units:
    """Unit → how much of it was used; nothing that was not. Raises: BadRecord for a count that is none."""
    found: Units = {}
    asked = heard.asked
    for add in (_add_tools, _add_grounding, _add_searches, _add_reported):
        add(found, heard)
    if asked.is_new and asked.makes in _ADD:
        _ADD[asked.makes](found, heard)
    if _ROUTER.search(asked.url) or _ROUTER.search(str(asked.body.get("model", ""))):
        _put(found, "routing_units", count(heard.report, "prompt_tokens", "input_tokens"))
    return {unit: quantity for unit, quantity in found.items() if quantity}


def images_in(heard: Heard) -> int | None:
    """Images in an answer; where its body holds none, as many as were asked for."""
    lists = [one.get(name) for one in heard.parts for name in _IMAGES]
    made = sum(len(cast("list[object]", images)) for images in lists if isinstance(images, list))
    done = sum(str(one.get("type", "")).endswith(".completed") for one in heard.parts)
    if made or done or heard.is_error:
        return made or done or None
    return int(_number(heard.asked.says("n", "numberOfImages", "sampleCount", "num_images")) or 1)


def _add_tools(found: Units, heard: Heard) -> None:
    for name in _TOOL_REPORTS:
        tools = part(heard.report, name)
        for theirs, ours in _SERVER_TOOLS.items() if tools else ():
            _put(found, ours, count(tools, theirs))
    # A provider that reports its tools lists their calls too: one of both counts.
    for unit, quantity in _calls(heard.parts).items():
        found.setdefault(unit, quantity)


def _calls(parts: Sequence[Body]) -> Units:
    """Calls of tools among the items of an answer."""
    found: Units = {}
    containers: set[str] = set()
    for item in _output_items(parts):
        kind = str(item.get("type"))
        if kind in _OUTPUT_ITEMS:
            _put(found, _OUTPUT_ITEMS[kind], 1)
        elif kind == "web_search_call":
            # Opening a page that was found is part of the search.
            _put(found, "web_search", int(part(item, "action").get("type", "search") == "search"))
        elif kind == "code_interpreter_call":
            containers.add(str(item.get("container_id")))
    _put(found, "code_execution", len(containers))
    return found


def _output_items(parts: Sequence[Body]) -> Iterator[Body]:
    """The items of an answer of the responses API; streamed ones stand in the last event."""
    for one in parts:
        for holder in (one, part(one, "response")):
            yield from _dicts(holder.get("output"))


def _add_grounding(found: Units, heard: Heard) -> None:
    queries: set[str] = set()
    has_maps = False
    for one in heard.parts:
        for candidate in (*_dicts(one.get("candidates")), *_dicts(one.get("choices"))):
            grounding = part(candidate, "groundingMetadata")
            told = grounding.get("webSearchQueries")
            if isinstance(told, list):
                queries |= {str(query) for query in cast("list[object]", told) if query}
            has_maps = has_maps or any("maps" in chunk for chunk in _dicts(grounding.get("groundingChunks")))
    if queries:
        _put(found, "web_search", len(queries) if _PER_QUERY.search(heard.model) else 1)
    _put(found, "maps", int(has_maps))


def _add_searches(found: Units, heard: Heard) -> None:
    """Models that search on every request say how much, or just that they do."""
    report, options = heard.report, heard.asked.body.get("web_search_options")
    queries = count(report, "num_search_queries")
    size = report.get("search_context_size")
    if queries:
        _put(found, "web_search", queries)
    elif isinstance(size, str) and size.isalpha():
        _put(found, f"web_search_{size.lower()}_context", 1)
    elif report and "web_search" not in found and (_SEARCH_MODEL.search(heard.model) or options):
        _put(found, "web_search", 1)


def _add_reported(found: Units, heard: Heard) -> None:
    """Counts that stand in the usage report under names of their own."""
    report = heard.report
    billed = part(report, "billed_units")
    _put(found, "rerank_searches", count(billed, "search_units"))
    _put(found, "input_images", count(billed, "images"))
    _put(found, "citation_token", count(report, "citation_tokens"))
    _put(found, "search", count(report, "num_sources_used"))
    for direction, lists in (
        ("input", ("promptTokensDetails", "toolUsePromptTokensDetails")),
        ("output", ("candidatesTokensDetails", "responseTokensDetails")),
    ):
        for name in lists:
            for item in _dicts(report.get(name)):
                if str(item.get("modality")).upper() == "VIDEO":
                    _put(found, f"video_{direction}_tokens", count(item, "tokenCount"))
    annotated = heard.asked.body.get("document_annotation_format") or heard.asked.body.get("bbox_annotation_format")
    for one in heard.parts:
        pages = count(part(one, "usage_info"), "pages_processed")
        _put(found, "annotated_document_pages" if annotated else "document_pages", pages)


def _add_speech(found: Units, heard: Heard) -> None:
    """Speech without a token count is billed by the characters that were read out."""
    spoken = heard.asked.says("input", "text")
    if not heard.report and isinstance(spoken, str):
        _put(found, "input_characters", len(spoken))


def _add_transcript(found: Units, heard: Heard) -> None:
    """Audio without a token count is billed by its length."""
    seconds = _number(heard.report.get("seconds"))
    if seconds is None and not heard.report:
        seconds = next((length for one in heard.parts if (length := _number(one.get("duration")))), None)
    if seconds is not None:
        found["audio_seconds"] = seconds


def _add_video(found: Units, heard: Heard) -> None:
    """Videos by their seconds; where a request does not say how long or how many, the price file does."""
    if heard.is_error:
        return
    told = [_number(one.get("seconds")) for one in heard.parts]
    seconds = next(filter(None, told), None) or _number(heard.asked.says("seconds", "durationSeconds", "duration"))
    videos = _number(heard.asked.says("n", "sampleCount", "numberOfVideos"))
    if seconds:
        found["video_seconds"] = seconds * (videos or _ONE)
    elif videos:
        found["generated_videos"] = videos
    else:
        found["video_requests"] = _ONE


def _add_training(found: Units, heard: Heard) -> None:
    for one in heard.parts:
        if one.get("status") == "succeeded":
            _put(found, "training_tokens", count(one, "trained_tokens"))


_ADD = {
    Makes.SPEECH: _add_speech,
    Makes.TRANSCRIPT: _add_transcript,
    Makes.VIDEO: _add_video,
    Makes.TRAINING: _add_training,
}


def _put(found: Units, unit: str, quantity: int) -> None:
    if quantity:
        found[unit] = found.get(unit, Decimal(0)) + quantity


def _number(value: object) -> Decimal | None:
    """A positive number, also one that stands there as text such as `8` or `8s`; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value).strip().removesuffix("s"))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None


def _dicts(value: object) -> Iterator[Mapping[str, object]]:
    for item in cast("list[object]", value) if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield cast("Body", item)
