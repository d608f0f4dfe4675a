"""Work beside the requests: again and again, on after a failure, once more at the end, and the end does not wait."""

import logging
import threading

import pytest

from api.background import Background

LOGGER = logging.getLogger("api.tests")
SOON_S, NEVER_S, PATIENCE_S = 0.001, 3600.0, 60.0


class Work:
    """Counts its calls; the first `failing` of them fail."""

    def __init__(self, failing: int = 0, until: int = 1) -> None:
        self.calls, self._failing, self._until = 0, failing, until
        self.is_enough = threading.Event()

    def __call__(self) -> None:
        self.calls += 1
        if self.calls >= self._until:
            self.is_enough.set()
        if self.calls <= self._failing:
            raise RuntimeError("not now")


def test_it_is_done_again_and_again() -> None:
    work = Work(until=5)
    with Background("counting", work, SOON_S, LOGGER):
        assert work.is_enough.wait(PATIENCE_S)


def test_what_fails_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(failing=3, until=4)
    with Background("counting", work, SOON_S, LOGGER) as running:
        assert work.is_enough.wait(PATIENCE_S)
        assert running.is_running
    assert [record.message for record in caplog.records] == ["counting failed; it is tried again"] * 3
    assert "not now" in caplog.text


@pytest.mark.parametrize(("at_the_end", "calls"), [(True, 1), (False, 0)])
def test_at_the_end_it_is_done_once_more(at_the_end: bool, calls: int) -> None:
    work = Work()
    with Background("counting", work, NEVER_S, LOGGER, at_the_end=at_the_end) as running:
        pass
    assert work.calls == calls
    assert not running.is_running


def test_the_end_does_not_wait_for_long_work(caplog: pytest.LogCaptureFixture) -> None:
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(PATIENCE_S)

    with Background("counting", work, SOON_S, LOGGER, at_the_end=False, stop_within_s=0.01) as running:
        assert began.wait(PATIENCE_S)
    assert running.is_running
    assert "counting is still under way" in caplog.text
    may_end.set()
