"""What an operator asks of the whole warehouse: is every record accounted for, what has no price, how old is it.

These questions cross tenants on purpose. They give counts, batch ids and instants, never a row, and no route serves
them: they are for the pipeline's checks and for `doctor`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlglot import exp

from warehouse.catalog.functions import call, column, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset
from warehouse.catalog.operations import BATCHES
from warehouse.engines.base import Engine, Window, scan
from warehouse.query import conditions

_DAY = timedelta(days=1)
_COUNTS = ("received", "stored", "duplicates", "rejected")


@dataclass(frozen=True, slots=True)
class Imbalance:
    """A batch whose books do not balance: what its entries say and how many rows carry its id."""

    batch_id: str
    received: int
    stored: int
    duplicates: int
    rejected: int
    rows: int


@dataclass(frozen=True, slots=True)
class Conservation:
    """What the books of a dataset add up to; all is well when nothing is imbalanced."""

    batches: int
    received: int
    stored: int
    duplicates: int
    rejected: int
    imbalances: tuple[Imbalance, ...]

    @property
    def is_kept(self) -> bool:
        return not self.imbalances


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """Requests of one model without a cost for one reason. Units: cents, tokens."""

    ai_org: str
    ai_model: str
    reason: str
    requests: int
    tokens: int
    spend_at_risk: Decimal | None
    """What they cost at most; None when nobody can tell."""


@dataclass(frozen=True, slots=True)
class UnpricedShare:
    """How many requests and tokens have no cost, why, and the models with the most at risk."""

    requests: int
    unpriced: int
    tokens: int
    unpriced_tokens: int
    reasons: Mapping[str, int]
    worst: tuple[UnpricedModel, ...] = ()

    @property
    def share(self) -> float:
        """Of the requests, from 0 to 1; 0 when there are none."""
        return self.unpriced / self.requests if self.requests else 0.0

    @property
    def token_share(self) -> float:
        """Of the tokens, from 0 to 1; 0 when there are none."""
        return self.unpriced_tokens / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the newest request and the newest batch are; None when there is none."""

    last_request_at: datetime | None
    last_batch_at: datetime | None
    age: timedelta | None
    """From the newest request to now."""


def conservation(engine: Engine, window: Window = Window(), dataset: Dataset = GENERATIONS) -> Conservation:
    """Whether received = stored + duplicates + rejected for every entry, and the rows of a batch = its stored sum.

    `window` is when batches were loaded; a batch with an entry in it is looked at with all its entries. Rows loaded in
    it that no entry names are an imbalance of their own.
    """
    entries = engine.query(_entries(dataset, _with_entry_in(dataset, window))).to_pylist()
    entered = {entry["batch_id"] for entry in entries}
    rows = {row["batch"]: row["rows"] for row in engine.query(_rows_of_batches(dataset, window)).to_pylist()}
    # Loaded in the window but entered before or after it: those have their books elsewhere.
    elsewhere = sorted(rows.keys() - entered)
    known = engine.query(_entries(dataset, _is_one_of(elsewhere))).to_pylist() if elsewhere else []
    nobodys = set(elsewhere) - {entry["batch_id"] for entry in known}
    imbalances = [
        _imbalance(entry, rows.get(entry["batch_id"], 0))
        for entry in entries
        if entry["unbalanced"] or entry["stored"] != rows.get(entry["batch_id"], 0)
    ]
    imbalances += [Imbalance(batch, 0, 0, 0, 0, rows[batch]) for batch in nobodys]
    received, stored, duplicates, rejected = (sum(entry[name] for entry in entries) for name in _COUNTS)
    ordered = tuple(sorted(imbalances, key=lambda imbalance: imbalance.batch_id))
    return Conservation(len(entries), received, stored, duplicates, rejected, ordered)


def unpriced_share(engine: Engine, window: Window = Window(), *, worst: int = 20) -> UnpricedShare:
    """How many requests made in `window` have no cost, by reason, with the `worst` models, the dearest first."""
    groups = engine.query(_unpriced_models(window), window).to_pylist()
    reasons: Counter[str] = Counter()
    for group in groups:
        reasons[group["reason"]] += group["unpriced"]
    lost = [
        UnpricedModel(
            group["provider"],
            group["model"],
            group["reason"],
            group["unpriced"],
            group["unpriced_tokens"],
            group["risk"],
        )
        for group in groups
        if group["unpriced"]
    ]
    lost.sort(
        key=lambda one: (-(one.spend_at_risk or Decimal(-1)), -one.requests, one.ai_org, one.ai_model, one.reason)
    )
    return UnpricedShare(
        sum(group["requests"] for group in groups),
        sum(reasons.values()),
        sum(group["tokens"] for group in groups),
        sum(group["unpriced_tokens"] for group in groups),
        {reason: count for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])) if count},
        tuple(lost[:worst]),
    )


def _unpriced_models(window: Window) -> exp.Select:
    """Requests, tokens and what is at risk, by provider, model, reason and whether there is a cost."""
    keys = {"provider": "ai_org", "model": "ai_model", "reason": "unpriced_reason"}
    without = exp.Is(this=column("cost"), expression=exp.Null())
    at_risk = exp.Case(ifs=[exp.If(this=without.copy(), true=column("cost_high"))])
    tokens = exp.Case(ifs=[exp.If(this=without.copy(), true=column("total_units"))], default=exp.Literal.number(0))
    tree = exp.select(
        *(exp.alias_(exp.Coalesce(this=column(of), expressions=[text("")]), name) for name, of in keys.items()),
        exp.alias_(call("GL_COUNT"), "requests"),
        exp.alias_(call("GL_COUNT_IF", without), "unpriced"),
        exp.alias_(call("GL_SUM_INT", "total_units"), "tokens"),
        exp.alias_(call("GL_SUM_INT", tokens), "unpriced_tokens"),
        exp.alias_(call("GL_SUM_MONEY", at_risk), "risk"),
    )
    tree = tree.from_(scan(GENERATIONS.name, window)).where(conditions.within_windows("created_at", (window,)))
    return tree.group_by(*(exp.column(name) for name in keys))


def freshness(engine: Engine, now: datetime) -> Freshness:
    """How old the newest request and the newest batch are at `now`."""
    newest = engine.query(_newest(BATCHES.name, "created_at")).to_pylist()[0]["newest"]
    days = engine.day_fingerprints(GENERATIONS)
    if not days:
        return Freshness(None, newest, None)
    # Only the newest day can hold the newest request.
    start = datetime.combine(max(days), datetime.min.time(), UTC)
    window = Window(start, start + _DAY - conditions.MILLISECOND)
    last: datetime | None = engine.query(_newest(GENERATIONS.name, "created_at", window), window).to_pylist()[0][
        "newest"
    ]
    return Freshness(last, newest, now - last if last else None)


def _newest(dataset: str, instant_column: str, window: Window = Window()) -> exp.Select:
    tree = exp.select(exp.alias_(call("GL_MAX", instant_column), "newest")).from_(scan(dataset, window))
    return tree.where(conditions.within_windows(instant_column, (window,)))


def _imbalance(entry: Mapping[str, Any], rows: int) -> Imbalance:
    received, stored, duplicates, rejected = (entry[name] for name in _COUNTS)
    return Imbalance(entry["batch_id"], received, stored, duplicates, rejected, rows)


def _with_entry_in(dataset: Dataset, window: Window) -> exp.Expr:
    ids = exp.select(column("batch_id")).from_(scan(BATCHES.name, window))
    ids = ids.where(conditions.within_windows("created_at", (window,)), _is_of(dataset))
    return exp.In(this=column("batch_id"), query=exp.Subquery(this=ids))


def _is_one_of(batches: Sequence[str]) -> exp.Expr:
    return exp.In(this=column("batch_id"), expressions=[text(batch) for batch in batches])


def _is_of(dataset: Dataset) -> exp.Expr:
    return exp.EQ(this=column("dataset"), expression=text(dataset.name))


def _entries(dataset: Dataset, which: exp.Expr) -> exp.Select:
    """One line per batch: the sums of its entries, and how many of them do not add up."""
    accounted = exp.Add(
        this=exp.Add(this=column("stored"), expression=column("duplicates")), expression=column("rejected")
    )
    unbalanced = call("GL_COUNT_IF", exp.NEQ(this=column("received"), expression=accounted))
    # Sums have names of their own: `stored` would be a column and a sum at once.
    sums = exp.select(
        column("batch_id"),
        *(exp.alias_(call("GL_SUM_INT", name), f"m_{name}") for name in _COUNTS),
        exp.alias_(unbalanced, "unbalanced"),
    )
    sums = sums.from_(scan(BATCHES.name, Window())).where(_is_of(dataset), which).group_by(column("batch_id"))
    named = [exp.alias_(exp.column(f"m_{name}"), name) for name in _COUNTS]
    return exp.select(column("batch_id"), *named, exp.column("unbalanced")).from_(sums.subquery("sums"))


def _rows_of_batches(dataset: Dataset, window: Window) -> exp.Select:
    """How many rows carry each batch id, of the batches with an entry in the window or rows loaded in it."""
    batch = exp.Coalesce(this=column("batch_id"), expressions=[text("")])
    tree = exp.select(exp.alias_(batch, "batch"), exp.alias_(call("GL_COUNT"), "rows")).from_(
        scan(dataset.name, Window())
    )
    loaded = conditions.within_windows("ingested_at", (window,)) if dataset.has_column("ingested_at") else exp.false()
    return tree.where(exp.or_(_with_entry_in(dataset, window), loaded)).group_by(exp.column("batch"))
