"""The index of policies finds just those that looking at every one would find."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.policies.policy_index import Place, PolicyIndex
from warehouse.query.policy_terms import Facts, Term

WORDS = ("gpt-4o", "gpt-4o-mini", "g", "openai", "ann", "ünal", "@", "@openai/gpt-4o")
KEYS = ("model", "provider", "virtual_key", "workspace_id", "api_key", "metadata.team", "metadata._user")
WORKSPACES = ("", "w1", "w2")
TARGETS = ("llm", "mcp_tools")

words = st.sampled_from(WORDS)
wanted = st.one_of(words, words.map(lambda word: word[:3] + "*"), st.just("*"), st.just("w1"), st.just("@openai/*"))
terms = st.builds(
    Term,
    st.sampled_from(KEYS),
    st.lists(wanted, min_size=1, max_size=4).map(tuple),
    st.one_of(st.just(()), st.lists(wanted, max_size=2).map(tuple)),
)
places = st.tuples(st.sampled_from([None, *WORKSPACES[1:]]), st.sampled_from(TARGETS))
policies = st.lists(st.tuples(st.lists(terms, min_size=1, max_size=3), places), max_size=30)
some_word = st.one_of(st.just(""), words)
some_facts = st.builds(
    Facts,
    workspace_id=st.sampled_from(WORKSPACES),
    workspace_slug=some_word,
    api_key=some_word,
    virtual_key=some_word,
    provider=some_word,
    model=some_word,
    metadata=st.dictionaries(st.sampled_from(["team", "_user"]), some_word),
)


def fits(one: tuple[list[Term], Place], facts: Facts, target: str) -> bool:
    terms, place = one
    in_place = place in {(None, target), (facts.workspace_id or None, target)}
    return in_place and all(term.passes(facts) for term in terms)


@settings(max_examples=150, deadline=None)
@given(policies, st.lists(some_facts, min_size=1, max_size=5))
def test_the_index_finds_what_looking_at_each_finds(policies: list[Any], requests: list[Facts]) -> None:
    index = PolicyIndex[int]()
    for number, (terms, place) in enumerate(policies):
        index.add(number, terms, place)
    for facts in requests:
        for target in TARGETS:
            found = index.about(facts, target)
            assert sorted(found) == [number for number, one in enumerate(policies) if fits(one, facts, target)]
            is_wide = [policies[number][1][0] is None for number in found]
            assert is_wide == sorted(is_wide), "a policy of everybody comes before one of the workspace"
