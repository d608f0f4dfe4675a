"""Work beside the caller's: in order, never more at once than was asked for, and no error is lost."""

from collections.abc import Iterator
from threading import Barrier, Event, get_ident

import pytest

from warehouse.ingest.beside import Beside, in_order


def test_what_is_made_comes_in_order_and_before_the_error_of_its_source() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("the source broke")

    found: list[int] = []
    with pytest.raises(OSError, match="the source broke"):
        found.extend(in_order(lambda item: item * 10, items(), 2))
    assert found == [0, 10, 20, 30, 40]


def test_an_error_of_the_work_comes_at_its_place() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    made = in_order(work, range(6), 2)
    assert [next(made), next(made), next(made)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        list(made)


def test_as_many_items_are_worked_on_as_were_asked_for() -> None:
    together = Barrier(2, timeout=10)
    assert list(in_order(lambda item: (together.wait(), item)[1], range(4), 2)) == [0, 1, 2, 3]


def test_nothing_is_made_of_nothing() -> None:
    assert list(in_order(str, [], 2)) == []


def test_a_task_runs_beside_and_what_follows_it_in_the_callers_thread() -> None:
    release, done = Event(), list[tuple[str, bool]]()
    here = get_ident()
    with Beside() as beside:
        beside.run(
            lambda: (release.wait(10), done.append(("first", get_ident() == here)))[1],
            lambda: done.append(("after first", get_ident() == here)),
        )
        beside.finish_done()
        assert done == []
        release.set()
        beside.run(lambda: done.append(("second", get_ident() == here)))
        assert done[:2] == [("first", False), ("after first", True)]
        beside.finish()
    assert done[2:] == [("second", False)]


def _fail() -> None:
    raise OSError("disk")


def test_a_tasks_error_stops_the_next_one() -> None:
    ran: list[int] = []
    with Beside() as beside:
        beside.run(_fail, lambda: ran.append(1))
        with pytest.raises(OSError, match="disk"):
            beside.run(lambda: ran.append(2))
    assert ran == []


def test_the_callers_error_is_told_and_what_was_stored_before_it_too() -> None:
    told: list[str] = []

    def load() -> None:
        with Beside() as beside:
            beside.run(lambda: None, lambda: told.append("stored"))
            raise ValueError("source")

    with pytest.raises(ValueError, match="source"):
        load()
    assert told == ["stored"]
