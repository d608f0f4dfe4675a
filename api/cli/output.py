"""How the command line prints: tables for people, one JSON object for programs, notes and bars on stderr."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

WHOLE_FROM = 1000
"""A table shows larger numbers without decimals; --json, CSV and Parquet have all digits."""

stderr = Console(stderr=True)
stdout = Console()


def print_json(value: Mapping[str, object]) -> None:
    """Exactly one JSON object and a line end on stdout."""
    sys.stdout.buffer.write(orjson.dumps(value, default=_plain) + b"\n")
    sys.stdout.flush()


def print_fields(title: str, fields: Mapping[str, object]) -> None:
    """A two-column table of names and values on stdout."""
    table = Table(title=title or None, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name, "" if value is None else str(value))
    stdout.print(table)


def print_rows(title: str, rows: list[dict[str, object]], names: list[str]) -> None:
    """A table of rows on stdout; numbers to the right."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        numeric = any(isinstance(row.get(name), int | float | Decimal) for row in rows)
        # A word of the name a line keeps columns of numbers narrow.
        heading = name.replace("_", "\n")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    stdout.print(table)


@contextmanager
def progress_bar(description: str) -> Generator["ProgressLine"]:
    """A bar on stderr while a terminal watches; silent otherwise."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    ) as progress:
        yield ProgressLine(progress, description)


class ProgressLine:
    """One line of a progress bar."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=None, detail="")

    def update(self, completed: float, total: float | None, detail: str) -> None:
        self._progress.update(self._task, completed=completed, total=total, detail=detail)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Decimal):
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:,.4f}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= WHOLE_FROM else f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return str(value)
