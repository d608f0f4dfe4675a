"""Giving feedback and changing it: onto the disk first, into the warehouse a moment later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy.orm import Session
from sqlglot import exp

from api.errors import InvalidRequest, NotFound
from api.feedback.schemas import ChangedFeedback, NewFeedback, wire_metadata
from api.identifiers import new_id
from api.principal import Principal
from api.services import Services
from api.tenancy import scope_of
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import column
from warehouse.engines.base import Window, scan
from warehouse.ingest.feedback_updates import KIND, FeedbackUpdate
from warehouse.ingest.fields import parse_object
from warehouse.ingest.formats.spool import SpooledRecord, spooled_records
from warehouse.ingest.kept_objects import instant_of
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.records import BadRecord
from warehouse.query.conditions import is_one_of, to_millisecond, within_scope
from warehouse.query.scope import TenantScope

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Found:
    """A feedback that the caller may change."""

    created_at: datetime
    updated_at: datetime | None


def give(
    services: Services, session: Session, principal: Principal, feedbacks: Sequence[NewFeedback], now: datetime
) -> list[str]:
    """The ids of the feedbacks in the order sent; they are durable when this returns. Raises: InvalidRequest."""
    owner = services.owners.of(session, principal)
    records = [_record(feedback, principal, owner, now) for feedback in feedbacks]
    return services.spool.append("feedbacks", records, owner)


def change(
    services: Services,
    session: Session,
    principal: Principal,
    feedback_id: str,
    wanted: ChangedFeedback,
    now: datetime,
) -> str:
    """The id of the feedback, whose change is durable when this returns. Raises: NotFound, InvalidRequest."""
    if not services.engine.rewrites:
        raise InvalidRequest(
            "Feedback cannot be changed in this installation: its warehouse is a replicated or sharded ClickHouse, "
            "where stored rows stay as they are. Give the trace another feedback instead."
        )
    scope = scope_of(session, principal, (), services.settings.admin_key_scope)
    found = _find(services, scope, feedback_id)
    if found is None:
        raise NotFound(f"There is no feedback {feedback_id[:60]}")
    at = to_millisecond(now)
    if found.updated_at is not None:
        at = max(at, found.updated_at + _MILLISECOND)
    metadata = None if wanted.metadata is None else wire_metadata(wanted.metadata)
    update = FeedbackUpdate(feedback_id, found.created_at, at, wanted.value, wanted.weight, metadata)
    owner = services.owners.of(session, principal)
    return services.feedback_updates.append(KIND, [_written(update)], owner)[0]


def _written(update: FeedbackUpdate) -> bytes:
    try:
        return update.as_record()
    except TypeError as error:
        raise InvalidRequest(f"metadata cannot be kept: {error}") from None


def _record(feedback: NewFeedback, principal: Principal, owner: Ownership, now: datetime) -> bytes:
    record = {
        "id": new_id(),
        "organisation_id": owner.organisation_id,
        "workspace_slug": owner.workspace_slug,
        "trace_id": feedback.trace_id,
        "value": feedback.value,
        "weight": 1.0 if feedback.weight is None else feedback.weight,
        "metadata": wire_metadata(feedback.metadata),
        "api_key_id": principal.key_id if principal.via == "key" else None,
        "user_id": principal.user_id,
        "created_at": to_millisecond(now).isoformat(),
    }
    try:
        return orjson.dumps(record)
    except TypeError as error:
        raise InvalidRequest(f"The feedback cannot be kept: {error}") from None


def _find(services: Services, scope: TenantScope, feedback_id: str) -> _Found | None:
    """The feedback where the warehouse has it; where it is on its way there; or there after all."""
    return (
        _stored(services, scope, feedback_id)
        or _on_its_way(services, scope, feedback_id)
        or _stored(services, scope, feedback_id)
    )


def _stored(services: Services, scope: TenantScope, feedback_id: str) -> _Found | None:
    names = ("created_at", "last_updated_at")
    tree = exp.select(*(exp.alias_(column(name), name) for name in names)).from_(scan(FEEDBACKS.name, Window()))
    found = services.engine.query(tree.where(within_scope(scope), is_one_of("id", [feedback_id]))).to_pylist()
    return _Found(found[0]["created_at"], found[0]["last_updated_at"]) if found else None


def _on_its_way(services: Services, scope: TenantScope, feedback_id: str) -> _Found | None:
    for segment in services.spool.segments():
        try:
            with segment.open() as stream:
                for record in spooled_records(stream, {"feedbacks"}):
                    if record.id == feedback_id:
                        return _if_within(scope, record)
        except FileNotFoundError:
            continue  # loaded meanwhile
    return None


def _if_within(scope: TenantScope, record: SpooledRecord) -> _Found | None:
    try:
        told = parse_object(record.data)
    except BadRecord:
        return None
    owner = record.owner.resolve(_text(told, "organisation_id"), _text(told, "workspace_slug"))
    if isinstance(owner, str) or owner[0] != scope.organisation_id:
        return None
    if scope.workspaces is not None and owner[1] not in scope.workspaces:
        return None
    own = scope.own
    if own is not None and told.get("user_id") != own.user_id and told.get("api_key_id") not in own.api_key_ids:
        return None
    created_at = instant_of(told.get("created_at") or told.get("createdAt") or record.at)
    return None if created_at is None else _Found(to_millisecond(created_at), None)


def _text(told: Mapping[str, object], name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) and value.strip() else None
