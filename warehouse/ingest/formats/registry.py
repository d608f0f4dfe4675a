"""Every source format, in the order in which they are tried."""

from warehouse.errors import UnknownName
from warehouse.ingest.formats.base import Format, ReadOptions
from warehouse.ingest.formats.metrics import Metrics
from warehouse.ingest.opening import Opened

AUTO = "auto"

FORMATS: tuple[Format, ...] = (Metrics(),)


def named(name: str) -> Format:
    """The format `name`. Raises: UnknownName."""
    for one in FORMATS:
        if one.name == name:
            return one
    raise UnknownName("format", name, (AUTO, *(one.name for one in FORMATS)))


def detected(opened: Opened, options: ReadOptions) -> Format | None:
    """The first format that a source fits, by its content; None where nothing does."""
    return next((one for one in FORMATS if one.fits(opened, options)), None)
