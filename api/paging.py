"""Pages of a list: 0-based, both spellings, one envelope. Source: dataplane contract 1.4, controlplane contract 0.4."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from api.errors import InvalidRequest

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 100
_LARGEST_PAGE_NUMBER = 1_000_000_000
_MOST_DIGITS = 20
"""Leading zeros are allowed, but not a number so long that reading it takes time or fails."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page:
    """One page: `number` counts from 0."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return self.number * self.size


class ListAnswer(BaseModel, Generic[Item]):
    """The envelope of every list. `total` counts all pages."""

    object: str = "list"
    total: int | None
    data: Sequence[Item]


def parse_page(
    number: str | None, size: str | None, *, default: int = DEFAULT_PAGE_SIZE, largest: int = LARGEST_PAGE_SIZE
) -> Page:
    """The page that a caller asks for; blank means the default. Raises: InvalidRequest."""
    return Page(
        _whole("current_page", number, 0, _LARGEST_PAGE_NUMBER),
        _whole("page_size", size, default, largest),
    )


def _whole(name: str, value: str | None, default: int, largest: int) -> int:
    text = (value or "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS or int(text) > largest:
        raise InvalidRequest(f"{name}: '{text[:40]}' is not a whole number from 0 to {largest}")
    return int(text)


def paged(*, default: int = DEFAULT_PAGE_SIZE, largest: int = LARGEST_PAGE_SIZE) -> Any:
    """For a handler's signature: `page: Annotated[Page, paged()]`."""

    async def page(
        request: Request,
        current_page: Annotated[str | None, Query(description="Page, from 0.")] = None,
        page_size: Annotated[str | None, Query(description=f"Rows of a page, at most {largest}.")] = None,
    ) -> Page:
        query = request.query_params
        return parse_page(
            current_page or query.get("currentPage"),
            page_size or query.get("pageSize"),
            default=default,
            largest=largest,
        )

    return Depends(page)
