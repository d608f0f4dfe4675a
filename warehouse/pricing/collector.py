"""Work without passes of Python's garbage collector: what it makes stays, so that they would find nothing."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """Turns the collector off for as long as it is entered, unless it is off already. For short work: it is off in all
    threads, though each may turn it on again before the others are done.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
