"""What is told of texts by their first bytes alone, and instants that are all written alike."""

import json
from datetime import datetime

import polars as pl
import pytest

from warehouse.catalog.generations import GENERATIONS
from warehouse.ingest.formats.json_columns import columns_of, plan_of, read_chunk
from warehouse.ingest.framing import JsonLines
from warehouse.ingest.records import Piece
from warehouse.ingest.values import Problems, instants
from warehouse.ingest.views import look_at

LONG = "x" * 300
EDGES = ["a", "abcd", "abcdefghijkl", "abcdefghijklm", "é", "\u00a0x", "!", "{", "[1]", "{}" + "x" * 20]


@pytest.mark.parametrize("text", ["", " ", " a", "\n", "\tlong enough to lie elsewhere", LONG])
def test_a_text_that_is_blank_or_long_makes_a_frame_untidy(text: str) -> None:
    rest = ["a" * 255, None, *EDGES]
    assert look_at(pl.DataFrame({"a": rest, "n": [1] * len(rest)}), 255).is_tidy
    assert not look_at(pl.DataFrame({"a": [*rest, text]}), 255).is_tidy
    assert not look_at(pl.DataFrame({"b": ["x"] * 3, "a": ["x", None, text]}), 255).is_tidy


def test_a_null_is_tidy_whatever_its_view_holds() -> None:
    texts = pl.Series("a", ["", LONG, "[", "fine"])
    hidden = texts.set(pl.Series([True, True, True, False]), None)
    assert look_at(pl.DataFrame([hidden]), 255).is_tidy
    assert look_at(pl.DataFrame({"a": [None, None]}, schema={"a": pl.String}), 255).is_tidy
    assert look_at(pl.DataFrame(schema={"a": pl.String}), 255).is_tidy


def test_brackets_are_seen_at_the_start_only_also_in_cut_and_joined_frames() -> None:
    frame = pl.DataFrame(
        {"a": ["x[", "{y", None, "z{"], "b": ["x{", "y[", " [", "z"], "c": ["0", "1", "2", "[3 and more"]}
    )
    assert look_at(frame, 255).bracketed == ["a", "c"]
    assert look_at(frame[2:3], 255).bracketed == []
    assert look_at(pl.concat([frame[:1], frame[3:]], rechunk=False), 255).bracketed == ["c"]


def piece_of(*lines: str) -> Piece:
    chunk = JsonLines("s", "s", "".join(f"{line}\n" for line in lines).encode(), 1, 0)
    [piece] = read_chunk(chunk, plan_of(columns_of(GENERATIONS), [{"id": "a", "req_units": 1}]))
    return piece


def test_a_piece_says_whether_its_texts_need_another_look() -> None:
    assert piece_of('{"id":"a","ai_model":"m"}', '{"id":"b"}').is_tidy
    assert not piece_of('{"id":"a","ai_model":" "}', '{"id":"b"}').is_tidy
    assert not piece_of('{"id":"a","ai_model":"m"}', f'{{"id":"b","config":"{LONG}"}}').is_tidy


@pytest.mark.parametrize("more", [[], [{"b": "c"}] * 20])
def test_metadata_is_read_again_where_it_lacks_a_list_or_may_hold_more_than_text(more: list[dict[str, str]]) -> None:
    plain = {"key": ["k"], "value": ["a longer text than fits into a view"]}
    odd = [{"key": ["k"]}, {"key": ["k"], "value": ["["]}, {"key": ["k"], "value": ["{" + LONG]}]
    given = [plain, *odd, None, plain, *more]
    data = "".join(json.dumps({"id": f"id-{n}", "metadata": one}) + "\n" for n, one in enumerate(given)).encode()
    chunk = JsonLines("s", "s", data, 1, 0)
    again, fast = read_chunk(chunk, plan_of(columns_of(GENERATIONS), []))
    at = sorted([number for number, _ in again.rows] + [number for number, _ in again.bad])
    assert at == [1, 2, 3, *range(6, len(given))]
    assert fast.frame is not None
    assert fast.frame["_index"].to_list() == [0, 4, 5]
    assert fast.frame["metadata.value"].to_list() == [plain["value"], None, plain["value"]]


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T00:00:00+0200",
        "2026-05-01 00:00:00.455Z",
        "2026-05-01T00:00:00.5+02",
        "2026-02-30T00:00:00.000Z",
        "2026-05-01T24:00:00.000Z",
        "2026-05-01T23:59:60.999Z",
        "2026-05-01T00:00:00.455z",
        "1777593600.1234567890123",
        "0001-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "2026-05-01T00:00Z" + " " * 7,
        None,
    ],
)
def test_instants_written_alike_mean_what_they_mean_among_others(text: str | None) -> None:
    alike, mixed = Problems(2), Problems(3)
    usual = "2026-05-01T12:34:56.789Z"
    found = instants(pl.Series("created_at", [usual, text]), alike, required=True)
    among = instants(pl.Series("created_at", [usual, text, "1777593600"]), mixed, required=True)
    assert found.to_list() == among.to_list()[:2]
    assert found[0] == datetime.fromisoformat("2026-05-01T12:34:56.789")
    assert alike.each() == mixed.each()
