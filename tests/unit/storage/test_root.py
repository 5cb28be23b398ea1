"""A root remembers its configuration and refuses to mix what was made with another."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actionrec import schema
from actionrec.config import dump, load, read_layer
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.another import Another
from actionrec.storage.records import dumped, fingerprint
from actionrec.storage.root import Root, begin, made_from, open_root, record
from actionrec.storage.stages import STAGES, differing, following, settings

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


def begun(root: Root, *stages: str) -> None:
    """These stages with something that each owns, in the order of work."""
    for stage in stages:
        begin(root, stage, {})
        root.store.put(f"{STAGES[stage].owns[-1].removesuffix('.')}x", b"x")
    root.save_config()


def stages_of(root: Root) -> list[str]:
    return [name for name in STAGES if root.begun(name)]


def test_a_change_to_a_begun_stage_is_refused_by_its_keys(tmp_path: Path) -> None:
    catalogued(tmp_path)
    with pytest.raises(InputError, match=r"data\.dataset .*'folder', now 'csv'.*--replace catalog"):
        open_root(str(tmp_path), [{"data": {"dataset": "csv"}}])
    changed = open_root(str(tmp_path), [{"clip": {"max_s": 5}}])  # no stream has begun: free to change
    begin(changed, "audio", {"audio weights": "1"})
    changed.save_config()
    with pytest.raises(InputError, match=r"stage audio .*clip\.max_s .*5\.0, now 6\.0.*--replace audio"):
        open_root(str(tmp_path), [{"clip": {"max_s": 6}}])


def test_the_refusal_names_one_replace_that_is_enough_and_deletes_no_more(tmp_path: Path) -> None:
    begun(catalogued(tmp_path), "flow", "spatial", "audio", "rnn-spatial", "rnn-audio", "embeddings", "fusion")
    for change, remedy in (
        ({"audio": {"weights": "pretrained"}}, "audio"),
        ({"frame": {"size": 64}}, "spatial"),
        ({"clip": {"max_s": 6}}, "extract"),
        ({"rnn": {"units": 8}}, "rnn"),
        ({"fusion": {"l2": 0.5}}, "fusion"),
        ({"streams": ["spatial"]}, "embeddings"),
    ):
        with pytest.raises(InputError, match=f"or --replace {remedy} to delete"):
            open_root(str(tmp_path), [change])
        open_root(str(tmp_path), [change], replace=remedy)


def test_changes_that_no_one_stage_precedes_are_replaced_side_by_side(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), [RANDOM, {"data": {"source": "/v"}, "tune": {"in_run": True}}])
    begun(root, "flow", "spatial", "tune", "rnn-spatial")
    with pytest.raises(InputError, match=r"or --replace tune --replace rnn-spatial to delete"):
        open_root(str(tmp_path), [{"rnn": {"lr": 0.5}}])
    assert open_root(str(tmp_path), [{"rnn": {"lr": 0.5}}], replace=["tune", "rnn"]).config.rnn.lr == 0.5


def test_a_stage_that_is_not_made_any_more_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Until it is wanted again."""
    begun(catalogued(tmp_path), "spatial", "audio", "rnn-spatial", "rnn-audio", "embeddings")
    fewer = [{"streams": ["spatial"], "rnn": {"units": 8}, "audio": {"weights": "pretrained"}}]
    root = open_root(str(tmp_path), fewer, replace="rnn-spatial")
    begin(root, "rnn-spatial", {})
    assert open_root(str(tmp_path)).config.streams == ("spatial",)
    with pytest.raises(InputError, match=r"stage audio .*--replace audio to delete"):
        open_root(str(tmp_path), [{"streams": ["spatial", "audio"]}])
    open_root(str(tmp_path), [{"streams": ["spatial", "audio"]}], replace="audio")


def test_what_is_to_be_replaced_and_not_made_any_more_is_deleted_with_the_first_that_is(tmp_path: Path) -> None:
    begun(catalogued(tmp_path), "spatial", "audio", "rnn-spatial", "rnn-audio", "embeddings")
    root = open_root(str(tmp_path), [{"streams": ["spatial"], "clip": {"max_s": 6}}], replace="extract")
    begin(root, "spatial", {})
    assert stages_of(root) == ["catalog", "spatial"]


def test_another_stream_keeps_the_networks_of_those_that_are_there(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), [RANDOM, {"data": {"source": "/videos"}, "streams": ["spatial"]}])
    begun(root, "flow", "spatial", "rnn-spatial", "embeddings", "svm", "fusion", "evaluate", "anomaly")
    more = [{"streams": ["spatial", "audio"]}]
    with pytest.raises(InputError, match=r"stage embeddings .*streams .*--replace embeddings to delete"):
        open_root(str(tmp_path), more)
    root = open_root(str(tmp_path), more, replace="embeddings")
    begin(root, "audio", {})
    begin(root, "rnn-audio", {})
    begin(root, "embeddings", {})
    assert stages_of(root) == ["flow", "spatial", "audio", "rnn-spatial", "rnn-audio", "embeddings"]


def test_what_changes_no_value_is_free_to_change(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    begin(root, "spatial", {"frame weights": "1"})
    free = {"extract": {"actors": 2}, "limits": {"decode_timeout_s": 5}, "clip": {"allow_partial": True}}
    changed = open_root(str(tmp_path), [free]).config
    assert changed != root.config
    assert fingerprint("spatial", changed, {}) == fingerprint("spatial", root.config, {})


def test_settings_hold_exactly_what_matters() -> None:
    dis, plain = load([RANDOM]), load([])
    assert not {"flow.weights", "flow.checkpoint", "seed"} & settings("flow", dis).keys()
    assert "seed" in settings("spatial", dis) and "seed" in settings("audio", dis)
    assert "seed" not in settings("spatial", plain)  # nothing random: the seed has no say
    for stream, section in (("spatial", "frame."), ("flow", "flow."), ("audio", "audio.")):
        keys = settings(stream, plain)
        assert any(key.startswith(section) for key in keys)
        assert not [key for key in keys if key.startswith(("frame.", "flow.", "audio.")) and section not in key]
    assert "data.split" not in settings("catalog", load([{"data": {"dataset": "csv"}}]))


def test_sound_without_a_network_knows_neither_weights_nor_seed_and_is_another_stage_than_vggishs(
    tmp_path: Path,
) -> None:
    logmel = {"audio": {"model": "logmel"}}
    assert settings("audio", load([RANDOM, logmel, {"seed": 5}])).keys() == {"clip.max_s", "audio.model"}
    root = catalogued(tmp_path)
    begin(root, "audio", {"audio weights": "1"})
    with pytest.raises(InputError, match=r"stage audio .*audio\.model \(it was 'vggish', now 'logmel'\)"):
        open_root(str(tmp_path), [logmel])


def test_a_root_that_is_older_than_the_choice_of_audio_models_has_vggish(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    mark = begin(root, "audio", {"audio weights": "1"})
    record = json.loads(root.store.read(layout.stage("audio")))
    del record["settings"]["audio.model"]
    root.store.delete(layout.stage("audio"))
    root.store.put(layout.stage("audio"), json.dumps(record).encode())
    assert begin(open_root(str(tmp_path)), "audio", {"audio weights": "1"}) == mark
    with pytest.raises(InputError, match=r"audio\.model \(it was 'vggish', now 'logmel'\)"):
        open_root(str(tmp_path), [{"audio": {"model": "logmel"}}])


def test_other_weights_are_refused(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    mark = begin(root, "audio", {"audio weights": "2"})
    assert begin(root, "audio", {"audio weights": "2"}) == mark
    with pytest.raises(InputError, match="other inputs audio weights; use"):
        begin(root, "audio", {"audio weights": "3"})


def test_a_stage_keeps_the_name_under_which_it_was_begun(tmp_path: Path) -> None:
    """A later release may call the same settings and inputs otherwise: files go by the name that the record holds."""
    root = catalogued(tmp_path)
    begin(root, "audio", {"audio weights": "1"})
    path = tmp_path / layout.stage("audio")
    path.write_text(path.read_text().replace(record(root, "audio")["fingerprint"], "of-before"))
    assert begin(root, "audio", {"audio weights": "1"}) == "of-before"
    assert made_from(root, "audio") == {"audio": "of-before"}


def test_a_record_of_another_format_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    begin(root, "audio", {})
    path = tmp_path / layout.stage("audio")
    whole = path.read_text()
    path.write_text(whole.replace('"format": 1', '"format": 0'))
    with pytest.raises(InputError, match="other versions of this program"):
        begin(root, "audio", {})
    for damaged in (whole[:40], "[]", "{}", '{"settings": {}, "inputs": [], "fingerprint": "x"}'):
        path.write_text(damaged)
        with pytest.raises(InputError, match=r"stages/audio\.json: damaged; use --replace audio"):
            record(root, "audio")
    with pytest.raises(InputError, match="no spatial features here; run `actionrec extract` first"):
        record(root, "spatial")


def test_what_follows_from_a_stage_is_what_is_made_from_it() -> None:
    plain, uniform = load([]), load([{"sampling": {"method": "uniform"}}])
    assert following(["audio"], [plain]) == [
        *("audio", "rnn-audio", "embeddings", "multi_stream", "svm", "fusion", "evaluate", "table2", "anomaly"),
    ]
    assert {"spatial", "rnn-spatial", "motion_cnn", "motion"} <= set(following(["flow"], [plain]))
    assert "spatial" not in following(["flow"], [load([{"sampling": {"method": "uniform"}}])])
    assert "spatial" in following(["flow"], [uniform, plain])  # as the root was made, or is to be
    assert following(["tune"], [plain]) == ["tune"]  # it compares, and trains no model that is used
    assert following(["catalog"], [load([{"finetune": {"blocks": 1}}])]) == list(STAGES)
    assert "embeddings" not in following(["rnn-audio"], [load([{"streams": ["spatial"]}])])


def test_every_stage_stands_after_what_it_is_made_from_and_owns_its_files_alone() -> None:
    tuned = load([{"finetune": {"blocks": 1}}])
    places = {name: place for place, name in enumerate(STAGES)}
    for row in STAGES.values():
        assert all(places[name] < places[row.name] for name in row.needs(tuned)), row.name
    owned = [prefix for row in STAGES.values() for prefix in row.owns]
    assert not [(one, other) for one in owned for other in owned if one is not other and one.startswith(other)]


def test_replacing_a_stage_deletes_it_and_what_is_made_from_it_once_it_is_ready(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    begin(root, "flow", {})
    begin(root, "audio", {})
    for stream in ("flow", "audio"):
        root.store.put(layout.feature(stream, 0), b"x")
        root.store.put(layout.commit_mark(stream, 0), b"x")
    everything = set(root.store.sizes())
    replaced = open_root(str(tmp_path), [{"audio": {"weights": "pretrained"}}], replace="audio")
    assert set(root.store.sizes()) == everything  # nothing is deleted before the stage has checked its input
    replaced.clear("catalog")
    assert set(root.store.sizes()) == everything
    replaced.clear("audio")
    kept = {layout.CONFIG, layout.CATALOG, layout.stage("flow"), layout.feature("flow", 0)}
    assert set(root.store.sizes()) == {*kept, layout.commit_mark("flow", 0), layout.replacement("audio")}
    with pytest.raises(InputError, match=r"stage catalog .*data\.dataset"):
        open_root(str(tmp_path), [{"data": {"dataset": "csv"}}], replace="extract")
    with pytest.raises(InputError, match="no such stage"):
        open_root(str(tmp_path), replace="everything")


def test_a_verb_names_all_that_it_makes(tmp_path: Path) -> None:
    catalogued(tmp_path)
    for name, stages in (
        ("extract", ("flow", "spatial", "audio")),
        ("motion", ("motion_cnn", "motion")),
        ("rnn", ("rnn-spatial", "rnn-motion", "rnn-audio", "embeddings")),
        ("spatial", ("spatial",)),
        ("embeddings", ("embeddings",)),
        ("finetune", ("finetune",)),
    ):
        assert set(open_root(str(tmp_path), replace=name).replaced) == set(stages)


def test_what_is_spared_is_not_replaced_and_must_not_change(tmp_path: Path) -> None:
    begun(catalogued(tmp_path), "spatial", "audio", "rnn-spatial", "rnn-audio", "embeddings")
    root = open_root(str(tmp_path), replace="rnn").sparing(["rnn-audio"])
    begin(root, "rnn-spatial", {})
    assert stages_of(root) == ["catalog", "spatial", "audio", "rnn-spatial", "rnn-audio"]
    with pytest.raises(InputError, match=r"stage rnn-audio .*rnn\.units"):
        open_root(str(tmp_path), [{"rnn": {"units": 8}}], replace="rnn").sparing(["rnn-audio"])


def test_a_driver_killed_between_two_writes_leaves_a_root_that_goes_on(tmp_path: Path) -> None:
    root = catalogued(tmp_path)
    changed = open_root(str(tmp_path), [{"clip": {"max_s": 5}}])
    begin(changed, "audio", {})
    root.store.put(layout.CONFIG, dump(root.config).encode())  # as if save_config had never come
    assert begin(open_root(str(tmp_path), [{"clip": {"max_s": 5}}]), "audio", {})


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


def test_knobs_that_came_later_are_no_change_to_stages_made_before_them(tmp_path: Path) -> None:
    """As of roots made before rnn.heads and fusion.refit existed."""
    root = open_root(str(tmp_path), [RANDOM, {"rnn": {"attention": True}}])
    begun(root, "rnn-spatial", "fusion")
    for stage, knob in (("rnn-spatial", "rnn.heads"), ("fusion", "fusion.refit")):
        found = record(root, stage)
        del found["settings"][knob]
        (tmp_path / layout.stage(stage)).write_text(json.dumps(found))
    for stage in ("rnn-spatial", "fusion"):
        assert begin(open_root(str(tmp_path)), stage, {}) == record(root, stage)["fingerprint"]
    with pytest.raises(InputError, match=r"rnn\.heads \(it was 1, now 8\)"):
        open_root(str(tmp_path), [{"rnn": {"heads": 8}}])
    with pytest.raises(InputError, match=r"fusion\.refit"):
        open_root(str(tmp_path), [{"fusion": {"refit": True}}])
    several = load([{"rnn": {"attention": True, "heads": 8}}])
    assert settings("rnn-spatial", several)["rnn.heads"] == 8 and "rnn.heads" not in settings("tune", several)
    assert "rnn.heads" not in settings("rnn-spatial", load([]))  # without attention it has no say
    assert differing({}, {"rnn.heads": 1}) == [] and differing({}, {"rnn.heads": 8}) == ["rnn.heads"]


def as_recorded_before(root: Root, stage: str, **more: Any) -> None:
    """As an earlier release has recorded the stage, which counted these settings too."""
    found = record(root, stage)
    found["settings"] |= {key.replace("__", "."): value for key, value in more.items()}
    root.store.put(layout.stage(stage), dumped(found))


def test_what_a_stream_never_sees_is_free_to_change_also_where_it_was_recorded(tmp_path: Path) -> None:
    """Sound does not depend on the picture's size, and only adaptive sampling cuts a video into segments."""
    root = open_root(str(tmp_path), [RANDOM, {"sampling": {"method": "uniform"}, "clip": {"width": 160}}])
    begun(root, "spatial", "audio")
    assert not {"clip.width", "clip.height"} & record(root, "audio")["settings"].keys()
    assert "sampling.segment_s" not in record(root, "spatial")["settings"]
    as_recorded_before(root, "audio", clip__width=160, clip__height=240)
    as_recorded_before(root, "spatial", sampling__segment_s=2.0)
    names = {stage: record(root, stage)["fingerprint"] for stage in ("spatial", "audio")}
    for change, stage in (({"sampling": {"segment_s": 3.0}}, "spatial"), ({"streams": ["audio"]}, "audio")):
        changed = open_root(str(tmp_path), [change])
        assert begin(changed, stage, {}) == names[stage]
    smaller = open_root(str(tmp_path), [{"clip": {"width": 128}}])
    assert begin(smaller, "audio", {}) == names["audio"]
    for change, key in (
        ({"streams": ["spatial"]}, "clip.width"),
        ({"clip": {"max_s": 6}}, "clip.max_s"),
    ):
        with pytest.raises(InputError, match=f"made with other settings: {key}"):
            open_root(str(tmp_path), [change])
    adaptive = [{"streams": ["spatial"], "clip": {"width": 160}, "sampling": {"method": "adaptive"}}]
    with pytest.raises(InputError, match=r"stage spatial .*sampling\.method"):
        open_root(str(tmp_path), adaptive)


@pytest.mark.parametrize("before", [(), ("mine",), ("other",), ("mine", "other")])
def test_sound_may_be_reused_whatever_the_size_of_the_picture(before: tuple[str, ...], tmp_path: Path) -> None:
    """Whichever of the two roots an earlier release has begun."""
    for name, width in (("mine", 160), ("other", 128)):
        root = open_root(str(tmp_path / name), [RANDOM, {"clip": {"width": width}, "data": {"source": "/videos"}}])
        root.store.put(layout.CATALOG, schema.to_parquet(schema.CATALOG.empty_table(), "x"))
        begun(root, "flow", "audio")
        if name in before:
            as_recorded_before(root, "audio", clip__width=width)
    mine = open_root(str(tmp_path / "mine"))
    other = Another(str(tmp_path / "other"), root.config.storage, ["flow", "audio"])
    assert other.differences(mine, "audio") == []
    assert other.differences(mine, "flow") == ["clip.width"]


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
    begin(catalogued(tmp_path), "audio", {})
    for layer, ways in (({"clip": {"max_s": 6}}, "leave `--config` or"), ({"data": {"source": "/x"}}, "leave SRC, ")):
        with pytest.raises(InputError, match=f"{ways}.*--root.*--replace"):
            open_root(str(tmp_path), [layer])


def test_the_kept_trials_of_table_one_go_by_the_name_that_their_data_and_settings_have() -> None:
    """docs/results: an import of the same file takes them as its own."""
    made = {"spatial": "37c736a169d2430b", "videos": "68173b286dc6bc1e", "test videos": "d780e9fea8e02605"}
    name = fingerprint("tune", load([read_layer("ucf101_vgg14")]), made)
    kept = list(Path(__file__).parents[3].joinpath("docs/results/ucf101_vgg14").glob("*.json"))
    assert kept
    assert {json.loads(path.read_bytes())["fingerprint"].rpartition("-")[0] for path in kept} == {name}
