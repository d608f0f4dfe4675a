"""Agreements on prices: made, ended, listed, and handed to pricing as values. Nothing that was known is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from api.errors import Conflict, InvalidRequest, NotFound
from api.identifiers import new_id
from api.paging import Page
from api.pricing.rows import NegotiatedPriceVersion, ReservationVersion
from api.pricing.schemas import NewNegotiatedPrice, NewReservation
from api.workspaces import service as workspaces
from warehouse.pricing.applies import Applies, Target
from warehouse.pricing.multiplier import parse_multiplier
from warehouse.pricing.negotiated import NegotiatedPrice, Overlay
from warehouse.pricing.reservations import Period, Reservation
from warehouse.pricing.static_price import parse_static_price

Version = TypeVar("Version", NegotiatedPriceVersion, ReservationVersion)


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes a version, and when."""

    organisation_id: str
    key_id: str
    now: datetime


def negotiate(session: Session, wanted: NewNegotiatedPrice, author: Author) -> NegotiatedPriceVersion:
    """A new agreement on prices. Raises: InvalidRequest, InvalidInput, UnknownName, Forbidden (the workspace)."""
    adjustments = wanted.pricing_adjustments
    if wanted.pricing_config is not None:
        parse_static_price(wanted.pricing_config)
    if adjustments is not None:
        parse_multiplier(adjustments.multiplier)
    version = NegotiatedPriceVersion(
        **_opened(session, wanted, author),
        is_custom=wanted.is_custom,
        is_finetune=wanted.is_finetune,
        base_model_slug=wanted.base_model_slug,
        pricing_config=wanted.pricing_config,
        multiplier=None if adjustments is None else adjustments.multiplier or {},
        skip_ptu_cost_attribution=wanted.skip_ptu_cost_attribution,
    )
    session.add(version)
    session.flush()
    return version


def reserve(session: Session, wanted: NewReservation, author: Author) -> ReservationVersion:
    """A new reservation. Raises: InvalidRequest, Forbidden (the workspace)."""
    version = ReservationVersion(
        **_opened(session, wanted, author), name=wanted.name, amount_cents=wanted.amount_cents, per=wanted.per.value
    )
    session.add(version)
    session.flush()
    return version


def end(
    session: Session, kind: type[Version], agreement_id: str, effective_to: datetime | None, author: Author
) -> Version:
    """Another version of the agreement, which holds up to `effective_to`; asked twice, the same one.

    Raises: NotFound (also when it is another organisation's), InvalidRequest, Conflict (it ended earlier).
    """
    newest = session.scalars(
        select(kind).where(kind.agreement_id == agreement_id).order_by(kind.version.desc()).limit(1)
    ).first()
    if newest is None or newest.organisation_id != author.organisation_id:
        raise NotFound(f"There is no agreement '{agreement_id[:40]}'.")
    moment = effective_to or author.now
    if moment < newest.effective_from:
        raise InvalidRequest(f"effective_to: {moment.isoformat()} is before {newest.effective_from.isoformat()}")
    if newest.effective_to == moment:
        return newest
    if newest.effective_to is not None and newest.effective_to < moment:
        raise Conflict(f"It ended at {newest.effective_to.isoformat()} already.")
    fields = {column.key: getattr(newest, column.key) for column in kind.__mapper__.columns}
    fields |= {
        "id": new_id(),
        "version": newest.version + 1,
        "effective_to": moment,
        "known_from": max(author.now, newest.known_from),
        "known_by": author.key_id,
    }
    version = kind(**fields)
    session.add(version)
    session.flush()
    return version


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which agreements a list is about; None: whichever."""

    slug: str | None = None
    model: str | None = None
    effective_at: datetime | None = None
    known_at: datetime | None = None


def listed(
    session: Session, kind: type[Version], organisation_id: str, wanted: Wanted, page: Page
) -> tuple[Sequence[Version], int]:
    """One page of an organisation's agreements as they were known, the newest first, and how many there are."""
    query = _known(kind, wanted.known_at).where(kind.organisation_id == organisation_id)
    if wanted.slug is not None:
        query = query.where(kind.slug == wanted.slug)
    if wanted.model is not None:
        query = query.where(kind.model == wanted.model)
    if (at := wanted.effective_at) is not None:
        query = query.where(kind.effective_from <= at, (kind.effective_to.is_(None)) | (kind.effective_to > at))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    ordered = query.order_by(kind.effective_from.desc(), kind.known_from.desc(), kind.id)
    return session.scalars(ordered.offset(page.offset).limit(page.size)).all(), total


def overlay_of(session: Session, known_at: datetime | None = None) -> Overlay:
    """What pricing must know of all organisations' agreements: as they are known now, or were at an instant."""
    prices = session.scalars(_known(NegotiatedPriceVersion, known_at))
    return Overlay(tuple(map(_price, prices)), tuple(reservations_of(session, None, known_at)))


def reservations_of(
    session: Session, organisation_id: str | None, known_at: datetime | None = None
) -> list[Reservation]:
    """The reservations of one organisation, or of all, in a steady order."""
    query = _known(ReservationVersion, known_at)
    if organisation_id is not None:
        query = query.where(ReservationVersion.organisation_id == organisation_id)
    return [_reservation(row) for row in session.scalars(query.order_by(ReservationVersion.agreement_id))]


def _opened(session: Session, wanted: NewNegotiatedPrice | NewReservation, author: Author) -> dict[str, Any]:
    """The fields that a first version of any agreement has."""
    start, stop = wanted.effective_from or author.now, wanted.effective_to
    if stop is not None and stop <= start:
        raise InvalidRequest(f"effective_to: {stop.isoformat()} is not after {start.isoformat()}")
    workspace = wanted.workspace_slug
    identifier = new_id()
    return {
        "id": identifier,
        "agreement_id": identifier,
        "version": 1,
        "organisation_id": author.organisation_id,
        "workspace_slug": workspaces.find(session, author.organisation_id, workspace).slug if workspace else None,
        "target": wanted.applies_to.type.value,
        "slug": wanted.applies_to.slug,
        "model": wanted.model,
        "effective_from": start,
        "effective_to": stop,
        "known_from": author.now,
        "known_by": author.key_id,
    }


def _known(kind: type[Version], known_at: datetime | None) -> Select[Version]:
    """The newest version of each agreement, of those known at that instant."""
    newest = select(kind.agreement_id, func.max(kind.version).label("version")).group_by(kind.agreement_id)
    if known_at is not None:
        newest = newest.where(kind.known_from <= known_at)
    known = newest.subquery("known")
    return select(kind).join(known, (kind.agreement_id == known.c.agreement_id) & (kind.version == known.c.version))


def _applies(row: NegotiatedPriceVersion | ReservationVersion) -> Applies:
    return Applies(row.organisation_id, Target(row.target), row.slug, row.workspace_slug)


def _price(row: NegotiatedPriceVersion) -> NegotiatedPrice:
    return NegotiatedPrice(
        id=row.id,
        applies=_applies(row),
        effective_from=row.effective_from,
        effective_to=row.effective_to,
        known_from=row.known_from,
        model=row.model,
        price=None if row.pricing_config is None else parse_static_price(row.pricing_config),
        base_model=row.base_model_slug,
        multiplier=None if row.multiplier is None else parse_multiplier(row.multiplier),
        skips_ptu=row.skip_ptu_cost_attribution,
    )


def _reservation(row: ReservationVersion) -> Reservation:
    return Reservation(
        id=row.id,
        applies=_applies(row),
        amount_cents=row.amount_cents,
        per=Period(row.per),
        effective_from=row.effective_from,
        effective_to=row.effective_to,
        known_from=row.known_from,
        model=row.model,
        name=row.name,
        agreement_id=row.agreement_id,
    )
