"""Sums by day or hour, one narrow table per question (a table keyed by every dimension does not get smaller).

Only additive measures and first/last seen are kept; quantiles come exact from the rows.
"""

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind, Measure, Origin, Unit

ROLLED_UP: tuple[Measure, ...] = tuple(measure for measure in GENERATIONS.measures if measure.merge)
"""The measures that every rollup keeps, each in a column of its name."""


def _rollup(name: str, keys: tuple[str, ...], *, hourly: bool = False) -> Dataset:
    hour = (Column("hour", Kind.INSTANT, "Start of the UTC hour.", Unit.UTC, Origin.GATELEDGER),) if hourly else ()
    return Dataset(
        name=name,
        description=f"Sums of generations by {', '.join(keys)} and {'hour' if hourly else 'day'}.",
        columns=(
            Column("day", Kind.DATE, "UTC day.", Unit.UTC, Origin.GATELEDGER),
            *(Column(key, GENERATIONS.column(key).kind, GENERATIONS.column(key).description) for key in keys),
            *hour,
            *(Column(m.name, m.kind, m.description, m.unit, Origin.GATELEDGER) for m in ROLLED_UP),
            Column("source_version", Kind.TEXT, "Fingerprint of the day's rows that were summed.", origin=Origin.GATELEDGER),
        ),
        sort_by=(*keys, "hour") if hourly else keys,
        time_column="day",
        id_column=None,
    )


_WORKSPACE = ("organisation_id", "workspace_slug")

ROLLUPS: tuple[Dataset, ...] = (
    _rollup("rollup_hour_workspace", _WORKSPACE, hourly=True),
    _rollup("rollup_day_model", (*_WORKSPACE, "ai_org", "ai_model")),
    _rollup("rollup_day_api_key", (*_WORKSPACE, "api_key_id")),
    _rollup("rollup_day_prompt", (*_WORKSPACE, "prompt_slug")),
    _rollup("rollup_day_config", (*_WORKSPACE, "config")),
)
