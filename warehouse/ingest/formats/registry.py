"""Every source format, in the order in which they are tried."""

from warehouse.errors import UnknownName
from warehouse.ingest.formats.base import Format, ReadOptions
from warehouse.ingest.formats.custom_logs import CustomLogs
from warehouse.ingest.formats.feedbacks import Feedbacks
from warehouse.ingest.formats.hook import Hook
from warehouse.ingest.formats.json_columns import fields_of
from warehouse.ingest.formats.log_objects import LogObjects
from warehouse.ingest.formats.metrics import Metrics
from warehouse.ingest.formats.otlp import OtlpSpans
from warehouse.ingest.formats.quarantine import QuarantineFile
from warehouse.ingest.formats.spool import SpoolSegment
from warehouse.ingest.formats.table import Table
from warehouse.ingest.opening import Container, Opened, UnfitSource

AUTO = "auto"


def named(name: str) -> Format:
    """The format `name`. Raises: UnknownName."""
    for one in FORMATS:
        if one.name == name:
            return one
    raise UnknownName("format", name, (AUTO, *(one.name for one in FORMATS)))


FORMATS: tuple[Format, ...] = (
    QuarantineFile(named),
    SpoolSegment(named),
    Table(),
    Hook(),
    CustomLogs(),
    OtlpSpans(),
    LogObjects(),
    Feedbacks(),
    Metrics(),
)


def detected(opened: Opened, options: ReadOptions) -> Format:
    """The first format that a source fits, by its content. Raises: UnfitSource."""
    if opened.container is Container.EMPTY:
        return named(Metrics.name)
    for one in FORMATS:
        if one.fits(opened, options):
            return one
    names = list(opened.header) or fields_of(opened.samples)
    seen = f"its fields are {', '.join(names[:40])}" if names else "no record in it is a JSON object"
    raise UnfitSource(
        f"{opened.source.name} is {opened.container}, but fits no format: {seen}. "
        f"Name one (allowed: {', '.join(one.name for one in FORMATS)}), or map its fields to columns.",
        opened.head,
    )
