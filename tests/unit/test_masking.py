"""No secret is in what is kept of a request; the rest stays as it was."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.api_keys.service import new_raw_key
from api.masking import (
    LONGEST_BODY_BYTES,
    LONGEST_TEXT,
    is_secret,
    masked,
    masked_body,
    masked_headers,
    masked_query,
    masked_text,
)

SECRET = "hush-Hush-HUSH-1234567890"
STEMS = [
    "api_key", "key", "signing_key", "access_token", "token", "refresh_token", "password", "db_password", "secret",
    "client_secret", "secret_key", "private_key", "aws_secret_access_key", "aws_session_token", "authorization",
    "credentials", "x-portkey-api-key", "cookie", "passphrase", "service_account_json", "encryption_key",
]  # fmt: skip
HARMLESS = [
    "api_key_id", "user_api_key_ttl", "workspace_api_key_details", "token_type", "max_tokens", "name", "email",
    "public_key", "keyboard_layout", "monkeys_seen_at", "authored_by", "scopes", "api_key_ids",
]  # fmt: skip


def camel(name: str) -> str:
    first, *rest = name.replace("-", "_").split("_")
    return first + "".join(word.capitalize() for word in rest)


SPELLINGS = [str.lower, str.upper, camel, lambda name: name.replace("_", "-"), lambda name: camel(name).capitalize()]
NAMES = sorted({spell(stem) for stem in STEMS for spell in SPELLINGS})


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_secret_is_known_in_every_spelling(name: str) -> None:
    assert is_secret(name) or name.lower() == name.upper()


@pytest.mark.parametrize("name", [name for name in HARMLESS if name != "max_tokens"])
def test_other_names_are_not_taken_for_one(name: str) -> None:
    assert masked({name: "kept-value"}) == {name: "kept-value"}


def test_amounts_of_tokens_stay() -> None:
    assert masked({"max_tokens": 12, "usage": {"total_tokens": 5}}) == {"max_tokens": 12, "usage": {"total_tokens": 5}}
    assert masked({"tokens": ["abc", "def"], "pin": 1234}) == {"tokens": ["*****", "*****"], "pin": "*****"}


def hidden(value: Any) -> Any:
    """Shapes in which a secret can come."""
    name = st.sampled_from(NAMES)
    return st.one_of(
        name.map(lambda n: {n: value}),
        name.map(lambda n: {n: [value, {"x": value}]}),
        name.map(lambda n: {n: {"deep": {"er": value}}}),
        name.map(lambda n: {"name": n, "value": value}),
        name.map(lambda n: {"config": json.dumps({"a": [{n: value}]})}),
        name.map(lambda n: {"config": json.dumps({"inner": json.dumps({n: value})})}),
        name.map(lambda n: {"webhook": f"https://x.example/p?a=1&{n}={value}&b=2"}),
        st.just({"url": f"postgres://user:{value}@db.example/x"}),
        st.just({"url": f"https://{value}@hooks.example/x"}),
        st.just({"note": f"Authorization: Bearer {value}"}),
        st.just({"note": f"curl -H 'x-portkey-api-key: {value}'"}),
    )


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=12)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_no_secret_value_ever_appears(data: st.DataObject) -> None:
    inner: Any = data.draw(hidden(SECRET))
    for _ in range(data.draw(st.integers(0, 3))):
        around: Any = data.draw(st.lists(plain, max_size=2))
        inner = data.draw(st.sampled_from([{"a": inner, "b": around}, [inner, *around], {"text": json.dumps(inner)}]))
    sent = json.dumps(inner).encode()
    kept = masked_body(sent, len(sent), "application/json")
    assert kept is not None
    assert SECRET not in kept
    json.loads(kept)


@given(st.sampled_from(NAMES), st.sampled_from([str.lower, str.upper, str.title]))
def test_headers_and_queries_hide_them_too(name: str, spell: Any) -> None:
    header = spell(name).encode()
    assert SECRET not in str(masked_headers([(header, SECRET.encode()), (header, f"Bearer {SECRET}".encode())]))
    assert SECRET not in str(masked_query(b"x=1&" + header + b"=" + SECRET.encode() + b"&" + header + b"=2"))


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_raw_key_is_found_anywhere(before: str, after: str) -> None:
    raw = new_raw_key()
    for kept in (masked_text(before + raw + after), str(masked({before: [raw], raw: before}))):
        assert raw not in kept
        assert raw[3:20] not in kept


@given(plain)
def test_what_holds_no_secret_stays_as_it_is(value: Any) -> None:
    if isinstance(value, dict | list):
        assert masked(json.loads(json.dumps(value))) == json.loads(json.dumps(value)) or "*****" in str(masked(value))


@pytest.mark.parametrize(
    "text",
    [
        "a plain sentence, with: punctuation = fine",
        "https://example.com/path?page=2&sort=asc",
        "2026-04-02T12:30:00.000Z",
        "ws-shared-e2a85b",
        "workspace_service_api_keys.create",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    assert masked_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"HTTP Request: GET http://x.example/v1/y?token={SECRET} 200",
        f"a: b: c=d;password={SECRET}",
        f"settings: db_password={SECRET}, user=x",
        f"x-api-key: {SECRET}",
        f'secret = "{SECRET}"',
        f"note: token={SECRET}",
    ],
)
def test_pairs_within_texts(text: str) -> None:
    assert SECRET not in masked_text(text)


def test_prose_stays() -> None:
    for text in ("Error Verifying JWT token: Signing Key Not Found", "The token: it expired."):
        assert masked_text(text) == text


def test_a_token_keeps_its_ends() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlMTIzNDU2Nzg5MGJ0bt"
    assert masked_headers([(b"x-portkey-api-key", token.encode())]) == {"x-portkey-api-key": "ey****bt"}
    assert masked_headers([(b"Authorization", b"Bearer " + token.encode())]) == {"authorization": "Bearer ey****bt"}
    assert masked({"message": f"bad token {token}!"}) == {"message": "bad token ey****bt!"}


def test_own_keys_show_their_mask() -> None:
    raw = new_raw_key()
    assert masked_headers([(b"x-portkey-api-key", raw.encode())]) == {"x-portkey-api-key": f"gl*****{raw[-3:]}"}
    assert masked_headers([(b"cookie", b"session=abc"), (b"x-token", b"short")]) == {
        "cookie": "*****",
        "x-token": "*****",
    }


def test_the_condition_of_a_policy_stays_readable() -> None:
    conditions = [{"key": "metadata.team", "value": "blue", "excludes": False}]
    assert masked({"conditions": conditions}) == {"conditions": conditions}


class TestBodies:
    def test_none(self) -> None:
        assert masked_body(b"", 0, "") is None

    def test_forms_are_read(self) -> None:
        sent = f"grant_type=refresh&client_secret={SECRET}".encode()
        kept = masked_body(sent, len(sent), "application/x-www-form-urlencoded; charset=utf-8")
        assert json.loads(kept or "") == {"grant_type": "refresh", "client_secret": "*****"}

    @pytest.mark.parametrize("sent", [b"password=" + SECRET.encode(), b'{"password": "' + SECRET.encode(), b"\x00\xff"])
    def test_what_is_no_json_is_described(self, sent: bytes) -> None:
        kept = masked_body(sent, len(sent), "text/plain")
        assert json.loads(kept or "") == f"[text/plain of {len(sent)} bytes, not JSON]"

    def test_what_is_too_large_is_described(self) -> None:
        assert masked_body(b"{", LONGEST_BODY_BYTES + 1, "application/json") == (
            f'"[application/json of {LONGEST_BODY_BYTES + 1} bytes, not kept]"'
        )

    def test_a_long_one_is_cut_after_it_was_masked(self) -> None:
        sent = json.dumps({"password": SECRET, "text": "x" * LONGEST_TEXT}).encode()
        kept = masked_body(sent, len(sent), "application/json") or ""
        assert kept.endswith("characters]")
        assert len(kept) < LONGEST_TEXT + 60
        assert SECRET not in kept

    def test_a_deep_one_is_hidden_from_where_it_is_too_deep(self) -> None:
        sent = b'{"a":' * 200 + b"1" + b"}" * 200
        assert "*****" in (masked_body(sent, len(sent), "application/json") or "")


@pytest.mark.parametrize(
    "text", ["ey" * 50_000, "://a:" * 20_000, "a=" * 50_000, "gl_" * 30_000, "-----BEGIN PRIVATE KEY-----" * 4_000]
)
@pytest.mark.timeout(120)
def test_no_text_makes_it_slow(text: str) -> None:
    """Seconds at most: with a cost that grows with the square of the length it would take hours."""
    assert len(masked_text(text)) <= 2 * len(text)


def test_what_is_shortened_already_stays() -> None:
    told = "rotation_mode=auto old_key_masked=gl*****3AX token=ey****bt"
    assert masked_text(told) == told
    assert masked_text("old_key=gl*****3AX-and-more") == "old_key=*****"
