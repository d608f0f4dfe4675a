"""Which requests a policy is about, and which of its counters each of them counts for. Pure.

A condition names a key, the values that pass (any of them) and those that do not; all conditions of a policy must
pass. A value ends in `*` to mean whatever begins so; `*` alone is anything that is there. A model is matched by its
name, by `@provider/name` and by `@virtual-key/name`. The same conditions over rows: `warehouse/query/policy_rows.py`.
Source: controlplane contract 6, dataplane contract 7.4.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from warehouse.errors import InvalidInput

METADATA = "metadata."
ANYTHING = "*"
ROW_KEYS = ("api_key", "workspace_id", "organisation_id", "virtual_key", "provider", "config", "prompt", "model")
"""What rows say too, beside `metadata.<name>`; the rest only a request says."""
LLM_KEYS = (*ROW_KEYS, "endpoint_type")
TOOL_KEYS = ("api_key", "workspace_id", "organisation_id", "mcp_server", "mcp_tool")
KEY_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one request; blank where nothing is."""

    organisation_id: str = ""
    workspace_id: str = ""
    workspace_slug: str = ""
    api_key: str = ""
    virtual_key: str = ""
    provider: str = ""
    config: str = ""
    prompt: str = ""
    model: str = ""
    """The name alone, as it was asked for."""
    endpoint_type: str = ""
    mcp_server: str = ""
    mcp_tool: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    def named(self, key: str) -> tuple[str, ...]:
        """Every text by which a condition may name this request's value; none where there is no value."""
        if key.startswith(METADATA):
            value = self.metadata.get(key[len(METADATA) :], "")
            return (value,) if value else ()
        if key == "model":
            return self._models()
        if key == "workspace_id":
            return tuple(name for name in (self.workspace_id, self.workspace_slug) if name)
        value = getattr(self, key)
        return (value,) if value else ()

    def grouped(self, key: str) -> str:
        """The value of the counter that this request counts for; blank where there is none."""
        if key.startswith(METADATA):
            return self.metadata.get(key[len(METADATA) :], "")
        if key == "model":
            return model_name(self.provider, self.model)
        if key == "workspace_id":
            return self.workspace_id or self.workspace_slug
        return getattr(self, key)

    def _models(self) -> tuple[str, ...]:
        if not self.model:
            return ()
        owners = (owner for owner in (self.provider, self.virtual_key) if owner)
        return (self.model, *(f"@{owner}/{self.model}" for owner in owners))


def model_name(provider: str, model: str) -> str:
    """How a counter names a model."""
    return f"@{provider}/{model}" if provider and model else model


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. Raises: InvalidInput when it has no value or a `*` that is not at an end."""

    key: str
    values: tuple[str, ...]
    excludes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidInput(f"a condition on {self.key} needs a value")
        for value in (*self.values, *self.excludes):
            if not value:
                raise InvalidInput(f"a condition on {self.key} has a blank value")
            if ANYTHING in value[:-1]:
                raise InvalidInput(f"a condition on {self.key}: '*' stands at the end of a value, or alone")

    def passes(self, facts: Facts) -> bool:
        """Whether a request passes."""
        names = facts.named(self.key)
        return _any_fits(self.values, names) and not _any_fits(self.excludes, names)


def _any_fits(wanted: Sequence[str], names: Sequence[str]) -> bool:
    return any(fits(value, name) for name in names for value in wanted)


def fits(wanted: str, name: str) -> bool:
    """Whether a text that is not blank is the wanted one, or begins as it does before its `*`."""
    if wanted.endswith(ANYTHING):
        return name.startswith(wanted[:-1])
    return name == wanted


@dataclass(frozen=True, slots=True)
class Selection:
    """What a policy is about: conditions that must all pass, and the keys whose values make a counter."""

    terms: tuple[Term, ...]
    group_by: tuple[str, ...]

    def matches(self, facts: Facts) -> bool:
        """Whether the policy is about this request."""
        return all(term.passes(facts) for term in self.terms)

    def counter(self, facts: Facts) -> tuple[str, ...]:
        """The values of the request's counter, in the order of `group_by`."""
        return tuple([facts.grouped(key) for key in self.group_by])

    def looks_at(self) -> frozenset[str]:
        """Every key that it looks at."""
        return frozenset({*self.group_by, *(term.key for term in self.terms)})


def value_key(group_by: Sequence[str], values: Iterable[str]) -> str:
    """How a counter is written: `metadata._user:alice|model:@openai/gpt-4o`. Source: DECISIONS "policy value_key"."""
    return KEY_SEPARATOR.join(f"{key}:{value}" for key, value in zip(group_by, values, strict=True))
