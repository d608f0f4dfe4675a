"""Text as people write it: what a database can keep and a page can show. The types refuse the rest with AB01."""

from typing import Annotated
from unicodedata import category

from fastapi import Path
from pydantic import AfterValidator, StringConstraints

LONGEST_LINE = 255
LONGEST_TEXT = 10_000
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, halves of pairs, and line separators."""


def one_line(text: str) -> str:
    """The text. Raises: ValueError when it holds a control character or a line break."""
    # What is printable holds none of these, and that is known at once.
    if not text.isprintable() and any(category(character) in _REFUSED for character in text):
        raise ValueError("must not contain control characters or line breaks")
    return text


def paragraphs(text: str) -> str:
    """The text. Raises: ValueError when it holds a control character that is no tab or line break."""
    if any(category(character) in _REFUSED and character not in "\t\r\n" for character in text):
        raise ValueError("must not contain control characters")
    return text


Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_LINE), AfterValidator(one_line)]
"""One line; may be empty."""
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_LINE), AfterValidator(one_line)
]
"""One line with something on it."""
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(paragraphs)]
"""Any number of lines."""

Reference = Annotated[str, Path(max_length=LONGEST_LINE), AfterValidator(one_line)]
"""A slug or UUID in a path."""
