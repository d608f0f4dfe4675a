"""What is to be told, written down in the transaction that caused it; `delivery` sends it after the commit.

Ids are made from what a message is about, so that the same alert handed over twice is there once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid5

import orjson
from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from api.alerts import wording
from api.alerts.recipients import Audience
from api.alerts.rows import Alert, Channel, Message, Status
from api.alerts.writing import add_missing, pieces
from api.identifiers import new_id
from api.limits.machine import Crossing
from api.mail.templates import Template
from api.sealing import sealer_of

INFO = "outgoing"
"""Key of `Outgoing` in `Session.info`."""
OPERATOR = "operator"
"""The destination that the environment names."""
_NAMESPACE = UUID("5b6f0a52-7f0c-4f39-9c43-6d0e8f6a1b77")
_ALERTS, _MESSAGES = cast("Table", Alert.__table__), cast("Table", Message.__table__)
_LONGEST_NAME = 1000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Which ways out this installation has."""

    mails: bool = True
    operator_channels: tuple[Channel, ...] = ()
    """Webhooks that the environment names: they hear of every organisation."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one person. `secrets` are values too, kept encrypted until it has left."""

    organisation_id: str
    template: Template
    to: str
    values: Mapping[str, str]
    secrets: Mapping[str, str] | None = None
    workspace_id: str | None = None


def enqueue(session: Session, crossings: Sequence[Crossing], now: datetime) -> int:
    """How many of these crossings are new; each is told once to everybody concerned, and to the audit log.

    It belongs in the transaction that says that the alert was sent: both are there, or none of them.
    """
    wanted = {alert_id(crossing): crossing for crossing in crossings}
    for some in pieces(sorted(wanted)):
        for known in session.scalars(select(Alert.id).where(Alert.id.in_(some))):
            wanted.pop(known)
    if not wanted:
        return 0
    add_missing(session, _ALERTS, [_alert(id_, crossing, now) for id_, crossing in wanted.items()])
    audience, ways = Audience(session, list(wanted.values())), outgoing_of(session)
    messages = [
        message for id_, crossing in wanted.items() for message in _messages(_About(crossing, id_, audience, ways, now))
    ]
    add_missing(session, _MESSAGES, messages)
    return len(wanted)


def post(session: Session, letter: Letter, now: datetime) -> None:
    """A mail that leaves once this transaction is committed; nothing where mail is off."""
    if not outgoing_of(session).mails:
        return
    message = _waiting(letter.organisation_id, letter.workspace_id, now)
    message |= {"id": new_id(), "channel": Channel.MAIL.value, "recipient": letter.to}
    message |= {"template": letter.template.value, "payload": dict(letter.values)}
    if letter.secrets:
        message["sealed"] = sealer_of(session).seal(orjson.dumps(letter.secrets).decode(), message["id"])
    add_missing(session, _MESSAGES, [message])


def withdraw(session: Session, organisation_id: str, template: Template, to: str, now: datetime) -> int:
    """How many mails of this kind to this person had not left, and will not: what they say is no longer so.

    One that is on its way out this moment may still arrive, but is not tried again.
    """
    unsent = (Status.WAITING.value, Status.DEAD.value)
    waiting = (
        update(_MESSAGES)
        .where(_MESSAGES.c.status.in_(unsent), _MESSAGES.c.organisation_id == organisation_id)
        .where(_MESSAGES.c.channel == Channel.MAIL.value, _MESSAGES.c.template == template.value)
        .where(_MESSAGES.c.recipient == to)
    )
    gone = {"status": Status.SKIPPED.value, "lease": None, "sealed": None, "finished_at": now}
    return session.connection().execute(waiting.values(**gone, last_error="withdrawn")).rowcount


def alert_id(crossing: Crossing) -> str:
    """The id of the alert about this crossing: always the same, and of no other one."""
    return str(uuid5(_NAMESPACE, f"{crossing.organisation_id}\n{crossing.entity_type}\n{crossing.key}"))


def outgoing_of(session: Session) -> Outgoing:
    """Which ways out there are; by mail only, for a session that no entry point opened."""
    found = session.info.get(INFO)
    return found if isinstance(found, Outgoing) else Outgoing()


@dataclass(frozen=True, slots=True)
class _About:
    """What the messages of one alert are made from."""

    crossing: Crossing
    alert_id: str
    audience: Audience
    ways: Outgoing
    now: datetime


def _alert(id_: str, crossing: Crossing, now: datetime) -> dict[str, Any]:
    names = ("organisation_id", "workspace_id", "entity_type", "entity_id", "value_key", "limit_id", "kind", "type")
    amounts = ("usage", "credit_limit", "alert_threshold", "period_started_at")
    told = {name: getattr(crossing, name) for name in (*names, *amounts)}
    return {"id": id_, **told, "entity_name": crossing.entity_name[:_LONGEST_NAME], "created_at": now}


def _messages(about: _About) -> list[dict[str, Any]]:
    crossing, audience = about.crossing, about.audience
    organisation = audience.organisation_name(crossing.organisation_id)
    trail = {
        "resource_type": _RESOURCES.get(crossing.entity_type, crossing.entity_type),
        "resource_id": crossing.entity_id,
        "reason": wording.reason(crossing),
    }
    made = [_message(about, Channel.AUDIT, "", "crossing", trail)]
    people = audience.mails(crossing) if about.ways.mails else {}
    if people:
        template = wording.template_of(crossing).value
        values = wording.mail_values(crossing, organisation, audience.key_type(crossing))
        made += [
            _message(about, Channel.MAIL, address, template, {**values, "userName": name})
            for address, name in people.items()
        ]
    hooks = [(OPERATOR, channel.value) for channel in about.ways.operator_channels]
    for destination, channel in (*hooks, *audience.destinations(crossing)):
        if channel == Channel.SLACK:
            body = wording.slack(crossing, organisation)
        else:
            body = wording.event(crossing, about.alert_id, organisation, about.now)
        made.append(_message(about, Channel(channel), destination, f"usage_limit.{crossing.kind}", body))
    return made


_RESOURCES: Mapping[str, str] = {
    "api_key": "api_keys",
    "workspace": "workspaces",
    "virtual_key": "model_catalog",
    "integration_workspace": "integrations",
    "policy": "policies",
}
"""Entity → resource type of its audit records. Source: `api.audit.RESOURCE_TYPES`."""


def _message(
    about: _About, channel: Channel, recipient: str, template: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    message = _waiting(about.crossing.organisation_id, about.crossing.workspace_id, about.now)
    id_ = str(uuid5(UUID(about.alert_id), f"{channel.value}\n{recipient}"))
    said = {"channel": channel.value, "recipient": recipient, "template": template, "payload": dict(payload)}
    return {**message, **said, "id": id_, "alert_id": about.alert_id}


def _waiting(organisation_id: str, workspace_id: str | None, now: datetime) -> dict[str, Any]:
    return {
        "organisation_id": organisation_id,
        "workspace_id": workspace_id,
        "alert_id": None,
        "sealed": None,
        "status": Status.WAITING.value,
        "attempts": 0,
        "next_try_at": now,
        "lease": None,
        "last_error": None,
        "created_at": now,
        "finished_at": None,
    }
