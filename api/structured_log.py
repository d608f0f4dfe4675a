"""Logs as one JSON object per line, each with the id of the request it belongs to and no secret in it."""

import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import orjson

from api.masking import masked
from warehouse.errors import ConfigurationError

QUIET = ("uvicorn.access", "httpx", "httpx2", "botocore", "alembic")
"""Loggers whose lines repeat ours or tell of every small step."""
_OUR_IDS = ("organisation_id", "api_key_id")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""What every record has; the rest was given by who logs."""


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every log line of the process to `stream` (default: stderr) as JSON. Raises: ConfigurationError."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigurationError(f"GATELEDGER_LOG_LEVEL: unknown level '{level}'; allowed: DEBUG, INFO, WARNING, ERROR")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


_request: ContextVar[dict[str, str]] = ContextVar("request", default={})  # noqa: B039 - never changed
"""What the request is known by, wherever it is worked on: threads see it too."""


def begin_request(request_id: str) -> None:
    """What is logged from here on is of a new request."""
    _request.set({"request_id": request_id})


def name_caller(organisation_id: str, api_key_id: str) -> None:
    """What is logged of the request from here on tells who makes it."""
    _request.set({**_request.get(), "organisation_id": organisation_id, "api_key_id": api_key_id})


class Lines(logging.Formatter):
    """A record as a line."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "event": record.getMessage(),
            **_request.get(),
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
        }
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = "".join(traceback.format_exception(*record.exc_info))
        # Ids that are ours need no second look: a line is written for every request.
        ours = {name: event.pop(name) for name in _OUR_IDS if name in event}
        line = {
            **redacted(event),
            **ours,
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def redacted(event: dict[str, Any]) -> dict[str, Any]:
    """The event without secrets: by name, and by their look in messages and tracebacks. The last step before a line."""
    return cast("dict[str, Any]", masked(event))
