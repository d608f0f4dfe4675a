"""Finding the policies that are about a request without looking at every one.

Each policy stands under the values of one of its conditions, the one that lets the fewest requests pass; a request
looks where its own values lead. What the other conditions say of it is found out once, however many policies share
them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from warehouse.query.policy_terms import ANYTHING, METADATA, Facts, Term

_Policy = TypeVar("_Policy")
Place = tuple[str | None, str]
"""Whose policies: a workspace, or None for the whole organisation; and what they are about."""


@dataclass(frozen=True, slots=True)
class _Listed(Generic[_Policy]):
    number: int
    policy: _Policy
    more: tuple[Term, ...]
    """The conditions that are to be looked at yet; those of policies that share them are the same object."""


@dataclass(slots=True)
class _Shelf(Generic[_Policy]):
    """The policies of one place."""

    whole: dict[tuple[str, str], list[_Listed[_Policy]]] = field(
        default_factory=dict[tuple[str, str], "list[_Listed[_Policy]]"]
    )
    """(Key, value) → policies."""
    begun: dict[tuple[str, str], list[_Listed[_Policy]]] = field(
        default_factory=dict[tuple[str, str], "list[_Listed[_Policy]]"]
    )
    """(Key, how a value begins) → policies."""
    lengths: dict[str, set[int]] = field(default_factory=dict[str, "set[int]"])
    """Key → how long these beginnings are."""

    def candidates(self, facts: Facts) -> Iterator[_Listed[_Policy]]:
        for key, lengths in self.lengths.items():
            for name in facts.named(key):
                yield from self.whole.get((key, name), ())
                for length in lengths:
                    yield from self.begun.get((key, name[:length]), ())


class PolicyIndex(Generic[_Policy]):
    """Policies by what a request must say for them."""

    def __init__(self) -> None:
        self._shelves: defaultdict[Place, _Shelf[_Policy]] = defaultdict(_Shelf[_Policy])
        self._shared: dict[tuple[Term, ...], tuple[Term, ...]] = {}
        self._count = 0

    def add(self, policy: _Policy, terms: Sequence[Term], place: Place) -> None:
        """Know a policy by its conditions, of which it has at least one."""
        chosen = min(terms, key=_openness)
        more = tuple(term for term in terms if term is not chosen or term.excludes)
        more = self._shared.setdefault(more, more)
        self._count += 1
        listed, shelf = _Listed(self._count, policy, more), self._shelves[place]
        lengths = shelf.lengths.setdefault(chosen.key, set())
        for value in dict.fromkeys(chosen.values):
            if value.endswith(ANYTHING):
                lengths.add(len(value) - 1)
                shelf.begun.setdefault((chosen.key, value[:-1]), []).append(listed)
            else:
                shelf.whole.setdefault((chosen.key, value), []).append(listed)

    def about(self, facts: Facts, target: str) -> list[_Policy]:
        """The policies that are about a request, each once: those of its workspace, then the organisation's."""
        found: list[_Policy] = []
        passed: dict[int, bool] = {}
        for workspace_id in (facts.workspace_id, None) if facts.workspace_id else (None,):
            shelf = self._shelves.get((workspace_id, target))
            if shelf is None:
                continue
            seen: set[int] = set()
            for listed in shelf.candidates(facts):
                if listed.number in seen:
                    continue
                seen.add(listed.number)
                passes = passed.get(id(listed.more))
                if passes is None:
                    passes = passed[id(listed.more)] = all(term.passes(facts) for term in listed.more)
                if passes:
                    found.append(listed.policy)
        return found


def _openness(term: Term) -> tuple[bool, int, int, bool]:
    """How much a condition lets pass, roughly: only what it lists, or what begins so. Metadata say the most."""
    shortest = min((len(value) for value in term.values if value.endswith(ANYTHING)), default=0)
    return shortest > 0, -shortest, len(term.values), not term.key.startswith(METADATA)
