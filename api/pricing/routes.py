"""`/pricing/negotiated`, `/pricing/reservations` and `/pricing/unpriced`. Source: dataplane contract 5.7."""

from typing import Annotated, Any

from fastapi import Path, Query, Request, Response

from api.analytics import instants
from api.analytics.selection import listed
from api.dependencies import Caller, Db, Now, Parts
from api.paging import ListAnswer, Page, paged
from api.permissions import needs
from api.pricing import rendering, reserved, service, unpriced
from api.pricing.rows import NegotiatedPriceVersion, ReservationVersion
from api.pricing.schemas import (
    End,
    Instant,
    NegotiatedPriceAnswer,
    NewNegotiatedPrice,
    NewReservation,
    ReservationAnswer,
    ReservationCosts,
    UnpricedModel,
)
from api.pricing.service import Author, Wanted
from api.principal import Principal
from api.routing import Router
from api.settings import ApiSettings
from api.tenancy import scope_of
from warehouse.engines.open import limits_of
from warehouse.query.scope import TenantScope

router = Router("pricing")

Id = Annotated[str, Path(max_length=36, description="Id of the agreement.")]
OnePage = Annotated[Page, paged()]
Text = Annotated[str | None, Query(max_length=255)]
KnownAt = Annotated[Instant | None, Query(description="As it was known at that instant.")]
EffectiveAt = Annotated[Instant | None, Query(description="Only what holds at that instant.")]
Since = Annotated[str | None, Query(alias=instants.MIN, description="First instant, included; a date is its start.")]
Until = Annotated[str | None, Query(alias=instants.MAX, description="Last instant, included; a date is its end.")]
Zone = Annotated[str | None, Query(alias=instants.ZONE, description="IANA zone of what has no offset.")]


@router.get(
    "/pricing/negotiated",
    permission=needs("negotiated_prices.list"),
    operation_id="list_negotiated_prices",
    summary="Agreements on prices, the newest first",
    response_model=ListAnswer[NegotiatedPriceAnswer],
)
def list_prices(
    caller: Caller,
    session: Db,
    page: OnePage,
    slug: Text = None,
    model: Text = None,
    effective_at: EffectiveAt = None,
    known_at: KnownAt = None,
) -> ListAnswer[NegotiatedPriceAnswer]:
    """The newest version of each agreement of the organisation, ended ones too."""
    wanted = Wanted(slug, model, effective_at, known_at)
    rows, total = service.listed(session, NegotiatedPriceVersion, caller.organisation_id, wanted, page)
    return ListAnswer(total=total, data=[rendering.price(row) for row in rows])


@router.post(
    "/pricing/negotiated",
    permission=needs("negotiated_prices.create"),
    operation_id="create_negotiated_price",
    summary="Agree on a price, a base model, factors, or that provisioned throughput is paid elsewhere",
    response_model=NegotiatedPriceAnswer,
)
def create_price(wanted: NewNegotiatedPrice, caller: Caller, session: Db, now: Now) -> NegotiatedPriceAnswer:
    """The new agreement. It counts for what is loaded from now on; `reprice` brings it to what is stored."""
    return rendering.price(service.negotiate(session, wanted, Author(caller.organisation_id, caller.key_id, now)))


@router.post(
    "/pricing/negotiated/{id}/end",
    permission=needs("negotiated_prices.update"),
    operation_id="end_negotiated_price",
    summary="End an agreement on prices",
    response_model=NegotiatedPriceAnswer,
)
def end_price(id: Id, wanted: End, caller: Caller, session: Db, now: Now) -> NegotiatedPriceAnswer:  # noqa: A002
    """Another version, which holds up to `effective_to`. What was known before stays known."""
    author = Author(caller.organisation_id, caller.key_id, now)
    return rendering.price(service.end(session, NegotiatedPriceVersion, id, wanted.effective_to, author))


@router.get(
    "/pricing/reservations",
    permission=needs("price_reservations.list"),
    operation_id="list_price_reservations",
    summary="Reservations of provisioned throughput, the newest first",
    response_model=ListAnswer[ReservationAnswer],
)
def list_reservations(
    caller: Caller,
    session: Db,
    page: OnePage,
    slug: Text = None,
    model: Text = None,
    effective_at: EffectiveAt = None,
    known_at: KnownAt = None,
) -> ListAnswer[ReservationAnswer]:
    """The newest version of each reservation of the organisation, ended ones too."""
    wanted = Wanted(slug, model, effective_at, known_at)
    rows, total = service.listed(session, ReservationVersion, caller.organisation_id, wanted, page)
    return ListAnswer(total=total, data=[rendering.reservation(row) for row in rows])


@router.post(
    "/pricing/reservations",
    permission=needs("price_reservations.create"),
    operation_id="create_price_reservation",
    summary="Enter a fixed cost per period for provisioned throughput",
    response_model=ReservationAnswer,
)
def create_reservation(wanted: NewReservation, caller: Caller, session: Db, now: Now) -> ReservationAnswer:
    """The new reservation. Provisioned traffic that it covers costs 0, so that nothing counts twice."""
    return rendering.reservation(service.reserve(session, wanted, Author(caller.organisation_id, caller.key_id, now)))


@router.post(
    "/pricing/reservations/{id}/end",
    permission=needs("price_reservations.update"),
    operation_id="end_price_reservation",
    summary="End a reservation",
    response_model=ReservationAnswer,
)
def end_reservation(id: Id, wanted: End, caller: Caller, session: Db, now: Now) -> ReservationAnswer:  # noqa: A002
    """Another version, which holds up to `effective_to`. What was known before stays known."""
    author = Author(caller.organisation_id, caller.key_id, now)
    return rendering.reservation(service.end(session, ReservationVersion, id, wanted.effective_to, author))


@router.get(
    "/pricing/reservations/costs",
    permission=needs("price_reservations.list", "analytics.view"),
    operation_id="price_reservation_costs",
    summary="What reservations cost in a time, beside the usage costs",
    response_class=Response,
    responses={200: {"model": ReservationCosts, "description": "Reserved, usage and total cost of the organisation."}},
)
def reservation_costs(
    caller: Caller,
    parts: Parts,
    session: Db,
    since: Since = None,
    until: Until = None,
    tz: Zone = None,
    known_at: KnownAt = None,
) -> Response:
    """Each reservation's share of the time asked about; windows side by side sum exactly."""
    first, last = instants.parse_range(since, until, tz)
    reservations = service.reservations_of(session, caller.organisation_id, known_at)
    usage = reserved.usage_of(
        parts.engine, TenantScope(caller.organisation_id), first, last, limits_of(parts.settings.warehouse)
    )
    return _json(reserved.rendered(reservations, usage, first, last))


@router.get(
    "/pricing/unpriced",
    permission=needs("analytics.view"),
    operation_id="unpriced_models",
    summary="What to price: requests without a cost, by spend at risk",
    response_class=Response,
    responses={200: {"model": ListAnswer[UnpricedModel], "description": "One page, the dearest at risk first."}},
)
def list_unpriced(
    request: Request,
    caller: Caller,
    parts: Parts,
    session: Db,
    page: OnePage,
    since: Since = None,
    until: Until = None,
    tz: Zone = None,
    workspace_slug: Annotated[str | None, Query(description="Workspaces by slug or UUID, comma-separated.")] = None,  # noqa: ARG001
) -> Response:
    """The caller's requests without a cost by provider, model and reason."""
    span = unpriced.Span(*instants.parse_range(since, until, tz))
    scope = _scope(session, caller, request, parts.settings)
    return _json(
        unpriced.rendered(unpriced.unpriced(parts.engine, scope, span, page, limits_of(parts.settings.warehouse)))
    )


def _scope(session: Db, caller: Principal, request: Request, settings: ApiSettings) -> TenantScope:
    return scope_of(session, caller, listed(request.query_params, "workspace_slug"), settings.admin_key_scope)


def _json(content: Any) -> Response:
    return Response(content, media_type="application/json")
