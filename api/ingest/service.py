"""Accepting records: onto the disk first, into the warehouse soon after."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from api.ingest import body
from api.principal import Principal
from api.tenancy import Owners
from warehouse.ingest.spool import Spool


class Kind(StrEnum):
    """What records are, as the spool calls it."""

    GENERATIONS = "generations"
    LOGS = "logs"
    FEEDBACKS = "feedbacks"
    HOOKS = "hooks"


@dataclass(frozen=True, slots=True)
class Sent:
    """A body as it came."""

    content: bytes
    encoding: str


def accept(
    session: Session, spool: Spool, owners: Owners, principal: Principal, kind: Kind, sent: Sent, *, limit_bytes: int
) -> list[str]:
    """The ids of the records, which are durable when this returns.

    Raises: InvalidRequest, BodyTooLarge, NotFound (the organisation has no workspace).
    """
    ownership = owners.of(session, principal)
    records = body.records(body.decompressed(sent.content, sent.encoding, limit_bytes))
    return spool.append(kind.value, records, ownership)
