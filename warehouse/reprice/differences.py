"""What a price of today would change of stored requests, row by row and in sum."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from warehouse.catalog.prices import CORRECTED, NEW, OLD

NAMES = tuple(column.name for column in CORRECTED)
_BOUNDS = ("cost_low", "cost_high")
"""A row that is older than its bounds has none; its cost stands for both."""
_TELLING = tuple(name for name in NAMES if name != "price_id")
"""Another price row that comes to the same cost is no correction: the old one still explains it."""
WHY = "why"
_GROUP = ("organisation_id", "workspace_slug", "ai_org", "ai_model")
_SUM = pl.Decimal(38, 12)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes of one workspace and model. Units: cents. Costs are of the changed requests alone."""

    organisation_id: str
    workspace: str
    provider: str
    model: str
    rows: int
    old_cost: Decimal
    new_cost: Decimal
    newly_priced: int
    newly_unpriced: int

    @property
    def difference(self) -> Decimal:
        return self.new_cost - self.old_cost


def changes_of(stored: pl.DataFrame, priced: pl.DataFrame) -> pl.DataFrame:
    """The rows whose cost changes, each with its old and new columns and why.

    Shape: identity columns of `stored`, `repriced_at`, `old_…` and `new_…` of every corrected column, `why`.
    """
    old = stored.select(pl.col(name).alias(OLD + name) for name in NAMES)
    new = priced.select(pl.col(name).alias(NEW + name) for name in NAMES)
    both = stored.drop(NAMES).hstack(old).hstack(new)
    differs = pl.any_horizontal(_told(OLD, name).ne_missing(_told(NEW, name)) for name in _TELLING)
    before, after = pl.col(OLD + "cost"), pl.col(NEW + "cost")
    why = (
        pl.when(before.is_null() & after.is_not_null())
        .then(pl.lit("newly_priced"))
        .when(before.is_not_null() & after.is_null())
        .then(pl.lit("newly_unpriced"))
        .when(before.ne_missing(after))
        .then(pl.lit("repriced"))
        .otherwise(pl.lit("reallocated"))
    )
    kept = [*_GROUP, "id", "created_at", "repriced_at"]
    names = [prefix + name for name in NAMES for prefix in (OLD, NEW)]
    return both.filter(differs).select(*kept, *names, why.alias(WHY))


def _told(when: str, name: str) -> pl.Expr:
    return pl.coalesce(when + name, when + "cost") if name in _BOUNDS else pl.col(when + name)


class Differences:
    """Sums of changes as they are found."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def add(self, changes: pl.DataFrame) -> None:
        """Count some changed rows."""
        if changes.height:
            keys = [pl.col(name).fill_null("").alias(name) for name in _GROUP]
            money = [pl.col(prefix + "cost").cast(_SUM).sum().alias(prefix + "cost") for prefix in (OLD, NEW)]
            counts = [(pl.col(WHY) == why).sum().alias(why) for why in ("newly_priced", "newly_unpriced")]
            self._parts.append(changes.group_by(*keys).agg(pl.len().alias("rows"), *money, *counts))
        if len(self._parts) > 64:
            self._parts = [self._summed()]

    def all(self) -> tuple[Difference, ...]:
        """The sums, the largest difference first."""
        found = [_difference(row) for row in self._summed().iter_rows()] if self._parts else []
        return tuple(
            sorted(
                found,
                key=lambda one: (-abs(one.difference), one.organisation_id, one.workspace, one.provider, one.model),
            )
        )

    def _summed(self) -> pl.DataFrame:
        values = pl.all().exclude(*_GROUP)
        return pl.concat(self._parts, how="vertical_relaxed").group_by(*_GROUP).agg(values.sum())


def _difference(row: Iterable[object]) -> Difference:
    organisation, workspace, provider, model, count, old, new, priced, unpriced = row
    return Difference(
        str(organisation),
        str(workspace),
        str(provider),
        str(model),
        int(str(count)),
        old if isinstance(old, Decimal) else _ZERO,
        new if isinstance(new, Decimal) else _ZERO,
        int(str(priced)),
        int(str(unpriced)),
    )
