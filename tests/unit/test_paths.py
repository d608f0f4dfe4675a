"""Paths of log objects: both formats, both ways, and the fewest prefixes of a stretch of time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.errors import InvalidInput
from warehouse.logstore.globs import is_pattern, matches, may_hold, split_pattern
from warehouse.logstore.paths import LogPath, PathFormat, hour_prefix, parse_path, v1_path, v2_path, window_prefixes

ORG = "56916995-a761-4d90-bdf4-2c5550347777"
LOG = "046b73bd-87da-4c0f-b716-2906d5f3f000"


def test_v1_goes_both_ways() -> None:
    path = v1_path(ORG, LOG)
    assert path == f"30/{ORG}/{LOG}.json"
    assert parse_path(path) == LogPath(ORG, LOG)
    assert LogPath(ORG, LOG).format is PathFormat.V1


def test_v2_takes_the_hour_in_utc() -> None:
    at = datetime(2026, 2, 1, 1, 30, tzinfo=timezone(timedelta(hours=5)))
    path = v2_path(ORG, "core-team", at, LOG)
    assert path == f"30/{ORG}/core-team/2026/01/31/20/{LOG}.json"
    parsed = parse_path(path)
    assert parsed == LogPath(ORG, LOG, "core-team", datetime(2026, 1, 31, 20, tzinfo=UTC))
    assert parsed.format is PathFormat.V2


@pytest.mark.parametrize(
    "path",
    [
        "",
        "30",
        f"30/{ORG}",
        f"31/{ORG}/{LOG}.json",
        f"30/{ORG}/{LOG}.txt",
        f"30/../{LOG}.json",
        f"30/{ORG}/ws/2026/13/01/00/{LOG}.json",
        f"30/{ORG}/ws/2026/02/30/00/{LOG}.json",
        f"30/{ORG}/ws/2026/1/01/00/{LOG}.json",
        f"30/{ORG}/ws/extra/2026/01/01/00/{LOG}.json",
        f"/30/{ORG}/{LOG}.json",
        f"30//{LOG}.json",
    ],
)
def test_other_paths_are_no_log_objects(path: str) -> None:
    assert parse_path(path) is None


@pytest.mark.parametrize(
    "hostile", ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "a\nb", ".hidden", "a b", "x" * 201, "ü"]
)
def test_hostile_ids_are_refused(hostile: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be part of a log path"):
        v1_path(hostile, LOG)
    with pytest.raises(InvalidInput, match="log id"):
        v1_path(ORG, hostile)
    with pytest.raises(InvalidInput, match="workspace slug"):
        v2_path(ORG, hostile, datetime(2026, 1, 1, tzinfo=UTC), LOG)


def test_an_instant_needs_a_zone() -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        hour_prefix(ORG, "ws", datetime(2026, 1, 1))  # noqa: DTZ001 - the naive instant is the case


def test_a_window_becomes_the_fewest_prefixes() -> None:
    since, until = datetime(2025, 12, 30, 22, 15, tzinfo=UTC), datetime(2027, 2, 2, 1, 0, tzinfo=UTC)
    base = f"30/{ORG}/ws/"
    assert [prefix.removeprefix(base) for prefix in window_prefixes(ORG, "ws", since, until)] == [
        "2025/12/30/22",
        "2025/12/30/23",
        "2025/12/31",
        "2026",
        "2027/01",
        "2027/02/01",
        "2027/02/02/00",
        "2027/02/02/01",
    ]


INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(INSTANTS, st.timedeltas(timedelta(0), timedelta(days=500)), INSTANTS)
def test_prefixes_hold_the_window_and_nothing_else(since: datetime, length: timedelta, at: datetime) -> None:
    until = since + length
    prefixes = list(window_prefixes(ORG, "ws", since, until))
    path = v2_path(ORG, "ws", at, LOG)
    hour = at.replace(minute=0, second=0, microsecond=0)
    inside = since.replace(minute=0, second=0, microsecond=0) <= hour <= until
    assert sum(path.startswith(f"{prefix}/") for prefix in prefixes) == int(inside)
    assert prefixes == sorted(prefixes)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.json", "a.json", True),
        ("*.json", "x/a.json", False),
        ("**/*.json", "a.json", True),
        ("**/*.json", "x/y/a.json", True),
        ("**", "x/y", True),
        ("x/**", "x", True),
        ("x/**/y/*", "x/y/a", True),
        ("x/**/y/*", "x/1/y/2/y/a", True),
        ("x/**/y/*", "x/1/a", False),
        ("2026-1[01]-??/*", "2026-11-03/a", True),
        ("2026-1[01]-??/*", "2026-12-03/a", False),
    ],
)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern.split("/"), path.split("/")) is expected


def test_patterns_prune_folders_that_cannot_match() -> None:
    pattern = ["30", "*", "ws", "2026", "**", "*.json"]
    assert may_hold(pattern, ["30", "org"])
    assert may_hold(pattern, ["30", "org", "ws", "2026", "01"])
    assert not may_hold(pattern, ["30", "org", "other"])
    assert not may_hold(["*", "*.json"], ["a", "b"])


def test_a_pattern_splits_at_its_first_wildcard() -> None:
    assert split_pattern("/data/logs/2026-*/x/*.json") == ("/data/logs", ("2026-*", "x", "*.json"))
    assert split_pattern("*.json") == ("", ("*.json",))
    assert not is_pattern("/data/plain.json")
