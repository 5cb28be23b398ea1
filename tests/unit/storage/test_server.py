"""The person says which server a run talks to, by this command or the environment; a root's word is only compared."""

from pathlib import Path

import pytest

from actionrec.config import Storage, dump, load
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.object_store import ObjectStore
from actionrec.storage.root import open_root

THEIRS, MINE = "http://theirs.example:9000", "http://mine.example:9000"


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A root whose config.yaml names a server."""
    (tmp_path / layout.CONFIG).write_text(dump(load([{"storage": {"endpoint_url": THEIRS}}])))
    return str(tmp_path)


def given(url: str | None) -> list[dict[str, object]]:
    return [{"storage": {"endpoint_url": url}}]


def test_a_root_that_names_a_server_is_refused_until_the_person_names_one(root: str) -> None:
    with pytest.raises(InputError, match=rf"'{THEIRS}'.*--set storage\.endpoint_url=URL or AWS_ENDPOINT_URL"):
        open_root(root)
    with pytest.raises(InputError, match=THEIRS):
        open_root(root, [{"storage": {}}])


@pytest.mark.parametrize("url", [MINE, THEIRS, f"{THEIRS}/"])
@pytest.mark.parametrize("place", ["command", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_what_the_person_names_is_used(url: str, place: str, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if place != "command":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://outranked.example")
        monkeypatch.setenv(place, url)
    opened = open_root(root, given(url) if place == "command" else [])
    store = ObjectStore("s3://bucket/x", opened.config.storage)
    assert store._fs.endpoint_url.rstrip("/") == url.rstrip("/")
    assert len(opened.warnings()) == (url == MINE)
    assert all(f"'{THEIRS}'" in sentence and f"'{MINE}'" in sentence for sentence in opened.warnings())


def test_aws_itself_can_be_named_too(root: str) -> None:
    opened = open_root(root, given(None))
    assert opened.config.storage == Storage()
    assert "this run talks to 'AWS'" in opened.warnings()[0]


def test_a_root_that_says_the_same_is_not_written_again(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{THEIRS}/")
    opened = open_root(root)
    assert opened.config == opened.stored and opened.warnings() == []


def test_a_root_that_names_no_server_takes_what_is_given(tmp_path: Path) -> None:
    (tmp_path / layout.CONFIG).write_text(dump(load([])))
    assert open_root(str(tmp_path)).config.storage == Storage()
    opened = open_root(str(tmp_path), given(MINE))
    assert opened.config.storage.endpoint_url == MINE and opened.warnings() == []
    opened.save_config()
    with pytest.raises(InputError, match=MINE):
        open_root(str(tmp_path))


def test_the_sentence_shows_no_secret_and_stays_one_line(tmp_path: Path) -> None:
    said = "http://key:SECRET@host\n\x1b[31merror"
    (tmp_path / layout.CONFIG).write_text(dump(load(given(said))))
    for layers in ([], given(MINE)):
        try:
            sentence = open_root(str(tmp_path), layers).warnings()[0]
        except InputError as refusal:
            sentence = str(refusal)
        assert "host" in sentence and "SECRET" not in sentence and sentence.isprintable()


def test_where_aws_does_not_know_a_bucket_the_way_to_name_a_server_is_said() -> None:
    assert "AWS_ENDPOINT_URL" in str(ObjectStore("s3://bucket/x", Storage())._no_bucket())
    assert "AWS_ENDPOINT_URL" not in str(ObjectStore("s3://bucket/x", Storage(MINE))._no_bucket())


def test_an_empty_name_in_a_root_names_no_server(tmp_path: Path) -> None:
    (tmp_path / layout.CONFIG).write_text("storage: {endpoint_url: ''}")
    assert open_root(str(tmp_path)).warnings() == []
