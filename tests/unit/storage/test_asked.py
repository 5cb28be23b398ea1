"""What a person names is found before anything else is done: files, folders, patterns, URLs."""

from pathlib import Path

import fsspec
import pytest

from actionrec.config import Storage
from actionrec.errors import InputError
from actionrec.storage.asked import videos_asked

FILES = ("b.mp4", "a.AVI", "sub/c.mkv", "sub/deep/d.mov", "notes.txt", "sub/.hidden.mp4", ".cache/e.mp4", "x[1].mp4")
VIDEOS = ["a.AVI", "b.mp4", "sub/c.mkv", "sub/deep/d.mov", "x[1].mp4"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "clips"


@pytest.fixture
def bucket(folder: Path) -> str:
    """The same files in a bucket."""
    store = fsspec.filesystem("memory")
    for name in FILES:
        store.pipe_file(f"/asked/clips/{name}", b"")
    return "memory://asked"


def asked(*names: object) -> list[str]:
    return videos_asked([str(name) for name in names], Storage())


def test_a_folder_is_its_videos_in_the_order_of_paths(folder: Path, bucket: str) -> None:
    for spelling in (folder, f"{folder}/", "clips", "./clips", "~/clips", f"{bucket}/clips", f"{bucket}/clips/"):
        assert asked(spelling) == [f"{str(spelling).rstrip('/')}/{name}" for name in VIDEOS]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("clips/*.mp4", ["b.mp4", "x[1].mp4"]),
        ("clips/**/*.m*", ["b.mp4", "sub/c.mkv", "sub/deep/d.mov", "x[1].mp4"]),
        ("clips/s*", ["sub/c.mkv", "sub/deep/d.mov"]),  # a folder
        ("clips/*", VIDEOS),
        ("clips/**", VIDEOS),
        ("*/[ab].*", ["a.AVI", "b.mp4"]),
    ],
)
def test_a_pattern_is_the_videos_that_match(folder: Path, bucket: str, pattern: str, names: list[str]) -> None:
    assert asked(pattern) == [f"clips/{name}" for name in names]
    assert asked(f"{bucket}/{pattern}") == [f"{bucket}/clips/{name}" for name in names]


def test_each_video_comes_once_where_it_is_named_first(folder: Path, bucket: str) -> None:
    found = asked("clips/sub/c.mkv", "clips", folder / "b.mp4", "clips/../clips/a.AVI", "clips/*.mp4")
    assert found == ["clips/sub/c.mkv", *(f"clips/{name}" for name in VIDEOS if name != "sub/c.mkv")]
    assert asked(f"{bucket}/clips/b.mp4", f"{bucket}/clips/*.mp4") == [
        f"{bucket}/clips/{n}" for n in ("b.mp4", "x[1].mp4")
    ]


def test_a_name_that_is_there_is_no_pattern_and_needs_no_extension(folder: Path, bucket: str) -> None:
    names = ["clips/x[1].mp4", "clips/notes.txt", f"{bucket}/clips/x[1].mp4", f"{bucket}/clips/notes.txt"]
    assert asked(*names) == names


def test_a_link_to_nowhere_in_a_folder_is_not_left_out(folder: Path) -> None:
    (folder / "z.mp4").symlink_to(folder / "none.mp4")
    assert asked(folder)[-1] == str(folder / "z.mp4")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.mp4", "none.mp4: there is no such file or folder"),
        ("", "'': there is no such file"),
        ("clips/\0.mp4", "no such file"),
        ("empty", "empty holds no videos"),
        ("clips/notes*", "clips/notes*: no video matches"),
        ("clips/**/*.webm", "no video matches"),
        ("memory://asked/none.mp4", "there is no such file or folder"),
        ("memory://asked/clips/*.webm", "no video matches"),
        ("memory://*/a.mp4", "named in full"),
        ("ftp://nobody/clip.mp4", "not supported"),
    ],
)
def test_what_is_not_there_is_one_sentence(folder: Path, bucket: str, name: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        asked("clips", name)
    assert words in str(error.value)
