"""The requests whose trace has feedback, apart from all others: a narrow copy of their rows, made day by day.

What is said of a trace is not in it: a question sums that from the feedbacks themselves.
"""

import hashlib
from dataclasses import dataclass, replace

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind, Origin, Unit
from warehouse.catalog.rollups import ROLLUP_OF, SOURCE_VERSION, Rollup

LEAST_REQUESTS = 8
"""The rated requests of an organisation's day are kept where the day has at least so many requests for each of them."""
_SINCE = 9
_COPIED = (
    *("organisation_id", "created_at", "workspace_slug", "user_id", "api_key_id", "ai_org", "ai_model"),
    *("virtual_key", "config", "prompt_slug", "response_status_code", "cache_status", "retry_success_count"),
    *("trace_id", "metadata.key", "metadata.value", "_user", "req_units", "res_units", "total_units"),
    *("cost", "cost_source", "unpriced_reason"),
)
"""Everything that a scope, a group or a filter reads, but for the span: who names one asks for a single request."""


@dataclass(frozen=True, slots=True)
class Rated:
    """The derived dataset of the rows of `of` whose trace is in `through`.

    A line is a row, but for one line of each organisation and day, which has no trace: it counts the organisation's
    requests in the column of `of.count`, as 0 where its rated ones are not kept. So a day with rows always has lines.
    """

    dataset: Dataset
    of: Dataset
    through: Dataset

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def copied(self) -> tuple[str, ...]:
        """The columns that a line has of its row."""
        return _COPIED

    def label_of(self, fingerprint: str, looked_into: str) -> str:
        """What a day that is made now is labelled with: its rows' fingerprint, the feedbacks' version, and the rule.

        Any new feedback makes every day stale: it may be on a trace of any day.
        """
        rule = hashlib.sha256("\n".join((str(LEAST_REQUESTS), *_COPIED)).encode()).hexdigest()[:12]
        return f"{fingerprint}/{looked_into}/{rule}"


def _copied(name: str) -> Column:
    of = GENERATIONS.column(name)
    return replace(of, since=max(of.since, _SINCE))


_COUNT = Column(
    GENERATIONS.count.name,
    Kind.INTEGER,
    "On the line without a trace: requests of the organisation's day; 0 where its rated ones are not kept.",
    Unit.REQUESTS,
    Origin.GATELEDGER,
    _SINCE,
)

RATED = Rated(
    Dataset(
        name="rated_requests",
        description="Requests whose trace has feedback, and one line for each organisation and day.",
        columns=(
            Column("day", Kind.DATE, "UTC day.", Unit.UTC, Origin.GATELEDGER, _SINCE),
            *map(_copied, _COPIED),
            _COUNT,
            Column(
                SOURCE_VERSION,
                Kind.TEXT,
                "Fingerprint of the day's rows that were looked through, and of the feedbacks.",
                origin=Origin.GATELEDGER,
                since=_SINCE,
            ),
        ),
        sort_by=("organisation_id", "workspace_slug", "created_at"),
        time_column="day",
        id_column=None,
        holds_rows=True,
    ),
    GENERATIONS,
    FEEDBACKS,
)

Derived = Rollup | Rated
DERIVED: dict[str, Derived] = {**ROLLUP_OF, RATED.name: RATED}
"""Every dataset that is made of the rows, day by day."""
