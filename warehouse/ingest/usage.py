"""Token usage as a provider reports it becomes units and disjoint buckets.

The rule of every shape here: no bucket is negative, the input buckets sum to `req_units`, the output buckets to
`res_units`. Where a provider's parts are more than its whole, the parts are right and the whole is raised.
Source: dataplane contract 5.5 (which counts include which).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from warehouse.ingest.asked import Makes
from warehouse.ingest.records import BadRecord
from warehouse.ingest.units import INPUT_BUCKETS, OUTPUT_BUCKETS

Report = Mapping[str, object]

_GOOGLE_SNAKE = {"total_token_count", "candidates_token_count", "thoughts_token_count", "cached_content_token_count"}
_CAMEL = re.compile(r"_([a-z])")


@dataclass(frozen=True, slots=True)
class Usage:
    """Units of a request and its buckets; a bucket that is not named is 0."""

    req_units: int
    res_units: int
    total_units: int
    buckets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Input:
    """Input tokens: the whole, and the parts of it that are not uncached text."""

    whole: int
    read: int = 0
    write: int = 0
    write_1h: int = 0
    audio: int = 0
    audio_read: int = 0
    image: int = 0
    image_read: int = 0


@dataclass(frozen=True, slots=True)
class _Output:
    """Output tokens: the whole, and the parts of it that are not plain text."""

    whole: int
    reasoning: int = 0
    audio: int = 0
    image: int = 0


def usage_of(report: Report, makes: Makes = Makes.TEXT) -> Usage | None:
    """The usage in a provider's report, whichever shape it has; None where it counts no tokens.

    `makes` says what tokens of output are that come without details. Raises: BadRecord for a count that is none.
    """
    if _GOOGLE_SNAKE & report.keys():
        report = {_CAMEL.sub(lambda match: match[1].upper(), name): value for name, value in report.items()}
    if "promptTokenCount" in report or "totalTokenCount" in report:
        return _google(report)
    if "inputTokenCount" in report or "outputTokenCount" in report:
        report = {name.replace("TokenCount", "Tokens"): value for name, value in report.items()}
    if "inputTokens" in report or "outputTokens" in report:
        return _bedrock(report)
    if "prompt_tokens" in report or "completion_tokens" in report:
        return _openai_chat(report)
    if "input_tokens" in report or "output_tokens" in report:
        if "input_tokens_details" in report or "input_token_details" in report:
            return _openai_responses(report, makes)
        return _anthropic(report, makes)
    # Cohere bills fewer tokens than its models read.
    for whole in (report.get("billed_units"), report.get("tokens")):
        if isinstance(whole, dict) and ("input_tokens" in whole or "output_tokens" in whole):
            return _anthropic(cast("Report", whole), Makes.TEXT)
    return _plain(report)


def sum_of(usages: Iterable[Usage | None]) -> Usage | None:
    """All of them together; None where there are none."""
    found: Usage | None = None
    for one in usages:
        if one is None:
            continue
        if found is None:
            found = one
            continue
        buckets = {name: found.buckets[name] + one.buckets[name] for name in found.buckets}
        found = Usage(
            found.req_units + one.req_units,
            found.res_units + one.res_units,
            found.total_units + one.total_units,
            buckets,
        )
    return found


def count(report: Report, *names: str) -> int:
    """The first of these counts that is there, else 0. Raises: BadRecord for a negative or broken one."""
    for name in names:
        value = report.get(name)
        if value is None or value == "":
            continue
        number = value if type(value) is int else _number(value)
        if number is None:
            raise BadRecord("usage is not a whole number", f"{name}: {value!r:.80}")
        if number < 0:
            raise BadRecord("usage is negative", f"{name}: {number}")
        return number
    return 0


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        whole = float(value)
    except ValueError:
        return None
    return int(value) if isinstance(value, int) else int(whole) if whole.is_integer() else None


def _details(report: Report, *names: str) -> Report:
    for name in names:
        value = report.get(name)
        if isinstance(value, dict):
            return cast("Report", value)
    return {}


def _settled(given: _Input, made: _Output, total: int) -> Usage:
    text_read = max(0, given.read - given.audio_read - given.image_read)
    audio, image = max(0, given.audio - given.audio_read), max(0, given.image - given.image_read)
    audio_read, image_read = given.audio_read, given.image_read
    # Cached and audio tokens may be the same tokens, told without saying so; then they do not fit into the whole.
    excess = text_read + given.write + given.write_1h + audio + audio_read + image + image_read - given.whole
    both = max(0, min(excess, text_read, audio))
    text_read, audio, audio_read, excess = text_read - both, audio - both, audio_read + both, excess - both
    both = max(0, min(excess, text_read, image))
    text_read, image, image_read = text_read - both, image - both, image_read + both
    ins = (text_read, given.write, given.write_1h, audio, audio_read, image, image_read)
    outs = (made.reasoning, made.audio, made.image)
    req_units, res_units = max(given.whole, sum(ins)), max(made.whole, sum(outs))
    buckets: dict[str, int] = {}
    buckets.update(zip(INPUT_BUCKETS, (req_units - sum(ins), *ins), strict=True))
    buckets.update(zip(OUTPUT_BUCKETS, (res_units - sum(outs), *outs), strict=True))
    return Usage(req_units, res_units, max(total, req_units + res_units), buckets)


def _openai_chat(report: Report) -> Usage:
    """`prompt_tokens` includes what a cache served, but for answers of Anthropic that a gateway reshaped."""
    given = _details(report, "prompt_tokens_details")
    made = _details(report, "completion_tokens_details")
    prompt, completion, total = (count(report, f"{name}_tokens") for name in ("prompt", "completion", "total"))
    read = max(
        count(given, "cached_tokens"),
        count(report, "cache_read_input_tokens"),
        count(report, "prompt_cache_hit_tokens"),
    )
    write = max(
        count(report, "cache_creation_input_tokens"), count(given, "cache_write_tokens", "cache_creation_tokens")
    )
    write_1h = min(write, count(_details(report, "cache_creation"), "ephemeral_1h_input_tokens"))
    reasoning, apart = count(made, "reasoning_tokens"), count(report, "reasoning_tokens")
    if apart and not reasoning:  # Perplexity counts it beside its completion, not in it
        reasoning, completion, total = apart, completion + apart, total + apart
    if not _includes(prompt, read + write, total - completion):
        prompt += read + write
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning
    cached = _details(given, "cached_tokens_details")
    return _settled(
        _Input(
            prompt, read, write - write_1h, write_1h,
            count(given, "audio_tokens"), count(cached, "audio_tokens"),
            count(given, "image_tokens"), count(cached, "image_tokens"),
        ),
        _Output(completion, reasoning, count(made, "audio_tokens"), count(made, "image_tokens")),
        total,
    )  # fmt: skip


def _includes(whole: int, cached: int, by_total: int) -> bool:
    """Whether an input count includes its cached tokens: the total tells, else whether they fit into it."""
    if not cached or by_total == whole:
        return True
    if by_total == whole + cached:
        return False
    return whole >= cached


def _unsaid(output: int, makes: Makes) -> _Output:
    """Output tokens without details: of what the request was for."""
    return _Output(output, image=output if makes is Makes.IMAGES else 0, audio=output if makes is Makes.SPEECH else 0)


def _openai_responses(report: Report, makes: Makes) -> Usage:
    given = _details(report, "input_tokens_details", "input_token_details")
    made = _details(report, "output_tokens_details", "output_token_details")
    cached = _details(given, "cached_tokens_details")
    output = count(report, "output_tokens")
    told = _Output(output, count(made, "reasoning_tokens"), count(made, "audio_tokens"), count(made, "image_tokens"))
    return _settled(
        _Input(
            count(report, "input_tokens"), count(given, "cached_tokens"), 0, 0,
            count(given, "audio_tokens"), count(cached, "audio_tokens"),
            count(given, "image_tokens"), count(cached, "image_tokens"),
        ),
        told if made else _unsaid(output, makes),
        count(report, "total_tokens"),
    )  # fmt: skip


def _anthropic(report: Report, makes: Makes) -> Usage:
    """`input_tokens` is what neither was read from the cache nor written to it."""
    made = _details(report, "cache_creation")
    read = count(report, "cache_read_input_tokens")
    write_1h = count(made, "ephemeral_1h_input_tokens")
    write = max(count(report, "cache_creation_input_tokens"), write_1h + count(made, "ephemeral_5m_input_tokens"))
    output = count(report, "output_tokens")
    return _settled(
        _Input(count(report, "input_tokens") + read + write, read, write - write_1h, write_1h),
        _unsaid(output, makes),
        0,
    )


def _google(report: Report) -> Usage:
    """Thoughts come on top of candidates, tokens of tool use on top of the prompt; cached ones are in the prompt."""
    given = _modalities(report, "promptTokensDetails", "toolUsePromptTokensDetails")
    cached = _modalities(report, "cacheTokensDetails")
    made = _modalities(report, "candidatesTokensDetails", "responseTokensDetails")
    thoughts = count(report, "thoughtsTokenCount")
    return _settled(
        _Input(
            count(report, "promptTokenCount") + count(report, "toolUsePromptTokenCount"),
            count(report, "cachedContentTokenCount"), 0, 0,
            given.get("AUDIO", 0), cached.get("AUDIO", 0), given.get("IMAGE", 0), cached.get("IMAGE", 0),
        ),
        _Output(
            count(report, "candidatesTokenCount", "responseTokenCount") + thoughts,
            thoughts, made.get("AUDIO", 0), made.get("IMAGE", 0),
        ),
        count(report, "totalTokenCount"),
    )  # fmt: skip


def _modalities(report: Report, *names: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        items = report.get(name)
        for item in cast("Sequence[object]", items) if isinstance(items, list) else ():
            if isinstance(item, dict):
                of = cast("Report", item)
                modality = str(of.get("modality", "")).upper()
                found[modality] = found.get(modality, 0) + count(of, "tokenCount")
    return found


def _bedrock(report: Report) -> Usage:
    """`inputTokens` leaves out what the cache read and wrote, unless the total says otherwise."""
    prompt, output, total = count(report, "inputTokens"), count(report, "outputTokens"), count(report, "totalTokens")
    read = count(report, "cacheReadInputTokens", "cacheReadInputTokenCount")
    write = count(report, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    if not (total and read + write and total == prompt + output):
        prompt += read + write
    details = report.get("cacheDetails")
    write_1h = sum(
        count(cast("Report", one), "inputTokens")
        for one in (cast("Sequence[object]", details) if isinstance(details, list) else ())
        if isinstance(one, dict) and cast("Report", one).get("ttl") == "1h"
    )
    write_1h = min(write, write_1h)
    return _settled(_Input(prompt, read, write - write_1h, write_1h), _Output(output), total)


_PLAIN_INPUT = ("prompt_token_count", "inputTextTokenCount", "prompt_eval_count")
_PLAIN_OUTPUT = ("generation_token_count", "outputTextTokenCount", "eval_count")


def _plain(report: Report) -> Usage | None:
    """Llama and Titan on Bedrock, Ollama, and totals alone."""
    names = (*_PLAIN_INPUT, *_PLAIN_OUTPUT, "total_tokens")
    if not any(name in report for name in names):
        return None
    given, made = count(report, *_PLAIN_INPUT), count(report, *_PLAIN_OUTPUT)
    total = count(report, "total_tokens")
    return _settled(_Input(given or max(0, total - made)), _Output(made), total)
