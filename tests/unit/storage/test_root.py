"""A root remembers its configuration and refuses to mix what was made with another."""

from pathlib import Path

import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.config import dump, load
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.root import Root, begin, fingerprint, open_root, settings

RANDOM = {"frame": {"weights": "random"}, "audio": {"weights": "random", "pca": False}, "flow": {"model": "dis"}}


def catalogued(folder: Path) -> Root:
    root = open_root(str(folder), [RANDOM, {"data": {"source": "/videos"}}])
    root.store.put(layout.CATALOG, schema.to_parquet(schema.CATALOG.empty_table(), "x"))
    root.save_config()
    return root


def test_later_verbs_read_what_the_first_one_stored(tmp_path: Path) -> None:
    first = catalogued(tmp_path)
    assert open_root(str(tmp_path)).config == first.config
    assert open_root(str(tmp_path), [{"extract": {"decoders": 3}}]).config.flow.model == "dis"


def test_a_change_to_a_begun_stage_is_refused_by_its_keys(tmp_path: Path) -> None:
    catalogued(tmp_path)
    with pytest.raises(InputError, match=r"data\.dataset .*'folder', now 'csv'.*--replace catalog"):
        open_root(str(tmp_path), [{"data": {"dataset": "csv"}}])
    changed = open_root(str(tmp_path), [{"clip": {"max_s": 5}}])  # extract has not begun: free to change
    begin(changed, "extract", {"frame": "1"})
    changed.save_config()
    with pytest.raises(InputError, match=r"clip\.max_s .*5\.0, now 6\.0.*--replace extract"):
        open_root(str(tmp_path), [{"clip": {"max_s": 6}}])


def test_what_changes_no_value_is_free_to_change(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    begin(root, "extract", {"frame": "1"})
    free = {"extract": {"actors": 2}, "limits": {"decode_timeout_s": 5}, "clip": {"allow_partial": True}}
    changed = open_root(str(tmp_path), [free]).config
    assert changed != root.config
    assert fingerprint("extract", changed, {}) == fingerprint("extract", root.config, {})


def test_settings_hold_exactly_what_matters() -> None:
    dis = settings("extract", load([RANDOM]))
    assert "flow.weights" not in dis and "flow.checkpoint" not in dis
    assert "seed" in dis
    assert "seed" not in settings("extract", load([]))  # nothing random: the seed has no say
    assert "data.split" not in settings("catalog", load([{"data": {"dataset": "csv"}}]))


def test_other_weights_are_refused(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    mark = begin(root, "extract", {"frame": "1", "audio": "2"})
    assert begin(root, "extract", {"frame": "1", "audio": "2"}) == mark
    with pytest.raises(InputError, match="other inputs audio; use"):
        begin(root, "extract", {"frame": "1", "audio": "3"})


def test_replacing_a_stage_deletes_it_and_what_follows_once_it_is_ready(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    begin(root, "extract", {})
    root.store.put(layout.feature("spatial", 0), b"x")
    root.store.put(layout.commit_mark(0), b"x")
    everything = set(root.store.sizes())
    replaced = open_root(str(tmp_path), [{"clip": {"max_s": 6}}], replace="extract")
    assert set(root.store.sizes()) == everything  # nothing is deleted before the stage has checked its input
    replaced.clear("catalog")
    assert set(root.store.sizes()) == everything
    replaced.clear("extract")
    assert set(root.store.sizes()) == {layout.CONFIG, layout.CATALOG, layout.replacement("extract")}
    with pytest.raises(InputError, match=r"stage catalog .*data\.dataset"):
        open_root(str(tmp_path), [{"data": {"dataset": "csv"}}], replace="extract")
    with pytest.raises(InputError, match="no such stage"):
        open_root(str(tmp_path), replace="everything")


def test_a_driver_killed_between_two_writes_leaves_a_root_that_goes_on(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    changed = open_root(str(tmp_path), [{"clip": {"max_s": 5}}])
    begin(changed, "extract", {})
    root.store.put(layout.CONFIG, dump(root.config).encode())  # as if save_config had never come
    assert begin(open_root(str(tmp_path), [{"clip": {"max_s": 5}}]), "extract", {})


def test_a_relative_source_means_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_root("root", [{"data": {"source": "clips.csv"}}]).config.data.source == str(tmp_path / "clips.csv")
    assert open_root("root", [{"data": {"source": "s3://b/x/"}}]).config.data.source == "s3://b/x"


def test_a_damaged_catalog_or_config_is_one_sentence(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    (tmp_path / layout.CATALOG).write_bytes(b"PAR1")
    with pytest.raises(Exception, match=r"catalog\.parquet"):
        root.catalog()
    (tmp_path / layout.CONFIG).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"config\.yaml"):
        open_root(str(tmp_path))


def test_no_catalog_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="actionrec catalog"):
        open_root(str(tmp_path)).catalog()


def test_the_catalog_is_read_as_it_was_written(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    row = {"video_id": "a", "path": "/a", "label": None, "group": "a", "split": "train", "bytes": 1}
    table = pa.Table.from_pylist([row | {"class_index": None}], schema=schema.CATALOG)
    root.store.put(layout.CATALOG, schema.to_parquet(table, "x"))
    assert root.catalog().equals(table)


def test_knobs_that_came_later_are_no_change_to_stages_made_before_them() -> None:
    """These fingerprints were recorded by roots made before rnn.heads and fusion.refit existed."""
    recorded = {"tune": "e440bad155153472", "rnn": "6f972cbc89ff5b19", "fusion": "b755c432ca3598e4"}
    assert {stage: fingerprint(stage, load([]), {}) for stage in recorded} == recorded
    assert fingerprint("rnn", load([{"rnn": {"attention": True}}]), {}) == "7468b584b9ef17c7"
    several = load([{"rnn": {"attention": True, "heads": 8}}])
    assert settings("rnn", several)["rnn.heads"] == 8 and "rnn.heads" not in settings("tune", several)


DEMO = {"data": {"dataset": "ucf101"}}


def test_a_named_configuration_leaves_alone_what_a_root_knows_of_its_source(tmp_path: Path) -> None:
    url = str(tmp_path)
    given = {"data": {"source": "/videos", "dataset": "hmdb51", "split": 2}}
    assert open_root(url, [given], named=DEMO).config.data.dataset == "hmdb51"  # what is given by hand stands above it
    root = open_root(url, [given])
    root.store.put(layout.CATALOG, schema.to_parquet(schema.CATALOG.empty_table(), "x"))
    root.save_config()
    for named in (DEMO, {"data": {"dataset": "ucf101", "split": 1, "source": "/elsewhere"}}):
        for layers in ([], [{"data": {"source": "/videos"}}]):
            assert open_root(url, layers, named=named).config == root.config
    for change in ({"dataset": "folder"}, {"split": 3}, {"source": "/others"}):
        with pytest.raises(InputError, match=f"data.{next(iter(change))}"):
            open_root(url, [{"data": change}], named=DEMO)
    assert open_root(url, [], named={"seeds": [3]}).config.seeds == (3,)


def test_of_another_source_a_named_configuration_says_all_that_it_has_to_say(tmp_path: Path) -> None:
    catalogued(tmp_path)
    new = open_root(str(tmp_path), [{"data": {"source": "/others"}}], "catalog", DEMO)
    assert new.config.data.dataset == "ucf101" and new.kind_is_said
    assert not open_root(str(tmp_path), [{"data": {"source": "/others"}}], "catalog").kind_is_said


def test_a_refusal_says_how_to_keep_before_how_to_delete(tmp_path: Path) -> None:
    begin(catalogued(tmp_path), "extract", {"frame": "1"})
    for layer, ways in (({"clip": {"max_s": 6}}, "leave `--config` or"), ({"data": {"source": "/x"}}, "leave SRC, ")):
        with pytest.raises(InputError, match=f"{ways}.*--root.*--replace"):
            open_root(str(tmp_path), [layer])
