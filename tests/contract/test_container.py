"""Dockerfile and compose.yaml, held as far as they can be without an engine: what they name exists, nothing is open."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.app import ROUTERS
from tests.factories.environment import known_variables

ROOT = Path(__file__).parents[2]
SECRETS = re.compile(r"PASS|SECRET|TOKEN|PRIVATE|_KEY$")
NOT_OURS = frozenset({"AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})
"""Names that log stores read as everybody does; `tests/integration/test_logstore_places.py` holds them."""
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def instructions() -> Iterator[tuple[str, str]]:
    """Each instruction of the Dockerfile with its words, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            name, _, words = line.strip().partition(" ")
            yield name, " ".join(words.split())


class TestDockerfile:
    def test_bases_are_pinned_and_alike(self) -> None:
        bases = [words.split()[0] for name, words in instructions() if name == "FROM"]
        assert len(bases) == 2
        assert len(set(bases)) == 1
        assert re.fullmatch(r"python:3\.1[123]-slim-[a-z]+", bases[0])

    def test_it_runs_as_a_number_that_is_not_root(self) -> None:
        users = [words for name, words in instructions() if name == "USER"]
        assert users == ["10001:10001"]
        names = [name for name, _ in instructions()]
        assert "RUN" not in names[names.index("USER") :]

    def test_packages_are_those_of_the_lock_file_and_no_others(self) -> None:
        syncs = [words for name, words in instructions() if name == "RUN" and "uv sync" in words]
        assert len(syncs) == 2
        for words in syncs:
            assert "--locked" in words
            assert "--no-dev" in words
        assert re.search(r"uv==\d+\.\d+\.\d+", " ".join(words for _, words in instructions()))

    def test_no_secret_is_in_it(self) -> None:
        for name, words in instructions():
            if name in {"ENV", "ARG"}:
                assert not [word for word in words.split() if SECRETS.search(word.partition("=")[0])]

    def test_what_is_copied_is_there_and_not_ignored(self) -> None:
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        files = tracked.stdout.splitlines()
        for name, words in instructions():
            if name != "COPY" or words.startswith("--from"):
                continue
            for source in words.split()[:-1]:
                path = source.rstrip("/")
                assert any(file == path or file.startswith(path + "/") for file in files), source
                assert not is_ignored(path), source

    def test_every_package_that_the_project_is_made_of_is_copied(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        wanted = {
            *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
            *project["project"]["license-files"],
        }
        copied = " ".join(words for name, words in instructions() if name == "COPY")
        assert not [name for name in (*wanted, project["project"]["readme"], "uv.lock") if name not in copied]

    @pytest.mark.parametrize("path", [".git", ".env", ".venv", ".gateledger", "tests", "dagster_home/dagster.db"])
    def test_what_is_no_business_of_the_image_is_ignored(self, path: str) -> None:
        assert is_ignored(path)

    def test_its_health_is_a_route_of_ours(self) -> None:
        (check,) = [words for name, words in instructions() if name == "HEALTHCHECK"]
        paths = {route.path for router in ROUTERS for route in router.declared if route.permission.public}
        asked = re.search(r"127\.0\.0\.1:8790(/[a-z/]+)", check)
        assert asked is not None
        assert asked[1] in paths


class TestCompose:
    def test_every_part_of_a_large_installation_is_there(self, compose: dict[str, Any]) -> None:
        assert {"gateledger", "pipelines", "mysql", "clickhouse", "redis", "s3"} <= set(compose["services"])

    def test_images_are_pinned(self, compose: dict[str, Any]) -> None:
        for name, service in compose["services"].items():
            image, _, tag = service["image"].rpartition(":")
            assert image, name
            assert re.match(r"\d+\.\d+", tag), f"{name} has no version: {service['image']}"

    def test_variables_are_ones_that_we_read(self, compose: dict[str, Any]) -> None:
        for name in ("gateledger", "pipelines"):
            unknown = set(compose["services"][name]["environment"]) - known_variables() - NOT_OURS
            assert unknown == set()

    def test_no_password_is_written_down(self, compose: dict[str, Any]) -> None:
        for service in compose["services"].values():
            for name, value in service.get("environment", {}).items():
                if SECRETS.search(name) and name != "MYSQL_RANDOM_ROOT_PASSWORD":
                    assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
        example = (ROOT / ".env.example").read_text()
        wanted = set(re.findall(r"\$\{(\w+)[:}]", (ROOT / "compose.yaml").read_text()))
        assert wanted == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
        assert not [
            line for line in example.splitlines() if SECRETS.search(line.partition("=")[0]) and line[-1] != "="
        ][1:]

    def test_who_waits_for_whom(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        for name, service in services.items():
            for other, how in service.get("depends_on", {}).items():
                assert how["condition"] in CONDITIONS
                if how["condition"] == "service_healthy":
                    assert "healthcheck" in services[other], f"{name} waits for the health of {other}"

    def test_what_is_named_is_declared(self, compose: dict[str, Any]) -> None:
        volumes, configs = set(), set()
        for service in compose["services"].values():
            volumes |= {volume.partition(":")[0] for volume in service.get("volumes", [])}
            configs |= {config["source"] for config in service.get("configs", [])}
        assert volumes == set(compose["volumes"])
        assert configs == set(compose["configs"])

    def test_ours_can_do_little_and_is_published_on_loopback(self, compose: dict[str, Any]) -> None:
        for name, service in compose["services"].items():
            for port in service.get("ports", []):
                assert port.startswith("127.0.0.1:"), name
        for name in ("gateledger", "pipelines"):
            service = compose["services"][name]
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["tmpfs"] == ["/tmp"]
            assert service["volumes"] == ["data:/data"]


def is_ignored(path: str) -> bool:
    """By .dockerignore: the last pattern that matches the path or a folder above it decides."""
    ignored = False
    parts = Path(path).parts
    ways = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        negated, pattern = pattern.startswith("!"), pattern.lstrip("!")
        if any(fnmatch(way, pattern) and way.count("/") == pattern.count("/") for way in ways):
            ignored = not negated
    return ignored
