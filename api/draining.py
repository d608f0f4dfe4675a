"""What moves the records of a spool into the warehouse while the API runs, in whichever worker gets the lease."""

import logging
from collections.abc import Callable
from datetime import datetime

from api.background import Background
from warehouse.ingest.load import LoadReport
from warehouse.ingest.spool import SegmentLoader, Spool


def draining(
    what: str,
    spool: Spool,
    loader_at: Callable[[datetime], SegmentLoader],
    interval_s: float,
    clock: Callable[[], datetime],
    *,
    on_failure: Callable[[], None] = lambda: None,
    on_stored: Callable[[], None] = lambda: None,
) -> Background:
    """The thread that loads `what` from `spool`; a failure loses nothing. What was loaded is logged as `api.<what>`.

    `on_stored` hears that there are new rows; it must not fail.
    """
    logger = logging.getLogger(f"api.{what.replace(' ', '_')}")

    def drain() -> None:
        if not spool.backlog()[0]:
            return
        now = clock()
        try:
            report = spool.drain(loader_at(now), now)
        except Exception:
            on_failure()
            raise
        if report is not None and report.stored:
            on_stored()
        _tell(logger, what, report)

    return Background(f"loading {what}", drain, interval_s, logger)


def _tell(logger: logging.Logger, what: str, report: LoadReport | None) -> None:
    if report is None or not report.received:
        return
    level = logging.WARNING if report.rejected else logging.INFO
    logger.log(level, "%s loaded", what, extra={**report.counts, "reasons": dict(report.reasons)})
