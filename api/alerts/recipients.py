"""Who is told of a crossed limit. Source: dataplane contract 7.2 "recipients", seed 1.8.0."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.alerts.rows import Destination
from api.alerts.writing import pieces
from api.api_keys.rows import ApiKey
from api.limits.machine import Crossing
from api.organisations.rows import Organisation
from api.users.rows import OrganisationMember, User
from api.workspaces.rows import WorkspaceMember

ACTIVE = "active"
OVER_ALL = ("owner", "admin")
LEADERS = ("admin", "manager")


@dataclass(frozen=True, slots=True)
class KeyPeople:
    """What a key says of who is told."""

    type: str
    concerned: frozenset[str]
    alert_emails: tuple[str, ...]


class Audience:
    """Who hears of what, looked up once for many crossings."""

    def __init__(self, session: Session, crossings: Sequence[Crossing]) -> None:
        self._session = session
        self._names: dict[str, str] = {}
        self._leaders: dict[tuple[str, str | None], dict[str, str]] = {}
        self._destinations: dict[str, list[tuple[str, str | None, str]]] = {}
        self._keys = self._keys_of({one.entity_id for one in crossings if one.entity_type == "api_key"})
        concerned = {user for key in self._keys.values() for user in key.concerned}
        self._people = self._people_of(concerned)

    def organisation_name(self, organisation_id: str) -> str:
        """What the organisation is called."""
        if organisation_id not in self._names:
            name = self._session.scalar(select(Organisation.name).where(Organisation.id == organisation_id))
            self._names[organisation_id] = name or ""
        return self._names[organisation_id]

    def key_type(self, crossing: Crossing) -> str:
        """The kind of the key that a crossing is about; blank when it is about none."""
        key = self._keys.get(crossing.entity_id) if crossing.entity_type == "api_key" else None
        return key.type if key else ""

    def mails(self, crossing: Crossing) -> Mapping[str, str]:
        """Address → first name, each once.

        Of policies nobody is mailed: one may have a counter for every user. Source: dataplane contract 7.2.
        """
        if crossing.entity_type == "policy":
            return {}
        found = dict(self._leaders_of(crossing.organisation_id, crossing.workspace_id))
        key = self._keys.get(crossing.entity_id) if crossing.entity_type == "api_key" else None
        if key is None:
            return found
        for user_id in sorted(key.concerned):
            found |= self._people.get((crossing.organisation_id, user_id), {})
        return dict.fromkeys(key.alert_emails, "") | found

    def destinations(self, crossing: Crossing) -> Iterator[tuple[str, str]]:
        """Id and channel of each webhook of the organisation, and of the workspace it happened in."""
        for id_, workspace_id, channel in self._destinations_of(crossing.organisation_id):
            if workspace_id is None or workspace_id == crossing.workspace_id:
                yield id_, channel

    def _leaders_of(self, organisation_id: str, workspace_id: str | None) -> dict[str, str]:
        place = (organisation_id, workspace_id)
        if place not in self._leaders:
            leads = select(WorkspaceMember.user_id).where(
                WorkspaceMember.workspace_id == workspace_id, WorkspaceMember.role.in_(LEADERS)
            )
            query = _members().where(
                OrganisationMember.organisation_id == organisation_id,
                OrganisationMember.role.in_(OVER_ALL) | User.id.in_(leads),
            )
            self._leaders[place] = {row.email: row.first_name for row in self._session.execute(query)}
        return self._leaders[place]

    def _keys_of(self, ids: Collection[str]) -> dict[str, KeyPeople]:
        columns = (ApiKey.id, ApiKey.type, ApiKey.user_id, ApiKey.created_by, ApiKey.alert_emails)
        found: dict[str, KeyPeople] = {}
        for some in pieces(sorted(ids)):
            for row in self._session.execute(select(*columns).where(ApiKey.id.in_(some))):
                concerned = frozenset(one for one in (row.user_id, row.created_by) if one)
                found[row.id] = KeyPeople(row.type, concerned, tuple(row.alert_emails or ()))
        return found

    def _people_of(self, users: Collection[str]) -> dict[tuple[str, str], dict[str, str]]:
        """Organisation and user → address and first name, of those who are members still."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for some in pieces(sorted(users)):
            for row in self._session.execute(_members().where(User.id.in_(some))):
                found[row.organisation_id, row.id] = {row.email: row.first_name}
        return found

    def _destinations_of(self, organisation_id: str) -> list[tuple[str, str | None, str]]:
        if organisation_id not in self._destinations:
            columns = (Destination.id, Destination.workspace_id, Destination.channel)
            query = select(*columns).where(Destination.organisation_id == organisation_id).order_by(Destination.id)
            self._destinations[organisation_id] = [
                (row.id, row.workspace_id, row.channel) for row in self._session.execute(query)
            ]
        return self._destinations[organisation_id]


def _members() -> Any:
    return (
        select(OrganisationMember.organisation_id, User.id, User.email, User.first_name)
        .join(OrganisationMember, OrganisationMember.user_id == User.id)
        .where(OrganisationMember.status == ACTIVE)
    )
