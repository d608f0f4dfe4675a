"""What `gateledger query` does once its words are read: ask, and write the answer."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson
from starlette.datastructures import QueryParams

from api.analytics.parameters import parse_groups
from api.analytics.selection import check_known
from api.cli.local import Local
from api.cli.output import print_rows, stderr
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.registry import filter_
from warehouse.errors import InvalidInput
from warehouse.query.export import Format, records
from warehouse.query.export import write as export
from warehouse.query.run import GroupedAnswer, run_grouped
from warehouse.query.scope import TenantScope

TABLE, JSON, PARQUET = "table", "json", "parquet"


def answer(
    first: str, parameters: Sequence[tuple[str, str]], filters: Iterable[str], limit: int | None
) -> GroupedAnswer:
    """The groups of a question over the whole organisation. Raises: InvalidInput, UnknownName, NotFound."""
    request = parse_groups(first, QueryParams([*parameters, *_filters(filters)]))
    check_known(request.as_known_at, datetime.now(UTC))
    local = Local()
    scope = TenantScope(local.ownership().organisation_id)
    if request.workspaces:
        scope = scope.narrowed(local.workspace_slugs(request.workspaces))
    return run_grouped(local.engine, replace(request.within(scope), limit=limit, offset=0))


def write(answer: GroupedAnswer, format_: str, output: Path | None) -> None:
    """The answer on stdout or in a file. Raises: InvalidInput when a binary format would land on a terminal."""
    if format_ == TABLE:
        if output is not None:
            raise InvalidInput("-o needs --format json, csv or parquet")
        print_rows("", answer.rows.to_pylist(), answer.rows.column_names)
        stderr.print(f"{answer.total:,} groups; cost in US cents", highlight=False)
        return
    if format_ == PARQUET and output is None and sys.stdout.isatty():
        raise InvalidInput("Parquet is not for a terminal; name a file with -o")
    if output is None:
        _export(answer, format_, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with output.open("wb") as file:
        _export(answer, format_, file)
    stderr.print(f"{answer.rows.num_rows:,} groups written to {output}", highlight=False)


def _export(answer: GroupedAnswer, format_: str, to: BinaryIO) -> None:
    if format_ == JSON:
        envelope = {"object": "list", "total": answer.total, "data": records(answer.rows)}
        to.write(orjson.dumps(envelope, option=orjson.OPT_APPEND_NEWLINE))
    else:
        export(answer.rows, Format(format_), to)


def _filters(given: Iterable[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"--filter takes NAME=VALUE, not '{text}'")
        if name.strip() != "workspace_slug":
            filter_(GENERATIONS, name.strip())
        pairs.append((name.strip(), value))
    return pairs
