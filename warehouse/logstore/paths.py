"""Where a gateway puts the log object of a request, and which prefixes hold a stretch of time.

Source: dataplane contract 4.1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from warehouse.errors import InvalidInput

RETENTION_CLASS = "30"
"""First segment of every path; the contract has no other."""

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+=~-]{0,199}")
_TIME = re.compile(r"(\d{4})/(\d{2})/(\d{2})/(\d{2})")
_HOUR = timedelta(hours=1)


class PathFormat(StrEnum):
    """How a path is made; the values are those of `LOG_STORE_FILE_PATH_FORMAT`."""

    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class LogPath:
    """What the path of a log object says: its owner, its id and, in format v2, its workspace and its hour (UTC)."""

    organisation_id: str
    log_id: str
    workspace_slug: str | None = None
    hour: datetime | None = None

    @property
    def format(self) -> PathFormat:
        return PathFormat.V1 if self.hour is None else PathFormat.V2


def v1_path(organisation_id: str, log_id: str) -> str:
    """`30/<organisation-id>/<log-id>.json`. Raises: InvalidInput for an id that is no path segment."""
    return "/".join((RETENTION_CLASS, segment(organisation_id, "organisation id"), f"{segment(log_id, 'log id')}.json"))


def v2_path(organisation_id: str, workspace_slug: str, created_at: datetime, log_id: str) -> str:
    """`30/<organisation-id>/<workspace-slug>/<year>/<month>/<day>/<hour>/<log-id>.json`, the hour in UTC.

    Raises: InvalidInput for an id that is no path segment and for an instant without a zone.
    """
    return f"{hour_prefix(organisation_id, workspace_slug, created_at)}/{segment(log_id, 'log id')}.json"


def hour_prefix(organisation_id: str, workspace_slug: str, instant: datetime) -> str:
    """The v2 folder of the hour of an instant, without a slash at its end. Raises: InvalidInput."""
    if instant.tzinfo is None:
        raise InvalidInput(f"The instant {instant.isoformat()} has no time zone; a log path needs UTC.")
    owner = segment(organisation_id, "organisation id")
    workspace = segment(workspace_slug, "workspace slug")
    return f"{RETENTION_CLASS}/{owner}/{workspace}/{instant.astimezone(UTC):%Y/%m/%d/%H}"


def parse_path(path: str) -> LogPath | None:
    """What a path says, or None when it is no path of a log object."""
    parts = path.removesuffix(".json").split("/")
    if not path.endswith(".json") or parts[0] != RETENTION_CLASS or not all(map(_SEGMENT.fullmatch, parts)):
        return None
    if len(parts) == 3:
        return LogPath(parts[1], parts[2])
    if len(parts) != 8:
        return None
    hour = parse_hour("/".join(parts[3:7]))
    return None if hour is None else LogPath(parts[1], parts[7], parts[2], hour)


def parse_hour(text: str) -> datetime | None:
    """The instant of `<year>/<month>/<day>/<hour>`, or None when it is not one."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        return datetime(*(int(part) for part in match.groups()), tzinfo=UTC)
    except ValueError:
        return None


def window_prefixes(organisation_id: str, workspace_slug: str, since: datetime, until: datetime) -> Iterator[str]:
    """The fewest v2 prefixes that hold every object of the hours from `since` to `until` (both inclusive), in order.

    A whole day, month or year becomes one prefix. Format v1 has no time in its paths and cannot be pruned.
    Raises: InvalidInput.
    """
    base = hour_prefix(organisation_id, workspace_slug, since).rsplit("/", 4)[0]
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    last = until.astimezone(UTC)
    while hour <= last:
        for depth, end in _spans(hour):
            if end - _HOUR <= last or depth == 4:
                yield f"{base}/{'/'.join(f'{hour:%Y/%m/%d/%H}'.split('/')[:depth])}"
                hour = end
                break


def _spans(hour: datetime) -> Iterator[tuple[int, datetime]]:
    """For an hour, what begins with it: (segments of the prefix, its end), the longest first."""
    if (hour.month, hour.day, hour.hour) == (1, 1, 0):
        yield 1, hour.replace(year=hour.year + 1)
    if (hour.day, hour.hour) == (1, 0):
        yield 2, (hour + timedelta(days=32)).replace(day=1)
    if hour.hour == 0:
        yield 3, hour + timedelta(days=1)
    yield 4, hour + _HOUR


def segment(value: str, what: str) -> str:
    """The value itself when it can be one segment of a path.

    Raises: InvalidInput for `..`, a slash, a control character and everything else that could lead elsewhere.
    """
    if _SEGMENT.fullmatch(value) is None:
        raise InvalidInput(
            f"The {what} {value[:80]!r} cannot be part of a log path: it must be 1 to 200 characters of "
            "A-Z a-z 0-9 . _ @ : + = ~ - and begin with a letter or a digit."
        )
    return value
