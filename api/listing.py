"""Lists of the administration: pages of 100, counted before paging, filters that say what they allow.

Source: controlplane contract 0.4.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, TypeVarTuple

from fastapi import Query
from pydantic import AfterValidator
from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from api.errors import InvalidRequest
from api.paging import Page, paged
from api.text import one_line

PAGE_SIZE = 100
LARGEST_PAGE = 1000

Columns = TypeVarTuple("Columns")

AdminPage = Annotated[Page, paged(default=PAGE_SIZE, largest=LARGEST_PAGE)]
"""A page of a list, in both spellings."""
Filter = Annotated[str | None, Query(max_length=320), AfterValidator(lambda text: text and one_line(text))]
"""A filter; blank is none."""


def page_of(session: Session, query: Select[*Columns], page: Page) -> tuple[Sequence[Row[*Columns]], int]:
    """The rows of one page of an ordered query, and how many there are on all pages."""
    total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    rows = session.execute(query.offset(page.offset).limit(page.size)).all() if page.size else []
    return rows, total


def one_of(name: str, value: str | None, allowed: Collection[str]) -> str | None:
    """The value of a filter, None when it is blank. Raises: InvalidRequest."""
    text = (value or "").strip()
    if not text:
        return None
    if text not in allowed:
        raise InvalidRequest(f"{name}: '{text[:60]}' is not one of {', '.join(allowed)}")
    return text


def some_of(name: str, value: str | None, allowed: Collection[str]) -> tuple[str, ...]:
    """The values of a comma-separated filter, none when it is blank. Raises: InvalidRequest."""
    named = [one_of(name, part, allowed) for part in (value or "").split(",")]
    return tuple(dict.fromkeys(part for part in named if part is not None))
