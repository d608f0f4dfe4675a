"""What sample to make, and what came out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from warehouse.errors import InvalidInput
from warehouse.logstore.paths import segment

MAX_ROWS = 1_000_000_000
MAX_DAYS = 3660


class SampleFormat(StrEnum):
    """How records are written: analytics rows by hour, or one log object per request."""

    METRICS = "metrics"
    LOG_OBJECTS = "log-objects"


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """How many records over which days, and whose they are.

    `until` is exclusive: records lie in [until - days, until). What names no organisation or workspaces leaves them
    out of the records (a loader then gives its own); the paths use names derived from the seed.
    `api_keys` gives the ids of a workspace's keys; where it is silent, ids are derived from the seed.
    Raises: InvalidInput that says which value is wrong and what is allowed.
    """

    rows: int
    days: int
    seed: int
    until: datetime
    format: SampleFormat = SampleFormat.METRICS
    organisation_id: str | None = None
    organisation_name: str | None = None
    workspaces: tuple[str, ...] | None = None
    api_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def __post_init__(self) -> None:
        if not 0 <= self.rows <= MAX_ROWS:
            raise InvalidInput(f"rows is {self.rows}; allowed are 0 to {MAX_ROWS:,}.")
        if not 1 <= self.days <= MAX_DAYS:
            raise InvalidInput(f"days is {self.days}; allowed are 1 to {MAX_DAYS}.")
        if not 0 <= self.seed < 2**63:
            raise InvalidInput(f"seed is {self.seed}; allowed are 0 to 2^63 - 1.")
        if self.until.tzinfo is None:
            raise InvalidInput(f"until is {self.until.isoformat()} without a time zone; write it with Z or an offset.")
        if self.until.astimezone(UTC).year - self.days // 365 < 1971:
            raise InvalidInput(f"{self.days} days before {self.until.isoformat()} lie before 1971.")
        if self.workspaces is not None and not self.workspaces:
            raise InvalidInput("workspaces is empty; name at least one, or give none at all.")
        for slug in self.workspaces or ():
            segment(slug, "workspace slug")
        if self.organisation_id is not None:
            segment(self.organisation_id, "organisation id")
        unknown = self.api_keys.keys() - set(self.workspaces or ())
        if unknown:
            raise InvalidInput(f"api_keys names {', '.join(sorted(unknown))}, which are not among the workspaces.")


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What was written."""

    rows: int
    files: int
    bytes: int
    folder: Path
    since: datetime
    until: datetime
    seconds: float
