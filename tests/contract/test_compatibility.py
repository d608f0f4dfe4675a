"""The page of compatibility: every version has its lines, every test it names is there, and no claim is without one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
SEED = {
    "1.3.0": 17,
    "1.3.1": 1,
    "1.3.2": 5,
    "1.3.3": 4,
    "1.4.0": 3,
    "1.5.0": 2,
    "1.5.1": 3,
    "1.6.0": 4,
    "1.6.1": 5,
    "1.6.2": 5,
    "1.7.0": 12,
    "1.7.1": 3,
    "1.7.2": 1,
    "1.7.3": 7,
    "1.8.0": 8,
    "1.9.0": 6,
    "1.10.0": 5,
    "1.11.0": 4,
    "1.11.1": 3,
    "1.11.2": 6,
}
"""Version → how many lines its bullets need at least. Source: controlplane contract 11."""
NOT_YET = "not yet: "
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def lines() -> list[list[str]]:
    """The cells of every line of the tables."""
    rows = [line.strip().strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows]


def bullets() -> list[list[str]]:
    return [row for row in lines() if re.fullmatch(r"\d+\.\d+\.\d+", row[0])]


@cache
def _names_in(path: str) -> frozenset[str]:
    """The names of the tests in a file, those in classes too."""
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_named_test_is_there() -> None:
    named = _TEST.findall(PAGE.read_text())
    assert len(named) > len(SEED)
    assert PAGE.read_text().count("::") == len(named), "a name is not written as `path::test`"
    missing = [f"{path}::{test}" for path, test in named if not (ROOT / path).is_file() or test not in _names_in(path)]
    assert missing == []


@pytest.mark.parametrize("version", SEED)
def test_every_version_has_its_lines(version: str) -> None:
    told = [row[1] for row in bullets() if row[0] == version]
    assert len(told) >= SEED[version]
    assert len(set(told)) == len(told)


def test_versions_are_those_of_the_seed_newest_first() -> None:
    told = [tuple(int(part) for part in row[0].split(".")) for row in bullets()]
    assert {".".join(map(str, version)) for version in told} == set(SEED)
    assert told == sorted(told, reverse=True)


def test_what_works_names_its_test_and_what_does_not_names_its_room() -> None:
    for version, bullet, does, tests in bullets():
        if does.startswith(NOT_YET):
            assert len(does) > len(NOT_YET), (version, bullet)
            assert tests == "—", (version, bullet)
        else:
            assert _TEST.search(tests), (version, bullet)
