"""What an operator sees beside a materialization."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from api.api_keys.upkeep import KeyNote, Upkeep
from api.limits.counting import Refreshed
from api.limits.listing import Shown
from warehouse.ingest.daily import DayInventory
from warehouse.ingest.load import LoadReport
from warehouse.pricing.book import PriceBook
from warehouse.query.checks import Conservation, Freshness, UnpricedShare
from warehouse.reprice.run import RepriceReport
from warehouse.rollups import Difference

Metadata = Mapping[str, Any]
SHOWN = 20
"""How many of a list an operator is shown."""


def describe_book(book: PriceBook) -> Metadata:
    """Providers, models and prices in force, and what could not be used."""
    prices = Counter(row.provider for row in book.rows())
    problems = book.problems()
    return {
        "providers": len(prices),
        "prices": sum(prices.values()),
        "problems": len(problems),
        "problem list": dg.MetadataValue.md("\n".join(f"- {problem}" for problem in problems) or "none"),
        "prices by provider": dg.MetadataValue.json(dict(prices)),
    }


def describe_inventory(found: DayInventory) -> Metadata:
    """Objects and bytes of a day, and how many are new."""
    return {
        "objects": found.objects,
        "bytes": found.size_bytes,
        "new objects": found.new_objects,
        "new bytes": found.new_bytes,
    }


def describe_load(report: LoadReport) -> Metadata:
    """The books of a load, why records were rejected, and where those lie."""
    metadata: dict[str, Any] = {
        "dagster/row_count": report.stored,
        **report.counts,
        "seconds": round(report.seconds, 3),
        "rows per second": round(report.received / report.seconds) if report.seconds else 0,
    }
    if report.rejected:
        metadata["reasons"] = dg.MetadataValue.json(dict(report.reasons))
        metadata["quarantine"] = dg.MetadataValue.path(str(report.quarantine))
    return metadata


def describe_repricing(found: RepriceReport) -> Metadata:
    """What a re-pricing changed, in sum and by workspace and model."""
    rows = [
        f"| {one.workspace} | {one.provider} | {one.model} | {one.rows} | {one.old_cost:f} | {one.new_cost:f} "
        f"| {one.difference:f} |"
        for one in found.differences[:SHOWN]
    ]
    head = ["| workspace | provider | model | rows | old cents | new cents | difference |", "|---" * 7 + "|"]
    return {
        "re-pricing": found.reprice_id,
        "requests": found.rows,
        "corrections": found.corrections,
        "written": not found.is_dry,
        "settled from an earlier run": found.settled,
        "old cents": f"{found.old_cost:f}",
        "new cents": f"{found.new_cost:f}",
        "differences": dg.MetadataValue.md("\n".join([*head, *rows])),
    }


def describe_key_upkeep(done: Upkeep) -> Metadata:
    """Which API keys expired and which have a new secret."""
    return {
        "expired": len(done.expired),
        "expired keys": _keys(done.expired, "expired at"),
        "rotated": len(done.rotated),
        "rotated keys": _keys(done.rotated, "earlier secret until"),
        "earlier secrets forgotten": done.forgotten,
    }


def describe_limits(done: Refreshed) -> Metadata:
    """How many limits were counted, which started anew and which were crossed."""
    restarts = (
        f"| {one.entity_type} | {one.entity_id} | {one.organisation_id} | {one.schedule} | {one.at.isoformat()} "
        f"| {one.used:f} {one.type} | {one.next_reset_at and one.next_reset_at.isoformat()} |"
        for one in done.restarts[:SHOWN]
    )
    crossings = (
        f"| {one.entity_type} | {_cell(one.entity_name)} | {one.entity_id} | {one.organisation_id} | {one.kind} "
        f"| {one.usage:f} of {one.credit_limit:f} {one.type} |"
        for one in done.crossings[:SHOWN]
    )
    heads = (
        "| entity | id | organisation | schedule | since | used before | next reset |",
        "| entity | name | id | organisation | crossed | usage |",
    )
    tables = [
        dg.MetadataValue.md("\n".join([head, "|---" * (head.count("|") - 1) + "|", *lines]))
        for head, lines in zip(heads, (restarts, crossings), strict=True)
    ]
    return {
        "limits": done.limits,
        "changed": done.changed,
        "started anew": len(done.restarts),
        "limits that started anew": tables[0],
        "crossed": len(done.crossings),
        "limits that were crossed": tables[1],
    }


def describe_reset(limits: Sequence[Shown]) -> Metadata:
    """Which limits were reset by hand."""
    return {"limits": len(limits)} | {
        f"{one.entity_type} {one.entity_id} {one.type}": f"until {one.next_reset_at or 'it is reset by hand'}"
        for one in limits[:SHOWN]
    }


def _keys(notes: Sequence[KeyNote], at: str) -> dg.MarkdownMetadataValue:
    columns = f"| name | key | type | id | organisation | {at} |\n|---|---|---|---|---|---|\n"
    lines = (
        f"| {_cell(one.name)} | {one.mask} | {one.type} | {one.id} | {one.organisation_id} | {one.at.isoformat()} |"
        for one in notes[:SHOWN]
    )
    return dg.MetadataValue.md(columns + "\n".join(lines) if notes else "none")


def describe_rollups(built: Mapping[str, int], name: str) -> Metadata:
    """How many days of a rollup were rebuilt."""
    return {"days rebuilt": built.get(name, 0)}


def describe_books(found: Conservation) -> Metadata:
    """The sums of the books, and the batches that do not add up."""
    return {
        "batches": found.batches,
        "received": found.received,
        "stored": found.stored,
        "duplicates": found.duplicates,
        "rejected": found.rejected,
        "imbalances": dg.MetadataValue.json([asdict(imbalance) for imbalance in found.imbalances[:SHOWN]]),
    }


def describe_unpriced(found: UnpricedShare) -> Metadata:
    """How many requests and tokens have no cost, why, and which models to price first."""
    columns = "| provider | model | reason | requests | tokens | at risk, cents |\n|---|---|---|--:|--:|--:|\n"
    lines = (
        f"| {_cell(one.ai_org)} | {_cell(one.ai_model)} | {one.reason} | {one.requests} | {one.tokens} | "
        f"{'unknown' if one.spend_at_risk is None else f'{one.spend_at_risk:,.2f}'} |"
        for one in found.worst[:SHOWN]
    )
    return {
        "requests": found.requests,
        "unpriced": found.unpriced,
        "share": found.share,
        "tokens": found.tokens,
        "unpriced tokens": found.unpriced_tokens,
        "share of tokens": found.token_share,
        "reasons": dg.MetadataValue.json(dict(found.reasons)),
        "worst models": dg.MetadataValue.md(columns + "\n".join(lines)),
    }


def _cell(text: str) -> str:
    """A name from a log record as text within a table."""
    return text.replace("|", "\\|").replace("\n", " ") or "(none)"


def describe_freshness(found: Freshness) -> Metadata:
    """When the newest request was made and the newest batch loaded."""
    return {
        "newest request": str(found.last_request_at or "none"),
        "newest batch": str(found.last_batch_at or "none"),
        "age": str(found.age or "none"),
    }


def describe_differences(found: Sequence[Difference]) -> Metadata:
    """The days whose sums are not those of the rows."""
    return {
        "days that differ": len(found),
        "days": dg.MetadataValue.json([str(difference.day) for difference in found[:SHOWN]]),
    }
