"""URLs that let anybody who has them read one file for a while: signed by the store, else by this installation."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from api.errors import Forbidden
from api.exports.rows import DOWNLOADS, Export
from api.organisations.rows import InstallationMark


@dataclass(frozen=True, slots=True)
class Signed:
    """What a URL of ours says, and how it is proved."""

    expires: int
    """Seconds since 1970."""
    run: int
    signature: str


def signed_query(session: Session, export: Export, now: datetime, lifetime: timedelta) -> str:
    """The query string that opens the file of the export's present run until `lifetime` is over."""
    expires = int((now + lifetime).timestamp())
    signature = _signature(_secret(session), export.id, export.runs, expires)
    return urlencode({"run": export.runs, "expires": expires, "signature": signature})


def check(session: Session, export_id: str, signed: Signed, now: datetime) -> None:
    """Nothing, when the signature is ours and not over yet. Raises: Forbidden."""
    right = _signature(_secret(session), export_id, signed.run, signed.expires)
    if not hmac.compare_digest(right.encode(), signed.signature.encode("utf-8", "replace")):
        raise Forbidden("The signature of this URL is wrong")
    if now.astimezone(UTC).timestamp() >= signed.expires:
        raise Forbidden("This URL has expired; ask for a new one")


def _secret(session: Session) -> str:
    return session.get_one(InstallationMark, DOWNLOADS).value


def _signature(secret: str, export_id: str, run: int, expires: int) -> str:
    told = f"{export_id}\n{run}\n{expires}".encode()
    return hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()
