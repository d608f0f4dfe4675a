"""How two sets of prices differ: model by model, rate by rate.

A rate is named by its path in an entry, such as `pay_as_you_go.request_token` or `periods.0.…`. Formulas are compared
where a model has its own, and for `default`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import msgspec

from warehouse.pricing.files import Library, ModelFile
from warehouse.pricing.inheritance import deep_merged

_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")
_REMARKS = frozenset({"source", "as_of"})
"""Fields of an entry that say where a price is from, not what it is."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One rate of one model; None where a side does not have it."""

    provider: str
    model: str
    rate: str
    old: str | None
    new: str | None


def differences(old: Library, new: Library, providers: Iterable[str]) -> Iterator[Difference]:
    """Everything that costs something else on the two sides, in order of provider, model and rate."""
    for provider in providers:
        before, after = _models(old.file(provider)), _models(new.file(provider))
        for model in sorted(before.keys() | after.keys()):
            one, two = before.get(model), after.get(model)
            if one is None or two is None:
                yield Difference(
                    provider, model, "", None if one is None else "known", None if two is None else "known"
                )
                continue
            for rate in sorted(one.keys() | two.keys()):
                if not _equal(one.get(rate), two.get(rate)):
                    yield Difference(provider, model, rate, _shown(one.get(rate)), _shown(two.get(rate)))


def rates_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Path → value of everything in an entry that a cost depends on."""
    return dict(_leaves((), {key: value for key, value in entry.items() if key not in _REMARKS}))


def _models(file: ModelFile | None) -> dict[str, dict[str, Any]]:
    """Rates by model, each with its file's default: a file may write out what another one inherits."""
    if file is None:
        return {}
    default = cast("Mapping[str, Any]", file.entries.get("default", {}))
    inherited = {key: value for key, value in (default.get("pricing_config") or {}).items() if key != "calculate"}
    basis = {"pricing_config": inherited}
    return {"default": rates_of(default)} | {
        model: rates_of(deep_merged(basis, entry) if entry.get("pricing_config") is not None else entry)
        for model in file.levels
        if isinstance(entry := file.entries[model], Mapping)
    }


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        if set(table) == {"price"}:
            yield ".".join(path), table["price"]
            return
        if "operation" in table:
            yield ".".join(path), _ENCODER.encode(table).decode()
            return
        for key, item in table.items():
            # The name says it all; the wrapper is in every path.
            yield from _leaves(path if key == "pricing_config" else (*path, key), item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from _leaves((*path, str(index)), item)
    else:
        yield ".".join(path), value


def _equal(one: Any, two: Any) -> bool:
    return type(one) is type(two) and one == two


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)
