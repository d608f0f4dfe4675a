"""Logs as one JSON object per line, each with the id of the request it belongs to."""

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog

from warehouse.errors import ConfigurationError

QUIET = ("uvicorn.access", "httpx", "botocore", "alembic")
"""Loggers whose lines repeat ours or tell of every small step."""


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every log line of the process to `stream` (default: stderr) as JSON. Raises: ConfigurationError."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigurationError(f"GATELEDGER_LOG_LEVEL: unknown level '{level}'; allowed: DEBUG, INFO, WARNING, ERROR")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _line(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
