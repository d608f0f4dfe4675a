"""House rules that a machine can see (docs/architecture.md, conventions)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "warehouse", "pipelines")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
EMPTY_NAMES = {"utils", "util", "helpers", "common", "misc", "manager", "managers"}
SQL_START = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WITH|TRUNCATE)\s", re.IGNORECASE)


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file()]


def source_files() -> list[Path]:
    return [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in PACKAGES]


def test_files_are_rooms_not_halls() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked(".py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_what_is_missing_is_a_skip_in_one_place_which_fails_in_ci() -> None:
    skipping = re.compile(r"pytest\.(skip|importorskip|mark\.skip|mark\.xfail|xfail)|unittest\.skip")
    found = {
        path.relative_to(ROOT).as_posix()
        for path in tracked(".py")
        if path != Path(__file__) and skipping.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"tests/factories/parts.py"}


def test_functions_fit_on_a_screen() -> None:
    long: dict[str, int] = {}
    for path in source_files():
        if path.parent.name == "versions":
            continue  # a migration is one list of statements, and never changes again
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert long == {}


def test_names_say_something() -> None:
    empty = [
        str(path.relative_to(ROOT))
        for path in tracked(".py")
        if {path.stem, *path.relative_to(ROOT).parts[:-1]} & EMPTY_NAMES
    ]
    assert empty == []


def test_no_sql_is_spliced_from_strings() -> None:
    spliced = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in source_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
        and node.values
        and isinstance(node.values[0], ast.Constant)
        and SQL_START.match(str(node.values[0].value))
    ]
    assert spliced == []


def test_no_path_of_one_machine() -> None:
    own = re.compile("|".join(["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]"]))
    found = [
        str(path.relative_to(ROOT))
        for path in tracked(".py", ".md", ".toml", ".yaml", ".yml", ".json", "Makefile", "run")
        if own.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


@pytest.mark.slow
def test_imports_go_one_way() -> None:
    ran = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("duckdb", {"warehouse/engines/duckdb.py"}),
        ("clickhouse_connect", {"warehouse/engines/clickhouse.py"}),
        ("deltalake", None),
        ("dagster", "pipelines/"),
    ],
)
def test_libraries_live_in_one_place(library: str, homes: set[str] | str | None) -> None:
    importers = {
        str(path.relative_to(ROOT))
        for path in source_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == library for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == library)
    }
    if isinstance(homes, str):
        assert all(name.startswith(homes) for name in importers)
    elif homes is None:
        assert len(importers) == 1
    else:
        assert importers == homes
