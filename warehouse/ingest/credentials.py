"""Credentials are taken out of what is kept: quarantined records and the spool hold none."""

import re

REMOVED = b'"[removed]"'
_HEADERS = (
    rb"authorization|proxy-authorization|cookie|set-cookie|api[-_]?key|x-api-key|x-goog-api-key|"
    rb"x-portkey-api-key|x-portkey-config|x-portkey-aws-(?:access-key-id|secret-access-key|session-token)|"
    rb"x-amz-security-token|x-portkey-vertex-service-account-json|secret(?:_access)?_key|access_token|client_secret"
)
# The field's name, then its value: a string (perhaps cut), or an object or a list up to its first closing bracket.
_FIELD = re.compile(
    rb'("(?:' + _HEADERS + rb')"\s*:\s*)(?:"(?:[^"\\]++|\\.)*+(?:"|$)|[\[{][^\]}]*+(?:[\]}]|$))',
    re.IGNORECASE | re.DOTALL,
)
_BEARER = re.compile(rb"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}")
_QUICK = re.compile(rb"(?i)auth|cookie|key|secret|token|config|bearer")


def without_credentials(data: bytes) -> bytes:
    """The same JSON text with the values of credential fields and bearer tokens taken out."""
    if not _QUICK.search(data):
        return data
    return _BEARER.sub(rb"\1[removed]", _FIELD.sub(rb"\1" + REMOVED, data))
