"""Agreements on prices. Rows are only ever added: an agreement that changes or ends gets another version."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Boolean, Dialect, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from api.db import Base
from api.organisations.rows import ID_LENGTH


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal number as text: SQLite would keep it as a float and lose digits."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(value)


class NegotiatedPriceVersion(Base):
    """What was known, since `known_from`, of one agreement on prices."""

    __tablename__ = "negotiated_price_versions"
    __table_args__ = (
        UniqueConstraint("agreement_id", "version"),
        Index(None, "organisation_id", "known_from"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    agreement_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    """The id of its first version."""
    version: Mapped[int] = mapped_column(Integer)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_slug: Mapped[str | None]
    target: Mapped[str] = mapped_column(String(20))
    slug: Mapped[str]
    model: Mapped[str | None]
    is_custom: Mapped[bool] = mapped_column(Boolean)
    is_finetune: Mapped[bool] = mapped_column(Boolean)
    base_model_slug: Mapped[str | None]
    pricing_config: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    multiplier: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """An empty object is a cleared one."""
    skip_ptu_cost_attribution: Mapped[bool | None] = mapped_column(Boolean)
    effective_from: Mapped[datetime]
    effective_to: Mapped[datetime | None]
    known_from: Mapped[datetime]
    known_by: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """The key that wrote the version."""


class ReservationVersion(Base):
    """What was known, since `known_from`, of one reservation of provisioned throughput. Units: cents per period."""

    __tablename__ = "reservation_versions"
    __table_args__ = (
        UniqueConstraint("agreement_id", "version"),
        Index(None, "organisation_id", "known_from"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    agreement_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    version: Mapped[int] = mapped_column(Integer)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    workspace_slug: Mapped[str | None]
    target: Mapped[str] = mapped_column(String(20))
    slug: Mapped[str]
    model: Mapped[str | None]
    name: Mapped[str]
    amount_cents: Mapped[Decimal] = mapped_column(ExactDecimal())
    per: Mapped[str] = mapped_column(String(10))
    effective_from: Mapped[datetime]
    effective_to: Mapped[datetime | None]
    known_from: Mapped[datetime]
    known_by: Mapped[str | None] = mapped_column(String(ID_LENGTH))
