"""Which videos are learnt from, in what order and class, and what is read of them."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actionrec import schema
from actionrec.errors import InputError
from actionrec.storage import layout, parts
from actionrec.storage.root import Root
from actionrec.storage.samples import (
    class_labels,
    extracted,
    learnt_inputs,
    made_with,
    read_rows,
    read_sequences,
    revisions,
    samples,
    tune_inputs,
    with_stream,
)
from tests.tiny_features import PART_VIDEOS, WIDTHS, Clip, clips, make_root, sequence_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return make_root(tmp_path_factory.mktemp("samples"))


def test_each_video_has_its_part_split_and_class(root: Root) -> None:
    found = samples(root, "spatial")
    assert found.labels == ["c0", "c1", "c2"]
    expected = [(c.video_id, n // PART_VIDEOS, c.split, int(c.label[1:])) for n, c in enumerate(clips())]
    assert [(v.video_id, v.part, v.split, v.target) for v in found.videos] == expected
    assert [v.video_id for v in found.of("val")] == [c.video_id for c in clips() if c.split == "val"]


def test_a_silent_video_has_no_audio_and_all_else(root: Root) -> None:
    heard = {video_id for ids in with_stream(root, "audio").values() for video_id in ids}
    assert heard == {c.video_id for c in clips() if c.has_audio}
    assert {video_id for ids in extracted(root, ["flow", "audio"]).values() for video_id in ids} == {
        c.video_id for c in clips()
    }


def test_a_part_without_its_mark_does_not_count(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    root.store.delete(layout.commit_mark("spatial", 2))
    gone = {c.video_id for c in clips()[2 * PART_VIDEOS : 3 * PART_VIDEOS]}
    assert {v.video_id for v in samples(root, "spatial").videos} == {c.video_id for c in clips()} - gone
    assert set(extracted(root, ["flow"])) - set(extracted(root, ["flow", "spatial"])) == {2}


def test_test_videos_have_no_say_in_a_fingerprint_and_training_videos_have(tmp_path: Path) -> None:
    def fingerprint_of(name: str, videos: list[Clip]) -> dict[str, str]:
        return learnt_inputs(make_root(tmp_path / name, videos, {"streams": ["spatial"]}), "spatial")

    all_of_them = clips()
    last = {split: next(c for c in reversed(all_of_them) if c.split == split) for split in ("test", "train", "val")}
    whole = fingerprint_of("whole", all_of_them)
    assert fingerprint_of("test", [c for c in all_of_them if c != last["test"]]) == whole
    for split in ("train", "val"):
        assert fingerprint_of(split, [c for c in all_of_them if c != last[split]]) != whole


def test_what_learnt_from_a_file_that_has_changed_is_out_of_date(tmp_path: Path) -> None:
    def inputs(split: str | None) -> tuple[object, ...]:
        root = make_root(tmp_path / str(split), settings={"streams": ["spatial"]})
        catalog = root.catalog()
        first = catalog["split"].to_pylist().index(split) if split else -1
        counts = pa.array([1 if place == first else None for place in range(catalog.num_rows)], pa.int32())
        changed = catalog.set_column(catalog.schema.get_field_index("revision"), "revision", counts)
        root.store.put(layout.CATALOG, schema.to_parquet(changed, "x"))
        learnt = (learnt_inputs(root, stream) for stream in ("spatial", "flow"))
        return *learnt, tune_inputs(root)["test videos"], revisions(root.catalog())

    rnn, motion, judged, none = inputs(None)
    assert none == []
    for split in ("train", "val", "test"):
        found = inputs(split)
        assert (found[0] != rnn, found[1] != motion, found[2] != judged) == (split != "test",) * 2 + (split == "test",)
        assert [count for _, count in found[3]] == [1]  # type: ignore[attr-defined]


def test_without_changes_the_hashes_are_those_of_earlier_releases(root: Root) -> None:
    found = samples(root, "spatial")
    used = sorted(((c.video_id, c.split, int(c.label[1:])) for c in clips() if c.split != "test"), key=str)
    expected = hashlib.sha256(json.dumps([["c0", "c1", "c2"], used]).encode()).hexdigest()[:16]
    assert found.digest() == expected
    judged = sorted((c.video_id, int(c.label[1:])) for c in clips() if c.split == "test")
    assert tune_inputs(root)["test videos"] == hashlib.sha256(json.dumps(judged).encode()).hexdigest()[:16]


def test_the_order_of_classes_is_the_catalogs_and_of_training_alone(root: Root) -> None:
    catalog = root.catalog()
    assert class_labels(catalog) == ["c0", "c1", "c2"]
    assert class_labels(catalog.take(list(reversed(range(catalog.num_rows))))) == ["c0", "c1", "c2"]
    assert class_labels(root.without("c1").catalog()) == ["c0", "c2"]


def test_a_class_that_is_held_out_keeps_its_test_videos_without_a_class(root: Root) -> None:
    found = samples(root.without("c1"), "spatial")
    held = [v for v in found.videos if v.video_id.startswith("c1/")]
    assert {v.split for v in held} == {"test"} and {v.target for v in held} == {None}
    assert not any(v.video_id.startswith("c1/") for split in ("train", "val", "test") for v in found.of(split))


def test_no_video_of_a_split_with_the_stream_is_said(tmp_path: Path) -> None:
    silent = [c._replace(has_audio=False) if c.split == "val" else c for c in clips()]
    with pytest.raises(InputError, match=r"no val video has the stream audio.*streams=.*features/status"):
        samples(make_root(tmp_path, silent), "audio")


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class"):
        samples(make_root(tmp_path, clips(classes=1)), "spatial")


def test_sequences_come_back_as_they_were_written(root: Root) -> None:
    wanted = [c for c in clips()[:PART_VIDEOS] if c.has_audio]
    found = read_sequences(root.store, "audio", 0, [c.video_id for c in reversed(wanted)], made_with(root, "audio"))
    assert list(found) == [c.video_id for c in reversed(wanted)]
    for clip in wanted:
        np.testing.assert_array_equal(found[clip.video_id], sequence_of(clip, "audio"))


def test_a_video_that_a_file_lacks_and_a_file_that_is_gone_are_named(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    with pytest.raises(InputError, match=r"part-000000.parquet: 'none.avi' is not in it"):
        read_sequences(root.store, "spatial", 0, ["none.avi"], made_with(root, "spatial"))
    root.store.delete(layout.feature("spatial", 1))
    with pytest.raises(InputError, match=r"part-000001.parquet: the file is gone"):
        read_sequences(root.store, "spatial", 1, [], made_with(root, "spatial"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused_with_the_video(tmp_path: Path, value: float) -> None:
    root, key, video_id = make_root(tmp_path), layout.feature("spatial", 0), clips()[1].video_id
    with pytest.raises(ValueError, match="NaN or infinity"):  # the project's own writer would not have stored it
        make_root(tmp_path / "refused", sequence=lambda clip, stream, found: found * np.float32(value))
    table = pq.read_table(io.BytesIO(root.store.read(key)))
    spoilt = [np.array(row.as_py(), np.float32) for row in table["embedding"]]
    spoilt[1][-1, 0] = value
    sink = io.BytesIO()
    pq.write_table(table.set_column(3, table.schema.field(3), schema.embedding_column(spoilt, WIDTHS["spatial"])), sink)
    root.store.put(key, sink.getvalue())
    with pytest.raises(InputError, match=f"{video_id!r}.*NaN or infinity"):
        read_sequences(root.store, "spatial", 0, [video_id], made_with(root, "spatial"))


SAMPLED = pa.schema([pa.field("video_id", pa.string(), nullable=False)])


@pytest.mark.parametrize("fingerprint", ["another", None])
def test_features_that_another_extraction_made_are_refused_by_name(tmp_path: Path, fingerprint: str | None) -> None:
    root = make_root(tmp_path)
    for stream in ("spatial", "flow"):
        key, features = layout.feature(stream, 0), made_with(root, stream)
        table = pq.read_table(io.BytesIO(root.store.read(key))).replace_schema_metadata(None)
        pq.write_table(table, sink := io.BytesIO())
        root.store.put(key, schema.to_parquet(table, fingerprint) if fingerprint else sink.getvalue())
        video_id = clips()[0].video_id
        for read in (
            lambda key=stream, made=features, i=video_id: read_rows(root.store, key, 0, [i], SAMPLED, made),
            lambda key=stream, made=features, i=video_id: read_sequences(root.store, key, 0, [i], made),
        ):
            with pytest.raises(InputError, match=rf"{key}: these features are not this root's.*delete the file and"):
                read()  # type: ignore[no-untyped-call]
        root.store.delete(key)
        assert 0 not in parts.committed(root.store, stream)  # so that what makes it makes it again


def test_features_that_would_fill_the_memory_are_refused_by_what_their_pages_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, key = make_root(tmp_path), layout.feature("spatial", 0)
    features, clip = made_with(root, "spatial"), clips()[0]
    row = {"frame_index": [0], "time_s": [0.0], "embedding": np.zeros((1, 4_000_000), np.float32)}
    table = schema.feature_table(schema.embedding(4_000_000, of_frames=True), [(clip.video_id, row)])
    root.store.put(key, schema.to_parquet(table, features))
    assert read_sequences(root.store, "spatial", 0, [clip.video_id], features)[clip.video_id].shape == (1, 4_000_000)
    monkeypatch.setattr("actionrec.unpacked.MOST_BYTES", 10_000_000)
    with pytest.raises(InputError, match=rf"{key}: not a table of features .* would take more than"):
        read_sequences(root.store, "spatial", 0, [clip.video_id], features)
