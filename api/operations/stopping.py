"""How a server stops: first it says so, then it takes nothing new, then what is under way is finished."""

import asyncio
import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger("api.stopping")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Whether the server was asked to stop. With a delay it goes on answering for a while and says it is not ready."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s
        self._asked = threading.Event()

    @property
    def is_asked(self) -> bool:
        """True from the first signal on."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Say that the server stops."""
        self._asked.set()

    @contextmanager
    def listening(self) -> Generator[None]:
        """Hears of the signals before the server does, which set its own handlers before the app starts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        previous = {number: signal.getsignal(number) for number in SIGNALS}

        def heard(number: int, frame: FrameType | None) -> None:
            is_first = not self.is_asked
            self.ask()
            server: Any = previous[signal.Signals(number)]
            if not callable(server):
                return
            if is_first and self._delay_s:
                logger.info("asked to stop; still answering for %s s", self._delay_s)
                loop.call_soon_threadsafe(loop.call_later, self._delay_s, server, number, frame)
            else:
                server(number, frame)

        heeded = [number for number in SIGNALS if callable(previous[number])]
        for number in heeded:
            signal.signal(number, heard)
        try:
            yield
        finally:
            for number in heeded:
                signal.signal(number, previous[number])
