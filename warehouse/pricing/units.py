"""Billable units: what each quantity is called in formulas and price files, and which column its cost goes to.

Source: dataplane contract 5.3 (rate names, additional units), 5.4 (formula values), 5.5 (what bills what).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

UNIT_PREFIX = "additional_units."


class Side(StrEnum):
    """Which half of a request a quantity belongs to."""

    INPUT = "input"
    OUTPUT = "output"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity of a request: a bucket column and how formulas and price files speak of it."""

    column: str
    cost_column: str
    side: Side
    variables: tuple[str, ...]
    """Names that a `calculate` tree may use for it."""
    rates: tuple[str, ...]
    """Names of its rate, the first known one counts; `additional_units.` marks a unit that is really a token rate."""
    parents: tuple[str, ...] = ()
    """Columns whose price it takes when it has no rate of its own: the first with a rate, else the last."""


_UNCACHED, _READ, _WRITE, _OUT = "uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        _UNCACHED, "uncached_input_cost", Side.INPUT, ("input_tokens", _UNCACHED),
        ("request_token", "request_text_token"),
    ),
    Quantity(
        _READ, "cache_read_cost", Side.INPUT, (_READ,),
        # Two default formulas say `cache_read_token`, which no price is called: unless it is an alias, it is free.
        ("cache_read_input_token", "cache_read_text_input_token", "cached_text_input_token", "cache_read_token"),
        (_UNCACHED,),
    ),
    Quantity(
        _WRITE, "cache_write_cost", Side.INPUT, (_WRITE,),
        ("cache_write_input_token", "cache_write_token"), (_UNCACHED,),
    ),
    Quantity(
        "cache_write_1h_tokens", "cache_write_cost", Side.INPUT, ("cache_write_1h_tokens",),
        (f"{UNIT_PREFIX}cache_write_1h",), (_WRITE,),
    ),
    Quantity(
        "audio_input_tokens", "audio_cost", Side.INPUT, ("audio_input_tokens", "request_audio_tokens"),
        # 14 entries repeat their audio rate as an additional unit; it is one price, not two.
        ("request_audio_token", f"{UNIT_PREFIX}request_audio_token"), (_UNCACHED,),
    ),
    Quantity(
        "cache_read_audio_tokens", "audio_cost", Side.INPUT, ("cache_read_audio_tokens",),
        ("cache_read_audio_input_token",), ("audio_input_tokens", _READ),
    ),
    Quantity(
        "image_input_tokens", "image_cost", Side.INPUT, ("image_input_tokens", "request_image_tokens"),
        ("request_image_token",), (_UNCACHED,),
    ),
    Quantity(
        "cache_read_image_tokens", "image_cost", Side.INPUT, ("cache_read_image_tokens",),
        ("cache_read_image_input_token", "cached_image_input_token"), ("image_input_tokens", _READ),
    ),
    Quantity(_OUT, "output_cost", Side.OUTPUT, ("output_tokens",), ("response_token", "response_text_token")),
    Quantity(
        "reasoning_tokens", "reasoning_cost", Side.OUTPUT, ("reasoning_tokens", "thinking_tokens"),
        ("reasoning_token", "thinking_token", f"{UNIT_PREFIX}thinking_token", f"{UNIT_PREFIX}reasoning_token"), (_OUT,),
    ),
    Quantity(
        "audio_output_tokens", "audio_cost", Side.OUTPUT, ("audio_output_tokens", "response_audio_tokens"),
        ("response_audio_token", f"{UNIT_PREFIX}response_audio_token"), (_OUT,),
    ),
    Quantity(
        "image_output_tokens", "image_cost", Side.OUTPUT, ("image_output_tokens", "response_image_tokens"),
        ("response_image_token", f"{UNIT_PREFIX}image_token"), (_OUT,),
    ),
    Quantity("generated_images", "image_cost", Side.NONE, ("generated_images",), ("image",)),
)  # fmt: skip

IMAGES = "generated_images"
OTHER_COST = "other_cost"
BY_COLUMN: Mapping[str, Quantity] = MappingProxyType({q.column: q for q in QUANTITIES})
BY_VARIABLE: Mapping[str, Quantity] = MappingProxyType({name: q for q in QUANTITIES for name in q.variables})
BY_RATE: Mapping[str, Quantity] = MappingProxyType({name: q for q in QUANTITIES for name in q.rates})
COST_COLUMNS: tuple[str, ...] = (*dict.fromkeys(q.cost_column for q in QUANTITIES), OTHER_COST)
TOKEN_COLUMNS: tuple[str, ...] = tuple(q.column for q in QUANTITIES if q.side is not Side.NONE)
INPUT_COLUMNS: tuple[str, ...] = tuple(q.column for q in QUANTITIES if q.side is Side.INPUT)
OUTPUT_COLUMNS: tuple[str, ...] = tuple(q.column for q in QUANTITIES if q.side is Side.OUTPUT)
RATE_NAMES: frozenset[str] = frozenset(
    name for q in QUANTITIES for name in q.rates if not name.startswith(UNIT_PREFIX) and name != "image"
)
"""Names of token rates that a price file may use."""
TOKEN_UNITS: frozenset[str] = frozenset(
    name.removeprefix(UNIT_PREFIX) for q in QUANTITIES for name in q.rates if name.startswith(UNIT_PREFIX)
)
"""Additional units that are token rates: billed by their bucket, never a second time as a unit."""
DEFAULT_PREFIX = "default_"
"""Additional units named so look like prices but are quantities to assume when the request names none; never billed."""
TOOL_UNITS: frozenset[str] = frozenset(
    {
        "web_search", "web_search_low_context", "web_search_medium_context", "web_search_high_context",
        "enterprise_web_search", "file_search", "search", "x_search", "code_execution", "attachment_search",
        "maps", "routing_units",
    }
)  # fmt: skip
"""Units that come on top of tokens. Any other unit is what its model is sold by: seconds, megapixels, images."""
VIDEO_TOKENS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "video_input_tokens": ("input_video_token", BY_COLUMN[_UNCACHED].rates),
        "video_output_tokens": ("output_video_token", BY_COLUMN[_OUT].rates),
    }
)
"""Tokens of video, which stand in the buckets of text → the unit that prices them, the rates of that text."""
UNIT_NAME_PATTERN = "[a-z][a-z0-9_]*"
UNIT_NAME = re.compile(UNIT_NAME_PATTERN)
UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN = "units.name", "units.quantity"
"""Columns that hold what a request used beside tokens and images: names, and decimal numbers as text."""
QUANTITY_DIGITS = 6
"""Decimals that the quantity of an additional unit keeps."""
_NO_METERS = TOOL_UNITS | TOKEN_UNITS | VIDEO_TOKENS.keys()
FIXED_COSTS: frozenset[str] = frozenset({"request", "response"})
FINETUNE_COSTS: frozenset[str] = frozenset({"pay_per_token", "pay_per_hour"})


def is_meter(unit: str) -> bool:
    """True for an additional unit that a model is sold by, so that tokens alone do not tell its cost."""
    return unit not in _NO_METERS
