"""Sums by day or hour, one narrow table per question (a table keyed by every dimension does not get smaller).

Only additive measures and first/last seen are kept; quantiles come exact from the rows.
"""

import hashlib
from dataclasses import dataclass, replace

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind, Measure, Origin, Unit

SOURCE_VERSION = "source_version"
"""Column of a rollup that holds the fingerprint of the day's rows it was made from."""
METADATA_KEY, METADATA_VALUE = "metadata_key", "metadata_value"
"""Columns of the rollup of metadata: a key that was kept, and what `GL_MAP_VALUE` gives of a row for that key."""
LEAST_ROWS, MOST_KEYS = 16, 16
"""A key of the metadata is kept of an organisation's day where it stands for at least so many rows per group (a group
is a workspace and a value), and where at most so many keys are on more rows: so the rollup never has more lines than
there are rows with metadata, whatever people write there."""

ROLLED_UP: tuple[Measure, ...] = tuple(measure for measure in GENERATIONS.measures if measure.merge)
"""The measures that every rollup keeps, each in a column of its name."""

_DEFINED = hashlib.sha256("\n".join(f"{m.name}: {m.expression.sql()}" for m in ROLLED_UP).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Rollup:
    """What a derived dataset sums: the rows of `of` by UTC day, by `keys` and, where `hourly`, by UTC hour."""

    dataset: Dataset
    of: Dataset
    keys: tuple[str, ...]
    hourly: bool

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def by_metadata(self) -> bool:
        """True where a row counts once for each key that was kept of its organisation's day, and for none if none was.

        All rows of that day count for a kept key: those without it under the blank value.
        """
        return METADATA_KEY in self.keys

    def label_of(self, fingerprint: str) -> str:
        """What a day that is made now is labelled with: its rows' fingerprint, and how its lines are defined.

        So a new or changed measure makes every day stale, and no sum is ever read that was not made.
        """
        rule = f"/{LEAST_ROWS},{MOST_KEYS}" if self.by_metadata else ""
        return f"{fingerprint}/{_DEFINED}{rule}"


_DAY = Column("day", Kind.DATE, "UTC day.", Unit.UTC, Origin.GATELEDGER)
_HOUR = Column("hour", Kind.INSTANT, "Start of the UTC hour.", Unit.UTC, Origin.GATELEDGER)
_VERSION = Column(
    SOURCE_VERSION,
    Kind.TEXT,
    "Fingerprint of the day's rows that were summed, and of the measures.",
    origin=Origin.GATELEDGER,
)
_METADATA = {
    METADATA_KEY: "Key of the metadata; empty for an organisation without a key that is worth keeping.",
    METADATA_VALUE: "Value of that key; empty for requests without it.",
}


def _key_column(name: str) -> Column:
    if name in _METADATA:
        return Column(name, Kind.TEXT, _METADATA[name], origin=Origin.GATELEDGER)
    of = GENERATIONS.column(name)
    return Column(name, of.kind, of.description)


def _sum_column(measure: Measure) -> Column:
    kind = Kind.MONEY_SUM if measure.kind is Kind.MONEY else measure.kind
    return Column(measure.name, kind, measure.description, measure.unit, Origin.GATELEDGER, measure.since)


def _rollup(name: str, keys: tuple[str, ...], *, hourly: bool = False, since: int = 1) -> Rollup:
    columns = (
        _DAY,
        *map(_key_column, keys),
        *((_HOUR,) if hourly else ()),
        *map(_sum_column, ROLLED_UP),
        _VERSION,
    )
    dataset = Dataset(
        name=name,
        description=f"Sums of generations by {', '.join(keys)} and {'hour' if hourly else 'day'}.",
        columns=tuple(replace(column, since=max(column.since, since)) for column in columns),
        sort_by=(*keys, "hour") if hourly else keys,
        time_column="day",
        id_column=None,
    )
    return Rollup(dataset, GENERATIONS, keys, hourly)


_WORKSPACE = ("organisation_id", "workspace_slug")

ROLLUP_OF: dict[str, Rollup] = {
    rollup.name: rollup
    for rollup in (
        _rollup("rollup_hour_workspace", _WORKSPACE, hourly=True),
        _rollup("rollup_day_model", (*_WORKSPACE, "ai_org", "ai_model")),
        _rollup("rollup_day_api_key", (*_WORKSPACE, "api_key_id")),
        _rollup("rollup_day_prompt", (*_WORKSPACE, "prompt_slug")),
        _rollup("rollup_day_config", (*_WORKSPACE, "config")),
        _rollup("rollup_day_metadata", (*_WORKSPACE, METADATA_KEY, METADATA_VALUE), since=8),
    )
}
