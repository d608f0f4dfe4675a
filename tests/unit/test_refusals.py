"""Refused credentials are counted by address and by credential; beyond the limit the answer is 429."""

from api.errors import RateLimited, Unauthorised
from api.operations.refusals import Refusals


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def kinds(refusals: Refusals, *tries: tuple[str, str]) -> list[int]:
    answers = [refusals.answer(Unauthorised(), address, credential) for address, credential in tries]
    return [429 if isinstance(answer, RateLimited) else 401 for answer in answers]


def test_an_address_that_guesses_is_slowed_down_and_others_are_not() -> None:
    refusals = Refusals(3, 60, Clock())
    assert kinds(refusals, *(("1.1.1.1", f"guess-{number}") for number in range(5))) == [401, 401, 401, 429, 429]
    assert kinds(refusals, ("2.2.2.2", "another")) == [401]


def test_a_credential_that_is_tried_from_everywhere_is_slowed_down() -> None:
    refusals = Refusals(2, 60, Clock())
    assert kinds(refusals, *((f"1.1.1.{number}", "same") for number in range(4))) == [401, 401, 429, 429]
    assert kinds(refusals, ("", "same"), ("", "other")) == [429, 401]


def test_the_window_ends_and_the_answer_says_when() -> None:
    clock = Clock()
    refusals = Refusals(1, 60, clock)
    assert kinds(refusals, ("1.1.1.1", "a")) == [401]
    clock.now_s += 20
    answer = refusals.answer(Unauthorised(), "1.1.1.1", "b")
    assert isinstance(answer, RateLimited)
    assert answer.retry_after_s == 40
    clock.now_s += 40
    assert kinds(refusals, ("1.1.1.1", "c")) == [401]


def test_it_can_be_switched_off() -> None:
    assert set(kinds(Refusals(0, 60), *(("1.1.1.1", "a") for _ in range(50)))) == {401}
