"""One contract, every stream: what a feature row promises whoever reads it, whichever video it was made from."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from actionrec import schema
from actionrec.config import Limits
from actionrec.errors import Reason, VideoError
from actionrec.extraction.motion import motion_row
from actionrec.extraction.streams import Computed, Streams
from actionrec.features import flow_codec
from actionrec.features.flow import DisFlow
from actionrec.features.motion_cnn import MotionCNN, MotionEmbedder
from actionrec.features.sampling import budget
from actionrec.media.decode import Decoded, decode
from actionrec.storage.local_store import LocalStore
from actionrec.storage.streams import STREAMS, above
from tests import media_files
from tests.tiny_roots import STREAMS as DECODED
from tests.tiny_roots import clip, tiny_config, weights

CONFIG = tiny_config()
LOGMEL = "audio by logmel"  # the stream audio as its other model makes it, which needs no weights
LOGMEL_CONFIG = dataclasses.replace(CONFIG, audio=dataclasses.replace(CONFIG.audio, model="logmel"))
CASES = (*STREAMS, LOGMEL)
DECODED_CASES = (*DECODED, LOGMEL)
MEDIA: dict[str, Callable[[], bytes]] = {
    "mp4": functools.partial(clip, 1),
    "avi": functools.partial(clip, 0),
    "2 s": media_files.good_mp4,
    "one frame": media_files.one_frame,
    "variable rate": media_files.variable_rate,
    "rotated": functools.partial(media_files.rotated, 90),
    "odd size": media_files.odd_size,
    "ten bit": media_files.ten_bit,
    "silent": media_files.silent,
    "0.3 s of sound": media_files.audio_short,
}


@functools.cache
def streams(*names: str) -> Streams:
    """Of these streams, by default of all that are made from decoded videos."""
    folder, refs = weights()
    if names == (LOGMEL,):
        return Streams(LOGMEL_CONFIG, {}, LocalStore(folder), "cpu", ["audio"])
    return Streams(CONFIG, refs, LocalStore(folder), "cpu", names or DECODED)


@functools.cache
def decoded(name: str) -> Decoded:
    return decode(MEDIA[name](), CONFIG.clip, Limits())


def name_of(case: str) -> str:
    """Of the stream that a case is about."""
    return "audio" if case == LOGMEL else case


def made_by(case: str) -> Streams:
    return streams(LOGMEL) if case == LOGMEL else streams()


@functools.cache
def computed(name: str) -> dict[str, Computed]:
    found = {case: made_by(case).compute(decoded(name)) for case in ("audio", LOGMEL)}
    return {**found["audio"], LOGMEL: found[LOGMEL]["audio"]}


@functools.cache
def embedder() -> MotionEmbedder:
    torch.manual_seed(0)
    network = MotionCNN(CONFIG.flow.stored_height, CONFIG.flow.stored_width, classes=3, dropout=0.5)
    return MotionEmbedder(network, device="cpu", batch=CONFIG.motion.embed_batch)


@functools.cache
def motion(name: str) -> dict[str, Any]:
    """From what is stored of flow and frames, as the motion CNN's pass reads it."""
    flow, frames = row(name, "flow"), row(name, "spatial")
    assert flow is not None and frames is not None
    return motion_row(embedder(), flow, frames["frame_index"], frames["time_s"])


@functools.cache
def schema_of(stream: str) -> pa.Schema:
    """Of its table, as wide as the embeddings are that it makes."""
    found = row("mp4", stream) or {}
    return STREAMS[name_of(stream)].schema(found["embedding"].shape[1] if "embedding" in found else 0)


def table_of(stream: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> pa.Table:
    return schema.feature_table(schema_of(stream), rows)


def row(name: str, stream: str) -> Mapping[str, Any] | None:
    if not STREAMS[name_of(stream)].decoded:
        return motion(name)
    result = computed(name)[stream]
    assert result.error is None
    assert result.compute_s >= 0
    return result.row


def test_there_is_one_result_for_every_stream() -> None:
    assert set(computed("mp4")) == set(DECODED_CASES)


@pytest.mark.parametrize("stream", CASES)
@pytest.mark.parametrize("name", MEDIA)
def test_lengths_agree_times_increase_within_the_clip_and_numbers_are_finite_float32(name: str, stream: str) -> None:
    found = row(name, stream)
    if found is None:
        assert name_of(stream) == "audio" and decoded(name).audio is None
        return
    times_s = found["time_s"]
    assert times_s.dtype == np.float32
    assert (np.diff(times_s) > 0).all()
    assert not len(times_s) or (times_s[0] >= 0 and times_s[-1] < float(decoded(name).duration_s))
    payload = found["flow"] if stream == "flow" else found["embedding"]
    assert len(payload) == len(times_s)
    numbers = found["motion_px"] if stream == "flow" else found["embedding"]
    assert numbers.dtype == np.float32
    assert np.isfinite(numbers).all()
    assert len(numbers) == len(times_s)


@pytest.mark.parametrize("stream", CASES)
def test_a_parts_table_has_the_streams_schema_and_survives_parquet(stream: str) -> None:
    rows = [(name, found) for name in MEDIA if (found := row(name, stream)) is not None]
    table = table_of(stream, rows)
    assert table["video_id"].to_pylist() == [name for name, _ in rows]
    read = schema.from_parquet(schema.to_parquet(table, "f"), schema_of(stream), stream)
    assert read.equals(table)
    for position, (_, found) in enumerate(rows):
        assert read["time_s"][position].as_py() == found["time_s"].tolist()
        if stream != "flow":
            assert np.array_equal(np.array(read["embedding"][position].as_py(), np.float32), found["embedding"])


@pytest.mark.parametrize("stream", CASES)
def test_a_part_without_rows_has_the_schema_too(stream: str) -> None:
    table = table_of(stream, [])
    assert table.num_rows == 0
    assert name_of(stream) not in DECODED or table.equals(made_by(stream).table(name_of(stream), []))


@pytest.mark.parametrize("stream", [case for case in DECODED_CASES if not STREAMS[name_of(case)].of_pictures])
@pytest.mark.parametrize("name", MEDIA)
def test_a_stream_that_looks_at_no_pictures_is_the_same_without_them(name: str, stream: str) -> None:
    heard = dataclasses.replace(decoded(name), frames_THWC=decoded(name).frames_THWC[:0])
    found, expected = made_by(stream).compute(heard, [name_of(stream)])[name_of(stream)].row, row(name, stream)
    assert (found is None) == (expected is None)
    assert all(np.array_equal(found[column], value) for column, value in (expected or {}).items() if found)


@pytest.mark.parametrize("stream", CASES)
def test_nan_is_refused_before_it_is_stored(stream: str) -> None:
    found = dict(row("mp4", stream) or {})
    numbers = "motion_px" if stream == "flow" else "embedding"
    found[numbers] = np.where(np.arange(found[numbers].size).reshape(found[numbers].shape) == 0, np.nan, found[numbers])
    with pytest.raises(ValueError, match=numbers):
        schema.to_parquet(table_of(stream, [("bad", found)]), "f")


@pytest.mark.parametrize("stream", DECODED_CASES)
def test_values_are_the_same_again_and_whatever_was_computed_before(stream: str) -> None:
    for name, before in itertools.product(("mp4", "silent"), ("rotated", "one frame")):
        made_by(stream).compute(decoded(before))
        again = made_by(stream).compute(decoded(name))[name_of(stream)]
        assert again.row is not None
        table, reference = (table_of(stream, [(name, r)]) for r in (again.row, row(name, stream) or {}))
        assert table.equals(reference)


@pytest.mark.parametrize("stream", CASES)
def test_neighbours_in_a_part_do_not_touch_each_other(stream: str) -> None:
    rows = [(name, found) for name in MEDIA if (found := row(name, stream)) is not None]
    together = table_of(stream, rows)
    backwards = table_of(stream, rows[::-1])
    alone = pa.concat_tables([table_of(stream, [pair]) for pair in rows])
    assert together.equals(alone)
    assert together.equals(backwards.take(list(range(len(rows)))[::-1]))


@pytest.mark.parametrize("name", MEDIA)
def test_the_frames_are_real_and_no_more_than_the_budget(name: str) -> None:
    found, video = row(name, "spatial"), decoded(name)
    assert found is not None
    index, total = found["frame_index"], len(video.frames_THWC)
    assert index.dtype == np.int32
    assert (np.diff(index) > 0).all() and index[0] >= 0 and index[-1] < total
    assert len(index) == budget(video.duration_s, total, CONFIG.sampling)
    assert found["time_s"].tolist() == [np.float32(video.pts_ticks[i] * float(video.time_base)) for i in index]


@pytest.mark.parametrize("name", MEDIA)
def test_stored_flow_is_the_flow_that_was_computed(name: str) -> None:
    found, video = row(name, "flow"), decoded(name)
    assert found is not None
    assert len(found["flow"]) == len(video.frames_THWC) - 1
    if not found["flow"]:
        return
    flow_px = DisFlow()(video.frames_THWC, 1000)
    assert found["motion_px"] == pytest.approx(np.hypot(flow_px[..., 0], flow_px[..., 1]).mean(axis=(1, 2)), rel=1e-5)
    small_px = flow_codec.resize(flow_px, found["width"], found["height"])
    stored_px = flow_codec.decode(found["flow"], found["bound_px"], found["height"], found["width"])
    clipped_px = np.clip(small_px, -found["bound_px"], found["bound_px"])
    step_px = found["bound_px"] / flow_codec.LEVELS
    assert np.abs(stored_px - clipped_px).mean() < max(1.5 * step_px, 0.05 * np.abs(clipped_px).mean())
    assert found["codec"] == flow_codec.CODEC


def test_the_flow_batch_changes_no_value() -> None:
    folder, refs = weights()
    config = dataclasses.replace(CONFIG, extract=dataclasses.replace(CONFIG.extract, flow_batch=3))
    other = Streams(config, refs, LocalStore(folder), "cpu", DECODED).compute(decoded("2 s"))
    for stream in ("flow", "audio"):
        tables = [streams().table(stream, [("2 s", r)]) for r in (other[stream].row or {}, row("2 s", stream) or {})]
        assert tables[0].equals(tables[1])


def test_a_sound_track_that_cannot_be_decoded_costs_the_audio_stream_only() -> None:
    results = streams().compute(decode(media_files.broken_audio(), CONFIG.clip, Limits()))
    assert streams(LOGMEL).compute(decode(media_files.broken_audio(), CONFIG.clip, Limits()))["audio"].error is not None
    assert {stream: result.error and result.error.reason.value for stream, result in results.items()} == {
        "spatial": None,
        "flow": None,
        "audio": "corrupt",
    }


@pytest.mark.parametrize("stream", DECODED)
@pytest.mark.parametrize("name", MEDIA)
def test_a_stream_alone_has_the_values_that_it_has_beside_the_others(name: str, stream: str) -> None:
    """Its network alone is loaded; what it is made from comes from the store."""
    stored = {upper: stored_again(name, upper) for upper in above(stream, CONFIG)}
    result = streams(stream).compute(decoded(name), [stream], stored)
    assert set(result) == {stream}
    rows, reference = [each and [(name, each)] for each in (result[stream].row, row(name, stream))]
    assert table_of(stream, rows or []).equals(table_of(stream, reference or []))


def stored_again(name: str, stream: str) -> Computed:
    """A row as whoever makes another stream from it reads it."""
    table = schema.from_parquet(
        schema.to_parquet(table_of(stream, [(name, row(name, stream) or {})]), "f"), STREAMS[stream].lent, name
    )
    return Computed(table.to_pylist()[0], None, 0.0)


@pytest.mark.parametrize("stream", [stream for stream in DECODED if above(stream, CONFIG)])
def test_a_stream_fails_for_the_reason_of_the_one_that_it_is_made_from(stream: str) -> None:
    lost = {upper: Computed(None, VideoError(Reason.COMPUTE, "odd"), 0.0) for upper in above(stream, CONFIG)}
    error = streams(stream).compute(decoded("mp4"), [stream], lost)[stream].error
    assert error is not None and error.reason is Reason.COMPUTE and "odd" in error.detail


def test_what_the_configuration_does_not_need_is_not_loaded() -> None:
    folder, refs = weights()
    uniform = dataclasses.replace(CONFIG, sampling=dataclasses.replace(CONFIG.sampling, method="uniform"))
    alone = Streams(uniform, {"spatial": refs["spatial"]}, LocalStore(folder), "cpu", ["spatial"])
    found = alone.compute(decoded("mp4"))
    assert set(found) == {"spatial"} and found["spatial"].row is not None


@pytest.mark.parametrize("stream", ["audio", LOGMEL])
def test_no_sound_track_is_no_row_and_no_error(stream: str) -> None:
    result = computed("variable rate")[stream]
    assert result.row is None and result.error is None
