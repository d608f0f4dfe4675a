"""Patterns over the paths of a store: `*`, `?` and `[…]` within a segment, `**` for any number of segments."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

_MAGIC = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """True when the text holds a wildcard."""
    return not _MAGIC.isdisjoint(text)


def split_pattern(text: str) -> tuple[str, tuple[str, ...]]:
    """(the folder before the first wildcard, without its slash; the segments of the rest)."""
    segments = text.split("/")
    first = next((at for at, segment in enumerate(segments) if is_pattern(segment)), len(segments) - 1)
    return "/".join(segments[:first]), tuple(segments[first:])


def matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """True when the whole path is what the pattern says. Linear in the path for each `**`."""
    reached = {0}
    for segment in path:
        reached = _after(pattern, reached, segment)
        if not reached:
            return False
    return any(all(part == "**" for part in pattern[at:]) for at in reached)


def may_hold(pattern: Sequence[str], folder: Sequence[str]) -> bool:
    """True when something inside the folder could match."""
    reached = {0}
    for segment in folder:
        reached = _after(pattern, reached, segment)
    return any(at < len(pattern) for at in reached)


def _after(pattern: Sequence[str], reached: set[int], segment: str) -> set[int]:
    """The places in the pattern that can be reached by one more segment of the path."""
    found: set[int] = set()
    for start in reached:
        at = start
        while at < len(pattern) and pattern[at] == "**":
            found.add(at)
            at += 1
        if at < len(pattern) and fnmatchcase(segment, pattern[at]):
            found.add(at + 1)
    return found
