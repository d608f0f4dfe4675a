"""What has to hold in the warehouse, looked at after every run and shown beside the assets."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from pipelines.assets.generations import generations
from pipelines.metadata import SHOWN, describe_books, describe_differences, describe_freshness, describe_unpriced
from pipelines.resources import LOOKBACK, Ledger
from warehouse.catalog.rated import DERIVED
from warehouse.engines.base import Window
from warehouse.query.checks import conservation, freshness, unpriced_share
from warehouse.rollups import check_rollups

STALE_AFTER = timedelta(hours=26)


@dg.asset_check(
    asset=generations, blocking=True, description="received = stored + duplicates + rejected, and the rows are there."
)
def books_balance(ledger: Ledger) -> dg.AssetCheckResult:
    """Every batch of the books adds up, and as many rows carry its id as it says it stored."""
    found = conservation(ledger.engine(), Window())
    return dg.AssetCheckResult(passed=found.is_kept, metadata=describe_books(found))


@dg.asset_check(
    asset=generations,
    description="Few requests and few tokens have no cost (GATELEDGER_UNPRICED_REQUESTS_LIMIT, …_TOKENS_LIMIT).",
)
def unpriced_rows(ledger: Ledger) -> dg.AssetCheckResult:
    """The share of requests and of tokens without a cost over the last weeks, by reason, with the worst models."""
    now, limits = ledger.now(), ledger.unpriced_limits()
    found = unpriced_share(ledger.engine(), Window(now - LOOKBACK, now), worst=SHOWN)
    passed = found.share <= limits.requests and found.token_share <= limits.tokens
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=describe_unpriced(found))


@dg.asset_check(asset=generations, description="Rows keep coming.")
def rows_are_fresh(ledger: Ledger) -> dg.AssetCheckResult:
    """The newest row is not older than a day and a bit."""
    found = freshness(ledger.engine(), ledger.now())
    passed = found.age is not None and found.age <= STALE_AFTER
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=describe_freshness(found))


@dg.multi_asset_check(specs=[dg.AssetCheckSpec("equals_rows", asset=rollup.name) for rollup in DERIVED.values()])
def rollups_equal_rows(ledger: Ledger) -> Iterator[dg.AssetCheckResult]:
    """What is derived of the last weeks is what the rows make."""
    now = ledger.now()
    differences = check_rollups(ledger.engine(), Window(now - LOOKBACK, now))
    for rollup in DERIVED.values():
        wrong = [difference for difference in differences if difference.rollup == rollup.name]
        yield dg.AssetCheckResult(
            asset_key=rollup.name, check_name="equals_rows", passed=not wrong, metadata=describe_differences(wrong)
        )
