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
from actionrec.storage.root import STAGES, Root, begin, open_root

RANDOM = {"frame": {"weights": "random"}, "audio": {"weights": "random", "pca": False}, "flow": {"model": "dis"}}
WEIGHTS = {"frame": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root whose extraction is finished, and a sweep that follows it."""
    root = open_root(str(tmp_path), [RANDOM, {"data": {"source": "/videos"}}])
    root.store.put(layout.CATALOG, schema.to_parquet(schema.CATALOG.empty_table(), "x"))
    begin(root, "extract", WEIGHTS)
    root.store.put(layout.commit_mark(0), b"of before")
    root.finish("extract")
    return tmp_path


def typed(folder: Path, command: str | None = None, stage: str = "extract", **settings: Any) -> Root:
    root = open_root(str(folder), [settings], replace=stage)
    return dataclasses.replace(root, command=command)


def interrupted(folder: Path, command: str | None = None, **settings: Any) -> None:
    """Deletes, begins, commits part 1, and is killed."""
    root = typed(folder, command, **settings)
    begin(root, "extract", WEIGHTS)
    root.store.put(layout.commit_mark(1), b"made since")


def marks(folder: Path) -> list[str]:
    return [path.name for path in sorted((folder / layout.STATUS).glob("*"))]


def test_the_same_command_goes_on(folder: Path) -> None:
    for command in (None, "run"):
        interrupted(folder, command)
        begin(typed(folder, command), "extract", WEIGHTS)
        begin(typed(folder, command), "extract", WEIGHTS)
        assert marks(folder) == ["extract-000001.parquet"]


def test_what_is_finished_and_replaced_again_is_deleted_again(folder: Path) -> None:
    interrupted(folder)
    open_root(str(folder)).finish("extract")  # the plain verb came to its end
    begin(typed(folder), "extract", WEIGHTS)
    assert marks(folder) == []
    interrupted(folder, "run")
    open_root(str(folder)).finish("extract")  # `run` has more to do after the stage
    begin(typed(folder, "run"), "extract", WEIGHTS)
    assert marks(folder) == ["extract-000001.parquet"]
    open_root(str(folder)).finish("extract", "run")
    begin(typed(folder, "run"), "extract", WEIGHTS)
    assert marks(folder) == []


def test_another_command_deletes_unless_the_stage_is_known_to_be_unfinished(folder: Path) -> None:
    interrupted(folder, "run")
    begin(typed(folder), "extract", WEIGHTS)
    assert marks(folder) == []
    interrupted(folder)
    begin(typed(folder, "run"), "extract", WEIGHTS)
    assert marks(folder) == ["extract-000001.parquet"]


@pytest.mark.parametrize("settings", [{"clip": {"max_s": 5}}, {"rnn": {"units": 16}}])
def test_other_settings_delete(folder: Path, settings: dict[str, Any]) -> None:
    interrupted(folder)
    begin(typed(folder, **settings), "extract", WEIGHTS)
    assert marks(folder) == []


def test_other_inputs_delete(folder: Path) -> None:
    interrupted(folder)
    begin(typed(folder), "extract", {"frame": "2"})
    assert marks(folder) == []


def test_what_another_run_has_made_in_between_is_deleted(folder: Path) -> None:
    root = typed(folder)
    root.clear("extract", WEIGHTS)  # killed before it began
    begin(open_root(str(folder), [{"clip": {"max_s": 5}}]), "extract", WEIGHTS)
    root.store.put(layout.commit_mark(1), b"of other settings")
    begin(typed(folder, clip={"max_s": 36}), "extract", WEIGHTS)
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
                begin(typed(folder), "extract", WEIGHTS)
                break
            except ActionrecError:
                pass
        begin(typed(folder), "extract", WEIGHTS)
        assert marks(folder) == []
        calls += 1
    assert calls > 20


def test_replacing_an_earlier_stage_forgets_that_a_later_one_was_being_replaced(folder: Path) -> None:
    begin(typed(folder, stage="tune"), "tune", {"a": "1"})
    assert (folder / layout.replacement("tune")).exists()
    begin(typed(folder, "run", stage="catalog"), "extract", WEIGHTS)
    typed(folder, "run", stage="catalog").clear("catalog")
    assert not (folder / layout.replacement("tune")).exists()


def test_a_note_that_cannot_be_read_is_none(folder: Path) -> None:
    interrupted(folder)
    for damaged in (b"[1]", b"{", b"\xff"):
        (folder / layout.replacement("extract")).write_bytes(damaged)
        begin(typed(folder), "extract", WEIGHTS)
        assert marks(folder) == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_verb_of_every_stage_says_when_it_has_come_to_its_end(stage: str) -> None:
    assert f'root.finish("{stage}")' in inspect.getsource(verbs)
