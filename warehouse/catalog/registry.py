"""Look-ups in the catalog. Importing it fails on a duplicate or dangling name."""

from typing import TypeVar

from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Dimension, Filter, Measure, Ratio
from warehouse.catalog.operations import BATCHES, LOG_OBJECTS
from warehouse.catalog.prices import CORRECTIONS, PRICES
from warehouse.catalog.rated import DERIVED
from warehouse.errors import UnknownName

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        *(GENERATIONS, FEEDBACKS, BATCHES, LOG_OBJECTS, PRICES, CORRECTIONS, AUDIT_LOGS),
        *(derived.dataset for derived in DERIVED.values()),
    )
}

_Named = TypeVar("_Named")

METADATA_PREFIX = "metadata."


def dataset(name: str) -> Dataset:
    """The dataset `name`. Raises: UnknownName."""
    return _find("dataset", name, DATASETS)


def dimension(of: Dataset, name: str) -> Dimension:
    """The dimension `name` of a dataset. Raises: UnknownName with the allowed ones."""
    return _find("group-by", name, {d.name: d for d in of.dimensions})


def measure(of: Dataset, name: str) -> Measure | Ratio:
    """The public measure or ratio `name` of a dataset. Raises: UnknownName with the allowed ones."""
    return _find("column", name, {m.name: m for m in public_measures(of)})


def filter_(of: Dataset, name: str) -> Filter:
    """The filter `name` of a dataset. Raises: UnknownName with the allowed ones."""
    return _find("filter", name, {f.name: f for f in of.filters})


def public_measures(of: Dataset) -> tuple[Measure | Ratio, ...]:
    """What an answer may hold: every measure that is not internal, and every ratio."""
    return (*(m for m in of.measures if not m.internal), *of.ratios)


def _find(what: str, name: str, known: dict[str, _Named]) -> _Named:
    try:
        return known[name]
    except KeyError:
        raise UnknownName(what, name, known) from None


def _check() -> None:
    for of in DATASETS.values():
        for filter_ in of.filters:
            if filter_.through is None:
                continue
            other = DATASETS.get(filter_.through)
            if other is None or not all(other.has_column(name) for name in (*filter_.columns, "trace_id")):
                raise ValueError(
                    f"{of.name}: filter {filter_.name} looks into {filter_.through}, which lacks what it names"
                )


_check()
