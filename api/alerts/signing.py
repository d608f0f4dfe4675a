"""Signatures of webhooks, by the Standard Webhooks specification: id, time and body under HMAC-SHA256.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

PREFIX = "whsec_"
_FEWEST, _MOST = 24, 64
"""Bytes of a secret."""


def new_secret() -> str:
    """A new random secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_bytes(secret: str) -> bytes:
    """What is signed with. Raises: ValueError that says what a secret looks like."""
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        found = b""
    if not _FEWEST <= len(found) <= _MOST:
        raise ValueError(f"a webhook secret is {PREFIX} and the base64 of {_FEWEST} to {_MOST} bytes")
    return found


def signed_headers(secret: str, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
