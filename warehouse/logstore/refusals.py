"""What a cloud store refused, said so that an operator knows where to look. Never holds a secret."""

import re

from warehouse.errors import SourceError
from warehouse.logstore.access import Access

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9_.-]{1,80})</Code>")
_HOST = re.compile(r"performing [A-Z]+ (https?://[^/\s?]+)")
_METADATA_SERVICE = (
    "/latest/api/token",
    "/latest/meta-data",
    "/computeMetadata/",
    "/metadata/identity",
    "169.254.170.2",
)
_WRONG_PLACE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_MISSING_BUCKET = ("NoSuchBucket", "ContainerNotFound")


def refusal(error: Exception, what: str, location: str, access: Access) -> SourceError:
    """The error to raise for one of obstore's: what could not be done, who refused, and which variables to look at.

    Only the status, the error code and the host of the answer are repeated, since its text may quote credentials.
    """
    text = str(error)
    host = _found(_HOST, text)
    status, code = _found(_STATUS, text), _found(_CODE, text)
    answer = " ".join(part for part in (status, code) if part)
    who = f"{host} answered {answer}" if answer else f"{host or 'the store'} did not answer"
    return SourceError(f"Cannot {what} {location}: {_why(text, status, code, who, access)}")


def _why(text: str, status: str, code: str, who: str, access: Access) -> str:
    keys = ", ".join(access.credential_variables)
    if any(path in text for path in _METADATA_SERVICE):
        return f"no credentials are set, and this machine's metadata service gave none. Look at {keys}."
    if code in _MISSING_BUCKET:
        return f"{who}: there is no such bucket. Look at its name, and at {access.endpoint_variable}."
    if code in _WRONG_PLACE:
        return f"{who}: the bucket is in another region. Look at AWS_REGION or LOG_STORE_REGION."
    if status in ("401", "403"):
        return f"{who}: the credentials were refused. Look at {keys}."
    if status == "404" or _kind(text) == "NotFound":
        return f"{who}: there is no such object."
    if status == "412" or "Precondition" in text[:40]:
        return f"{who}: the object changed while it was read; read it again."
    if status:
        return f"{who}."
    if "error sending request" in text or "HTTP error" in text or "timed out" in text:
        return f"{who}; it was asked 3 times. Look at {access.endpoint_variable} and at the network."
    return f"the store's client refused ({_kind(text)}). Look at {access.endpoint_variable}, {keys}."


def _kind(text: str) -> str:
    match = re.search(r"Debug source:\s*(\w+)", text)
    return match.group(1) if match else "unknown reason"


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group(1) if match else ""
