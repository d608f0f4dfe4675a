"""What is kept of a record holds no credential, and is otherwise the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.ingest.credentials import NAMES, without_credentials

SECRET = "hush-hush-hush-hush-1234567890"


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"request": {"headers": {"x-portkey-api-key": SECRET, "cookie": [SECRET, [SECRET]]}}},
        {"x": [{"name": "authorization", "value": f"bearer {SECRET}"}]},
        {"headers": {"x-portkey-config": json.dumps({"provider": "openai", "api_key": SECRET})}},
        {"headers": {"x-portkey-config": {"a": {"b": "}"}, "c": [{"d": SECRET}]}, "after": "kept"}},
        {"a": json.dumps({"b": json.dumps({"proxy-authorization": SECRET, "n": 1})})},
        {"a": json.dumps({"Cookie": SECRET})},
        {"API-KEY": f'quo"te {SECRET} back\\', "n": 1},
        {"apiKey": SECRET, "aws_secret_access_key": SECRET},
        {"secret_key": {"a": {"b": SECRET}}, "z": {}},
        {"authorization": "", "cookie": SECRET},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_no_credential_is_kept_and_the_rest_is(value: dict[str, object], indent: int | None) -> None:
    record = json.dumps({**value, "cost": 1}, indent=indent).encode()
    clean = without_credentials(record)
    assert SECRET.encode() not in clean
    assert json.loads(clean).keys() == json.loads(record).keys()
    assert json.loads(clean)["cost"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_every_case(name: bytes) -> None:
    for spelled in (name, name.upper(), name.title()):
        assert SECRET.encode() not in without_credentials(b'{"%s" : "%s"}' % (spelled, SECRET.encode()))


def test_a_record_that_is_cut_is_cleaned_too() -> None:
    for cut in (
        f'{{"authorization":"{SECRET}',
        f'{{"cookie":["{SECRET}',
        f'{{"cookie":{{"a":"{SECRET}"',
        f"Bearer {SECRET}",
    ):
        assert SECRET not in without_credentials(cut.encode()).decode()


@pytest.mark.parametrize(
    "record",
    [
        b'{"cost": 0.10000000000000000001, "api_key_id": "k1", "not_api_key": "x"}',
        b'{"text": "a bearer token, an \\"authorization\\" header, authorization: none", "authorization": null}',
        b'{"authorization": 12, "total_tokens": 3, "author": "a cookie"}',
        b"\xff\xfe not JSON \\\\\\",
        b"",
    ],
)
def test_what_holds_no_credential_stays_as_it_was(record: bytes) -> None:
    assert without_credentials(record) == record


_TEXT = st.text('ab"\\{}[]:, ', max_size=8)
_JSON = st.recursive(
    st.none() | st.integers() | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["cookie", "a"]) | _TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["Authorization", "api_key", "b"]), _JSON | _JSON.map(json.dumps)))
def test_a_cleaned_record_is_still_json_with_the_same_keys(value: dict[str, object]) -> None:
    assert json.loads(without_credentials(json.dumps(value).encode())).keys() == value.keys()


@given(st.binary())
def test_any_bytes_are_taken(data: bytes) -> None:
    without_credentials(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"' + b"\\" * 2_000_000,
        b'"cookie":' * 100_000,
        b'"cookie":"' * 100_000,
        b'\\"cookie\\":\\"' * 100_000,
        b'"cookie":[' * 20,
    ],
)
@pytest.mark.timeout(120)
def test_nothing_makes_it_slow(data: bytes) -> None:
    """Seconds at most: with a cost that grows with the square of the length it would take hours."""
    assert len(without_credentials(data)) <= 2 * len(data)
