"""Which sources an argument means, on a real folder."""

import io
import os
from pathlib import Path

import pytest

from warehouse.errors import ConfigurationError, InvalidInput, SourceError
from warehouse.ingest.discover import is_loadable, sources_of
from warehouse.logstore.store import LogStore

STDIN = io.BytesIO(b'{"id": 1}\n')


def names(*arguments: object, root: Path | None = None) -> list[str]:
    found = [source.name for source in sources_of([str(argument) for argument in arguments], STDIN)]
    return [str(Path(name).relative_to(root)) if root else name for name in found]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b/2.json",
        "b/1.ndjson.gz",
        "a/x.csv",
        "a.json",
        "a-b.json",
        "b/.hidden.json",
        "b/part.json.tmp",
        "b/readme.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name}\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.json").write_text("{}")
    return tmp_path


def test_a_folder_is_searched_in_the_order_of_an_object_store(tree: Path) -> None:
    found = names(tree, root=tree)
    assert found == ["a-b.json", "a.json", "a/x.csv", "b/1.ndjson.gz", "b/2.json"]
    assert found == sorted(found)


def test_what_is_passed_over_is_told(tree: Path) -> None:
    told: list[str] = []
    list(sources_of([str(tree)], STDIN, notice=told.append))
    assert len(told) == 1
    assert "2 passed over for their names" in told[0]
    assert "b/part.json.tmp" in told[0]


def test_a_named_file_is_taken_whatever_its_name(tree: Path) -> None:
    (source,) = sources_of([str(tree / "b/readme.md")], STDIN)
    assert source.size == len("b/readme.md\n")
    with source.open() as stream:
        assert stream.read() == b"b/readme.md\n"


def test_arguments_keep_their_order(tree: Path) -> None:
    assert names(tree / "b/2.json", tree / "a", root=tree) == ["b/2.json", "a/x.csv"]


def test_globs(tree: Path) -> None:
    assert names(tree / "*.json", root=tree) == ["a-b.json", "a.json"]
    assert names(tree / "**/*.json", root=tree) == ["a-b.json", "a.json", "b/2.json"]
    assert names(tree / "?/*.gz", root=tree) == ["b/1.ndjson.gz"]
    assert names(f"file://{tree}/b", root=tree) == ["b/1.ndjson.gz", "b/2.json"]


def test_a_file_with_wildcards_in_its_name_is_that_file(tree: Path) -> None:
    odd = tree / "odd[1]*.json"
    odd.write_text("{}")
    assert names(odd, root=tree) == ["odd[1]*.json"]


def test_standard_input() -> None:
    (source,) = sources_of(["-"], STDIN)
    assert (source.name, source.size) == ("-", None)
    assert source.open() is STDIN


def test_what_is_missing_is_said_at_once(tree: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.json does not exist"):
        sources_of([str(tree), str(tree / "nowhere.json")], STDIN)


def test_finding_nothing_says_what_was_looked_for(tree: Path) -> None:
    (tree / "docs").mkdir()
    (tree / "docs" / "a.md").write_text("")
    with pytest.raises(SourceError, match=r"the folder .*docs \(1 files there have other names\).*\.parquet"):
        names(tree / "docs")
    with pytest.raises(SourceError, match=r"the pattern .*\*\.xml"):
        names(tree / "*.xml")
    with pytest.raises(SourceError, match="nothing was named"):
        names()


def test_unknown_schemes_and_credentials_in_urls_are_refused() -> None:
    with pytest.raises(SourceError, match="'ftp://' is not known"):
        names("ftp://host/x")
    with pytest.raises(ConfigurationError, match="no credentials") as refused:
        names("s3://key:hunter2@bucket/x")
    assert "hunter2" not in str(refused.value)


def test_links_that_go_round_end(tree: Path) -> None:
    (tree / "b" / "up").symlink_to(tree, target_is_directory=True)
    (tree / "c").symlink_to(tree / "a", target_is_directory=True)
    assert names(tree, root=tree) == ["a-b.json", "a.json", "a/x.csv", "b/1.ndjson.gz", "b/2.json", "c/x.csv"]


@pytest.mark.parametrize("name", ["a.json", "A.JSON.GZ", "x/a.jsonl.zst", "a.parquet", "a.ndjson.zstd"])
def test_names_that_count(name: str) -> None:
    assert is_loadable(name)


@pytest.mark.parametrize("name", ["a.gz", "a", "a.json~", "x/.a.json", "a.json.part", "json"])
def test_names_that_do_not_count(name: str) -> None:
    assert not is_loadable(name)


def test_a_name_that_is_no_text_is_loaded_all_the_same(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.json")).write_bytes(b"{}")
    (source,) = sources_of([str(tmp_path)], STDIN)
    assert source.name.endswith("caf?.json")
    assert source.name.isprintable()
    with source.open() as stream:
        assert stream.read() == b"{}"


def test_a_file_url_may_hold_a_pattern_and_escapes(tree: Path) -> None:
    (tree / "with space").mkdir()
    (tree / "with space" / "a.json").write_text("{}")
    assert names(f"file://{tree}/?.json", root=tree) == ["a.json"]
    assert names(f"file://{tree}/with%20space", root=tree) == ["with space/a.json"]


def test_a_store_never_leaves_its_folder(tree: Path) -> None:
    store = LogStore.open(str(tree / "a"), {})
    for path in ("../a.json", "/etc/passwd", "x/../../a.json", "", "a\0b"):
        with pytest.raises(InvalidInput, match="no path within"):
            store.read(path)
        with pytest.raises(InvalidInput, match="no path within"):
            store.put(path, b"x")


def test_a_store_puts_whole_and_lists_what_it_put(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path.as_uri(), {})
    store.put("30/org/2.json", b"two")
    store.put("30/org/1.json", b"one")
    store.put("30/org2/3.json", b"three")
    before = store.find("30/org/1.json")
    assert before is not None
    store.put("30/org/1.json", b"other")
    after = store.find("30/org/1.json")
    assert after is not None
    assert (after.etag, after.size) != (before.etag, before.size)
    assert [found.path for found in store.list("30/org")] == ["30/org/1.json", "30/org/2.json"]
    assert [found.path for found in store.list()] == ["30/org/1.json", "30/org/2.json", "30/org2/3.json"]
    assert dict(store.read_many(["30/org/2.json", "30/org/1.json"])) == {
        "30/org/1.json": b"other",
        "30/org/2.json": b"two",
    }
    assert store.find("30/org/9.json") is None
    assert list(store.list("30/nobody")) == []
    assert not list(tmp_path.rglob("*.tmp"))
    assert store.path_of(store.location("30/org/1.json")) == "30/org/1.json"


def test_a_missing_folder_and_an_unknown_scheme_are_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        LogStore.open(str(tmp_path / "nowhere"), {})
    with pytest.raises(ConfigurationError, match="three slashes"):
        LogStore.open("file://otherhost/x", {})
    with pytest.raises(ConfigurationError, match="allowed are a folder"):
        LogStore.open("http://x/y", {})


def test_many_small_objects_are_all_found(tmp_path: Path) -> None:
    for at in range(2000):
        (tmp_path / f"{at}.json").write_bytes(b"{}")
    size = 0
    for source in sources_of([str(tmp_path)], STDIN):
        with source.open() as stream:
            size += len(stream.read())
    assert size == 4000
