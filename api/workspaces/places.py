"""Which workspace a reference means, and who may ask about it: remembered, for most questions begin with it.

What is remembered differs by the statuses that count and by whether the caller is an administrator.
Source: controlplane contract 1.2 and its seed table 1.11.2.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.caching import Cache, Shared
from api.db import Database
from api.errors import Forbidden
from api.workspaces import service as workspaces
from api.workspaces.rows import ARCHIVED

INFO = "places"
"""Where a session has the `Places` of its process, in `Session.info`."""
IN_USE = ("active", "exhausted")
LONGEST_REFERENCE = 255


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace as far as a question needs to know it."""

    organisation_id: str
    slug: str
    status: str


class Places:
    """Workspaces by reference. Only what exists and is allowed is remembered."""

    def __init__(self, database: Database, *, ttl_s: float, shared: Shared | None = None) -> None:
        self._database = database
        self._known = Cache("place", Place, lambda place: place.organisation_id, ttl_s=ttl_s, shared=shared)

    def forget(self, organisation_id: str) -> None:
        """Drop what is remembered of an organisation. Commits do so by themselves."""
        self._known.forget(organisation_id)

    def of(self, organisation_id: str, reference: str, statuses: Collection[str], *, is_admin: bool) -> Place:
        """The workspace that a caller of this kind means. Raises: Forbidden."""
        key = f"{organisation_id}:{','.join(sorted(statuses))}:{'admin' if is_admin else 'other'}:{reference}"

        def read() -> Place:
            # A transaction of its own: that of the request may see what was, and would have it remembered.
            with self._database.transaction(writes=False) as session:
                return looked_up(session, organisation_id, reference, statuses)

        return self._known.get(key) or self._known.load(key, read)


def place_of(session: Session, organisation_id: str, reference: str, *, is_admin: bool) -> Place:
    """The workspace of the organisation with that slug or UUID; archived ones are for administrators.

    Raises: Forbidden when there is none for this caller.
    """
    if len(reference) > LONGEST_REFERENCE:
        raise Forbidden
    statuses = (*IN_USE, ARCHIVED) if is_admin else IN_USE
    places: Places | None = session.info.get(INFO)
    if places is None:
        return looked_up(session, organisation_id, reference, statuses)
    return places.of(organisation_id, reference, statuses, is_admin=is_admin)


def looked_up(session: Session, organisation_id: str, reference: str, statuses: Collection[str]) -> Place:
    """The same by the database. Raises: Forbidden."""
    found = workspaces.find(session, organisation_id, reference)
    if found.status not in statuses:
        raise Forbidden
    return Place(found.organisation_id, found.slug, found.status)
