"""Sums by day or hour, one narrow table per question (a table keyed by every dimension does not get smaller).

Only additive measures and first/last seen are kept; quantiles come exact from the rows.
"""

import hashlib
from dataclasses import dataclass

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind, Measure, Origin, Unit

SOURCE_VERSION = "source_version"
"""Column of a rollup that holds the fingerprint of the day's rows it was made from."""

ROLLED_UP: tuple[Measure, ...] = tuple(measure for measure in GENERATIONS.measures if measure.merge)
"""The measures that every rollup keeps, each in a column of its name."""

_DEFINED = hashlib.sha256("\n".join(f"{m.name}: {m.expression.sql()}" for m in ROLLED_UP).encode()).hexdigest()[:12]


def label_of(fingerprint: str) -> str:
    """What a day that is made now is labelled with: its rows' fingerprint, and how the measures are defined.

    So a new or changed measure makes every day stale, and no sum is ever read that was not made.
    """
    return f"{fingerprint}/{_DEFINED}"


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


def _column(measure: Measure) -> Column:
    kind = Kind.MONEY_SUM if measure.kind is Kind.MONEY else measure.kind
    return Column(measure.name, kind, measure.description, measure.unit, Origin.GATELEDGER, measure.since)


def _rollup(name: str, keys: tuple[str, ...], *, hourly: bool = False) -> Rollup:
    hour = (Column("hour", Kind.INSTANT, "Start of the UTC hour.", Unit.UTC, Origin.GATELEDGER),) if hourly else ()
    dataset = Dataset(
        name=name,
        description=f"Sums of generations by {', '.join(keys)} and {'hour' if hourly else 'day'}.",
        columns=(
            Column("day", Kind.DATE, "UTC day.", Unit.UTC, Origin.GATELEDGER),
            *(Column(key, GENERATIONS.column(key).kind, GENERATIONS.column(key).description) for key in keys),
            *hour,
            *(_column(measure) for measure in ROLLED_UP),
            Column(
                SOURCE_VERSION,
                Kind.TEXT,
                "Fingerprint of the day's rows that were summed, and of the measures.",
                origin=Origin.GATELEDGER,
            ),
        ),
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
    )
}

ROLLUPS: tuple[Dataset, ...] = tuple(rollup.dataset for rollup in ROLLUP_OF.values())
