"""What the processes of the re-pricing tests do: price stored rows again, some until a SIGKILL at a numbered moment."""

import os
import signal
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from tests.factories import repricing
from warehouse.engines.base import Engine
from warehouse.engines.open import open_engine
from warehouse.settings import WarehouseSettings
from warehouse.storage.lake import LakeTable


def open_at(url: str) -> Engine:
    """The warehouse at a URL."""
    return open_engine(WarehouseSettings(warehouse_url=url))


def reprice(url: str, rates: Mapping[str, float], now: datetime, kill_at: int | None = None) -> None:
    """Price all rows again; killed at the n-th of the moments before and after each step that stores something."""
    engine = open_at(url)
    moments = _Moments(kill_at)
    for owner, name in ((engine, "append"), (engine, "rewrite")):
        setattr(owner, name, partial(moments.around, getattr(owner, name)))
    swap = LakeTable.swap
    LakeTable.swap = lambda *args, **named: moments.around(swap, *args, **named)  # type: ignore[method-assign]
    repricing.reprice_by(engine, rates, now)
    engine.close()


class _Moments:
    """Counts moments, and ends the process at one of them as a power cut would."""

    def __init__(self, kill_at: int | None) -> None:
        self._left = kill_at

    def around(self, step: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """The step's answer, with a moment before and one after it."""
        self._pass()
        answer = step(*args, **named)
        self._pass()
        return answer

    def _pass(self) -> None:
        if self._left is not None:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
