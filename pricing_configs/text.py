"""The text of a file of models: one line per model, so that a changed price is a changed line; all digits kept."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_MARKED = re.compile(r'"<number>([0-9.]+)"')


def text_of(file: Mapping[str, Any]) -> str:
    """JSON, one key a line."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, default=_marked, ensure_ascii=False)}" for key, value in file.items()
    ]
    return _MARKED.sub(r"\1", "{\n" + ",\n".join(lines) + "\n}\n")


def _marked(number: object) -> str:
    """A Decimal as text that becomes a plain JSON number, digit by digit."""
    assert isinstance(number, Decimal)  # noqa: S101 - nothing else in a price file needs it
    return f"<number>{number:f}"
