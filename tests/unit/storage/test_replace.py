"""A --replace that is interrupted and typed again goes on; one that is finished, or wants other things, deletes."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from actionrec import schema, verbs
from actionrec.errors import ActionrecError
from actionrec.storage import layout
from actionrec.storage.local_store import LocalStore
from actionrec.storage.root import Root, begin, open_root
from actionrec.storage.stages import STAGES

RANDOM = {"frame": {"weights": "random"}, "audio": {"weights": "random", "pca": False}, "flow": {"model": "dis"}}
WEIGHTS = {"audio weights": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root whose audio stream is finished, and a flow that it has nothing to do with."""
    root = open_root(str(tmp_path), [RANDOM, {"data": {"source": "/videos"}}])
    root.store.put(layout.CATALOG, schema.to_parquet(schema.CATALOG.empty_table(), "x"))
    for stream in ("flow", "audio"):
        begin(root, stream, WEIGHTS)
        root.store.put(layout.commit_mark(stream, 0), b"of before")
    root.finish("extract")
    return tmp_path


def typed(folder: Path, command: str | None = None, stage: str = "audio", **settings: Any) -> Root:
    root = open_root(str(folder), [settings], replace=stage)
    return dataclasses.replace(root, command=command)


def interrupted(folder: Path, command: str | None = None, **settings: Any) -> None:
    """Deletes, begins, commits part 1, and is killed."""
    root = typed(folder, command, **settings)
    begin(root, "audio", WEIGHTS)
    root.store.put(layout.commit_mark("audio", 1), b"made since")


def marks(folder: Path) -> list[str]:
    """Of the audio stream; those of flow stay whatever happens."""
    found = [path.name for path in sorted((folder / layout.STATUS).glob("*"))]
    assert "flow-000000.parquet" in found
    return [name for name in found if name.startswith("audio-")]


def test_the_same_command_goes_on(folder: Path) -> None:
    for command in (None, "run"):
        interrupted(folder, command)
        begin(typed(folder, command), "audio", WEIGHTS)
        begin(typed(folder, command), "audio", WEIGHTS)
        assert marks(folder) == ["audio-000001.parquet"]


def test_what_is_finished_and_replaced_again_is_deleted_again(folder: Path) -> None:
    interrupted(folder)
    open_root(str(folder)).finish("extract")  # the plain verb came to its end
    begin(typed(folder), "audio", WEIGHTS)
    assert marks(folder) == []
    interrupted(folder, "run")
    open_root(str(folder)).finish("extract")  # `run` has more to do after the stage
    begin(typed(folder, "run"), "audio", WEIGHTS)
    assert marks(folder) == ["audio-000001.parquet"]
    open_root(str(folder)).finish("extract", "run")
    begin(typed(folder, "run"), "audio", WEIGHTS)
    assert marks(folder) == []


def test_another_command_deletes_unless_the_stage_is_known_to_be_unfinished(folder: Path) -> None:
    interrupted(folder, "run")
    begin(typed(folder), "audio", WEIGHTS)
    assert marks(folder) == []
    interrupted(folder)
    begin(typed(folder, "run"), "audio", WEIGHTS)
    assert marks(folder) == ["audio-000001.parquet"]


@pytest.mark.parametrize("settings", [{"audio": {"weights": "pretrained"}}, {"rnn": {"units": 16}}])
def test_other_settings_delete(folder: Path, settings: dict[str, Any]) -> None:
    interrupted(folder)
    begin(typed(folder, **settings), "audio", WEIGHTS)
    assert marks(folder) == []


def test_other_inputs_delete(folder: Path) -> None:
    interrupted(folder)
    begin(typed(folder), "audio", {"audio weights": "2"})
    assert marks(folder) == []


def test_what_another_run_has_made_in_between_is_deleted(folder: Path) -> None:
    root = typed(folder)
    root.clear("audio", WEIGHTS)  # killed before it began
    begin(open_root(str(folder), [{"audio": {"weights": "pretrained"}}]), "audio", WEIGHTS)
    root.store.put(layout.commit_mark("audio", 1), b"of other settings")
    begin(typed(folder, audio={"weights": "random"}), "audio", WEIGHTS)
    assert marks(folder) == []


def test_a_deletion_that_is_cut_off_anywhere_is_finished_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {key: LocalStore(str(folder)).read(key) for key in LocalStore(str(folder)).sizes()}
    delete, calls = LocalStore.delete, 0
    while True:
        store = LocalStore(str(folder))
        for key in store.sizes():
            delete(store, key)
        for key, data in start.items():
            store.put(key, data)
        left = [calls]

        def cut_off(store: LocalStore, prefix: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise ActionrecError("cut off")
            delete(store, prefix)

        with monkeypatch.context() as patched:
            patched.setattr(LocalStore, "delete", cut_off)
            try:
                begin(typed(folder), "audio", WEIGHTS)
                break
            except ActionrecError:
                pass
        begin(typed(folder), "audio", WEIGHTS)
        assert marks(folder) == []
        calls += 1
    assert calls > 20


def test_replacing_an_earlier_stage_forgets_that_a_later_one_was_being_replaced(folder: Path) -> None:
    begin(typed(folder, stage="tune"), "tune", {"a": "1"})
    assert (folder / layout.replacement("tune")).exists()
    begin(typed(folder, "run", stage="spatial"), "spatial", {})
    assert not (folder / layout.replacement("tune")).exists()


def test_a_change_of_what_follows_is_still_the_same_replacement_once_it_is_stored(folder: Path) -> None:
    """Before the first deletion the root knows how it was made, afterwards how it is to be made."""
    begin(open_root(str(folder)), "spatial", {})
    for _ in range(2):
        begin(typed(folder, stage="flow", sampling={"method": "uniform"}), "flow", {})
        LocalStore(str(folder)).put(layout.commit_mark("flow", 1), b"made since")
    assert (folder / layout.commit_mark("flow", 1)).exists() and not (folder / layout.commit_mark("flow", 0)).exists()
    begin(typed(folder, stage="flow"), "flow", {})
    assert (folder / layout.commit_mark("flow", 1)).exists()


EXTRACT = ("flow", "spatial", "audio")


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_verb_that_is_killed_between_its_stages_goes_on_with_those_that_had_begun(
    folder: Path, killed_at: int
) -> None:
    """`--replace extract` replaces three stages, each when it begins."""
    for stream in EXTRACT[:killed_at]:
        begin(typed(folder, "run", "extract"), stream, WEIGHTS)
        LocalStore(str(folder)).put(layout.commit_mark(stream, 1), b"made since")
    for stream in EXTRACT:
        begin(typed(folder, "run", "extract"), stream, WEIGHTS)
    left = sorted(path.name for path in (folder / layout.STATUS).glob("*"))
    assert left == sorted(f"{stream}-000001.parquet" for stream in EXTRACT[:killed_at])
    open_root(str(folder)).finish("extract", "run")
    assert not list((folder / layout.REPLACING).glob("*"))


def test_a_features_pass_that_is_killed_goes_on_and_its_network_stays(folder: Path) -> None:
    """`train motion --replace motion`: the network is finished, half of its features are there."""
    root = typed(folder, stage="motion")
    for _ in range(2):
        begin(root, "motion_cnn", {"flow": "1"})
        begin(root, "motion", {"motion_cnn": "1"})
        root.store.put(f"{layout.model(layout.MOTION_CNN)}config.json", b"trained")
        root.store.put(layout.commit_mark("motion", 0), b"made since")
        root = typed(folder, stage="motion")
    begin(root, "motion_cnn", {"flow": "1"})
    begin(root, "motion", {"motion_cnn": "1"})
    assert root.store.exists(f"{layout.model(layout.MOTION_CNN)}config.json")
    assert root.store.exists(layout.commit_mark("motion", 0))
    begin(root, "motion", {"motion_cnn": "2"})  # of another network
    assert not root.store.exists(layout.commit_mark("motion", 0))


def test_a_note_that_cannot_be_read_is_none(folder: Path) -> None:
    interrupted(folder)
    for damaged in (b"[1]", b"{", b"\xff"):
        (folder / layout.replacement("audio")).write_bytes(damaged)
        begin(typed(folder), "audio", WEIGHTS)
        assert marks(folder) == []


@pytest.mark.parametrize("verb", {row.verb: None for row in STAGES.values()})
def test_every_verb_says_when_it_has_come_to_its_end(verb: str) -> None:
    assert f'root.finish("{verb}")' in inspect.getsource(verbs)
