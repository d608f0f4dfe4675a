"""Secrets that must be read again (an invite's link, a webhook's URL), encrypted where they lie.

The key is `GATELEDGER_SECRET_KEY`; without it one that this installation made for itself, which lies in the same
database and so keeps secrets out of logs and exports of single tables, but not from who has all of the database.
"""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.orm import Session

from warehouse.errors import ConfigurationError

INFO = "sealer"
"""Key of the `Sealer` in `Session.info`."""
_PREFIX = "v1."
_NONCE_BYTES = 12
_PURPOSE = b"gateledger sealing v1"


class Sealer:
    """Seals by the first secret, and opens by any of them, so that a secret can be set later. AES-256-GCM."""

    def __init__(self, *secrets_: str) -> None:
        self._keys = [AESGCM(_key(each)) for each in secrets_]

    def seal(self, text: str, about: str) -> str:
        """The text, readable only by `open` with the same `about`: it cannot be moved to another row."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        content = nonce + self._keys[0].encrypt(nonce, text.encode(), _bound(about))
        return _PREFIX + base64.urlsafe_b64encode(content).decode()

    def open(self, sealed: str, about: str) -> str:
        """The text. Raises: ConfigurationError when it was sealed by another secret."""
        content = base64.urlsafe_b64decode(sealed.removeprefix(_PREFIX))
        for key in self._keys:
            try:
                return key.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], _bound(about)).decode()
            except InvalidTag:
                continue
        raise ConfigurationError("GATELEDGER_SECRET_KEY: a secret was sealed with another key than this one")


def sealer_of(session: Session) -> Sealer:
    """What seals secrets of this installation. Raises: LookupError for a session that no entry point opened."""
    found = session.info.get(INFO)
    if not isinstance(found, Sealer):
        raise LookupError("this session does not know how to seal secrets")
    return found


def _key(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())


def _bound(about: str) -> bytes:
    return _PURPOSE + b"\n" + about.encode()
