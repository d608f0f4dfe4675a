"""Versions of agreements as clients read them."""

from typing import Any

from api.pricing.rows import NegotiatedPriceVersion, ReservationVersion
from api.pricing.schemas import AppliesTo, NegotiatedPriceAnswer, ReservationAnswer
from warehouse.pricing.applies import Target
from warehouse.pricing.reservations import Period


def price(row: NegotiatedPriceVersion) -> NegotiatedPriceAnswer:
    """An agreement on prices; a cleared multiplier is null."""
    adjustments = None if row.multiplier is None else {"multiplier": row.multiplier or None}
    return NegotiatedPriceAnswer(
        **_version(row),
        is_custom=row.is_custom,
        is_finetune=row.is_finetune,
        base_model_slug=row.base_model_slug,
        pricing_config=row.pricing_config,
        pricing_adjustments=adjustments,
        skip_ptu_cost_attribution=row.skip_ptu_cost_attribution,
    )


def reservation(row: ReservationVersion) -> ReservationAnswer:
    """A reservation."""
    return ReservationAnswer(**_version(row), name=row.name, amount_cents=row.amount_cents, per=Period(row.per))


def _version(row: NegotiatedPriceVersion | ReservationVersion) -> dict[str, Any]:
    return {
        "id": row.agreement_id,
        "version_id": row.id,
        "version": row.version,
        "workspace_slug": row.workspace_slug,
        "applies_to": AppliesTo(type=Target(row.target), slug=row.slug),
        "model": row.model,
        "effective_from": row.effective_from,
        "effective_to": row.effective_to,
        "known_from": row.known_from,
    }
