"""Stored models: whole or not there at all, and refused in words when they are not what was recorded."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch

from actionrec.errors import InputError
from actionrec.storage import layout, models
from actionrec.storage.local_store import LocalStore

FOLDER, MINE, REMEDY = "models/net/", "f1", "train again"
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([0.5, -0.5])}
HISTORY = [{"epoch": 0, "val_loss": 1.5}]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(str(tmp_path))
    models.save(store, FOLDER, TENSORS, fingerprint=MINE, config={"units": 3}, labels=["a", "ї<"], history=HISTORY)
    return store


def rewrite_config(store: LocalStore, **changes: object) -> None:
    key = FOLDER + models.CONFIG
    store.put(key, json.dumps(json.loads(store.read(key)) | changes).encode())


def test_a_model_comes_back_as_it_was_saved(store: LocalStore) -> None:
    found = models.load(store, FOLDER, MINE, REMEDY)
    assert found.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)
    assert (found.labels, found.history, found.config["units"]) == (["a", "ї<"], HISTORY, 3)
    assert models.finished(store, FOLDER, MINE)


def test_tensors_that_are_views_are_saved_by_their_values(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    models.save(store, FOLDER, {"t": TENSORS["weight"].T}, fingerprint=MINE, config={})
    assert torch.equal(models.load(store, FOLDER, MINE, REMEDY).tensors["t"], TENSORS["weight"].T)


def test_a_model_is_not_there_before_its_last_file_is(store: LocalStore) -> None:
    store.delete(FOLDER + models.CONFIG)
    assert not models.finished(store, FOLDER, MINE)
    with pytest.raises(InputError, match=f"{FOLDER}.*no finished model.*{REMEDY}"):
        models.load(store, FOLDER, MINE, REMEDY)


@pytest.mark.parametrize("place", [0, 9, -1])
def test_a_changed_byte_is_refused(store: LocalStore, place: int) -> None:
    key = FOLDER + models.WEIGHTS
    data = bytearray(store.read(key))
    data[place] ^= 1
    store.put(key, bytes(data))
    with pytest.raises(InputError, match=f"{models.WEIGHTS}.*sha256.*{REMEDY}"):
        models.load(store, FOLDER, MINE, REMEDY)
    assert store.read(key) == bytes(data)


def test_a_pickle_is_never_opened_even_where_its_hash_is_recorded(store: LocalStore, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "opened",)

    data = pickle.dumps(Canary())
    store.put(FOLDER + models.WEIGHTS, data)
    rewrite_config(store, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(InputError, match="not a file of tensors"):
        models.load(store, FOLDER, MINE, REMEDY)
    assert not (tmp_path / "opened").exists()


def test_a_model_of_other_settings_is_refused_and_not_taken_for_missing(store: LocalStore) -> None:
    for ask in (lambda: models.finished(store, FOLDER, "f2"), lambda: models.load(store, FOLDER, "f2", REMEDY)):
        with pytest.raises(InputError, match=r"other settings or data.*'f1', not 'f2'"):
            ask()


@pytest.mark.parametrize("name", [models.CONFIG, models.LABELS, layout.HISTORY])
@pytest.mark.parametrize("text", [b"{", b"\xff", b"3"])
def test_damaged_json_is_named(store: LocalStore, name: str, text: bytes) -> None:
    store.put(FOLDER + name, text)
    with pytest.raises(InputError, match="damaged"):
        models.load(store, FOLDER, MINE, REMEDY)


def test_the_first_note_about_a_video_counts_and_saving_takes_all_notes_away(store: LocalStore) -> None:
    for fingerprint, video, reason in ((MINE, "a.avi", "corrupt"), (MINE, "a.avi", "missing"), ("f2", "b.avi", "x")):
        models.leave_out(store, FOLDER, fingerprint, video, reason)
    store.put(FOLDER + models.CHECKPOINT, b"unfinished")
    assert models.left_out(store, FOLDER, MINE) == {"a.avi": "corrupt"}
    models.save(store, FOLDER, TENSORS, fingerprint=MINE, config={})
    assert models.left_out(store, FOLDER, MINE) == {}
    assert sorted(store.sizes(FOLDER)) == sorted(
        FOLDER + name for name in (models.CONFIG, layout.HISTORY, layout.JOURNAL, models.LABELS, models.WEIGHTS)
    )


def test_a_checkpoint_is_read_by_the_training_that_stored_it(tmp_path: Path) -> None:
    store, key = LocalStore(str(tmp_path)), FOLDER + models.CHECKPOINT
    assert models.read_checkpoint(store, key, MINE) is None
    models.put_checkpoint(store, key, MINE, b"  data\n")
    assert models.read_checkpoint(store, key, MINE) == b"  data\n"
    assert models.read_checkpoint(store, key, "f2") is None
