"""The extraction end to end, on real files and a real Ray: all videos accounted for, equal values however it runs."""

import functools
import json
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from actionrec import schema
from actionrec.storage import layout
from tests import media_files, media_mixes
from tests.integration.conftest import NUMBERS, Run
from tests.tiny_roots import (
    STREAMS,
    actionrec,
    assert_accounted,
    assert_equal_values,
    clip,
    clip_name,
    committed_files,
    features,
    link_weights,
    new_root,
    outcomes,
    snapshot,
    status,
    tiny_file,
    values,
    videos_of_part,
    weights,
    write_clips,
)

ONE_ACTOR = ("--set", "extract.actors=1")
OK = dict.fromkeys(STREAMS, "ok")
SILENT = {**OK, "audio": "no_audio"}


def failed(reason: str) -> dict[str, str]:
    return dict.fromkeys(STREAMS, reason)


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a session fails the test."""

    def session(verbose: bool) -> None:
        raise AssertionError("a session was opened for finished work")

    monkeypatch.setattr("actionrec.extraction.extract.session", session)


def test_every_video_is_accounted_for_and_readable_without_ray(plain_run: Run) -> None:
    assert_accounted(plain_run.root, plain_run.ids)
    silent = {clip_name(number) for number in NUMBERS if number % 3 == 2}
    assert outcomes(plain_run.root) == {i: SILENT if i in silent else OK for i in plain_run.ids}
    table = status(plain_run.root)
    assert set(table["frames_decoded"]) == {13 + number % 13 for number in NUMBERS}
    assert (table["frames_declared"] == table["frames_decoded"]).all()
    assert (table[["read_s", "decode_s", "compute_s"]] >= 0).all(axis=None)


def test_every_file_carries_its_streams_fingerprint(plain_run: Run) -> None:
    for stream in STREAMS:
        made = json.loads((plain_run.root / layout.stage(stream)).read_bytes())["fingerprint"]
        keys = [*plain_run.root.glob(f"{layout.features(stream)}*"), *plain_run.root.glob(f"{layout.marks(stream)}*")]
        assert len(keys) == 2 * 4  # of four parts the features and the marks
        assert {schema.fingerprint_of(path.read_bytes()) for path in keys} == {made}
    assert len(list(plain_run.root.glob("features/*/*.parquet"))) == 3 * 2 * 4 + 1  # and one plan


def test_a_rerun_of_finished_work_writes_nothing_and_starts_no_ray(plain_run: Run, no_ray: None) -> None:
    before = snapshot(plain_run.root)
    assert actionrec("catalog", "--root", plain_run.root) == 0
    assert actionrec("catalog", plain_run.source, "--root", plain_run.root) == 0
    assert actionrec("extract", "--root", plain_run.root) == 0
    assert actionrec("extract", "--root", plain_run.root, "--retry-failed") == 0
    assert snapshot(plain_run.root) == before


def test_values_do_not_depend_on_actors_parts_decoders_or_order(plain_run: Run, tmp_path: Path) -> None:
    root = new_root(tmp_path / "root", plain_run.source)
    shuffled = schema.from_parquet((root / layout.CATALOG).read_bytes(), schema.CATALOG, "catalog").take(
        [4, 0, 6, 2, 5, 1, 3]
    )
    (root / layout.CATALOG).write_bytes(schema.to_parquet(shuffled, "test"))
    one = ("--set", "extract.actors=1", "--set", "extract.decoders=2", "--set", "extract.part_videos=3")
    assert actionrec("extract", "--root", root, *one) == 0
    assert videos_of_part(root, 0) == shuffled["video_id"].to_pylist()[:3]
    assert_accounted(root, plain_run.ids)
    assert_equal_values(root, plain_run.values, plain_run.ids)


def test_new_videos_get_new_parts_and_old_files_stay_untouched(plain_run: Run, tmp_path: Path) -> None:
    source = tmp_path / "videos"
    first = write_clips(source, [1, 4, 5])
    root = new_root(tmp_path / "root", source)
    assert actionrec("extract", "--root", root, *ONE_ACTOR) == 0
    before = committed_files(root)
    added = write_clips(source, [0, 2, 3, 6])
    assert actionrec("catalog", "--root", root) == 0
    assert actionrec("extract", "--root", root, *ONE_ACTOR, "--set", "extract.part_videos=3") == 0
    after = committed_files(root)
    assert {name: after[name] for name in before} == before
    assert [len(videos_of_part(root, part)) for part in range(4)] == [2, 1, 3, 1]
    assert_accounted(root, first + added)
    assert_equal_values(root, plain_run.values, plain_run.ids)


def test_failures_are_kept_until_retry_failed_and_then_only_their_parts_are_redone(
    plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "videos"
    ids = write_clips(source, NUMBERS)
    changed, deleted, late, folder = clip_name(0), clip_name(3), "late.mp4", "folder.avi"
    (source / folder).mkdir()
    listed = [changed, clip_name(1), clip_name(2), clip_name(4), clip_name(5), clip_name(6), deleted, late, folder]
    (source / "list.csv").write_text("path\n" + "\n".join(listed) + "\n")
    root = new_root(tmp_path / "root", source / "list.csv", "--dataset", "csv")
    (source / changed).write_bytes(clip(0) + b"more")
    (source / deleted).unlink()

    assert actionrec("extract", "--root", root, *ONE_ACTOR) == 1
    assert "extract.max_failed=0.05" in error_line(capsys)
    bad = {changed: "integrity", deleted: "missing", late: "missing", folder: "missing"}
    assert {i: states for i, states in outcomes(root).items() if i in bad} == {i: failed(r) for i, r in bad.items()}
    assert_accounted(root, listed)
    good = [i for i in ids if i not in bad]
    assert_equal_values(root, plain_run.values, good)
    before = committed_files(root)

    with monkeypatch.context() as patched:  # `failed` is finished: P4 and P3 at once
        patched.setattr("actionrec.extraction.extract.session", None)
        assert actionrec("extract", "--root", root) == 1
        assert actionrec("extract", "--root", root, "--set", "extract.max_failed=0.5") == 0
    assert committed_files(root) == before

    (source / folder).rmdir()
    for name, number in ((changed, 0), (deleted, 3), (late, 3), (folder, 0)):
        (source / name).write_bytes(clip(number))
    assert actionrec("catalog", "--root", root) == 0
    assert actionrec("extract", "--root", root, "--retry-failed", *ONE_ACTOR) == 0
    assert_accounted(root, listed)
    assert set(status(root)["status"]) == {"ok", "no_audio"}
    assert_equal_values(root, plain_run.values, ids)
    found = values(root)
    assert found["spatial"][late] == found["spatial"][deleted]
    after = committed_files(root)
    untouched = [p for p in range(5) if not set(videos_of_part(root, p)) & bad.keys()]
    assert untouched
    kept = {name for name in before if int(name[-14:-8]) in untouched}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_a_file_that_was_replaced_by_another_of_its_size_is_computed_anew_and_nothing_else_is(
    plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "videos"
    ids = write_clips(source, [1, 4, 5])
    changed, kept = clip_name(1), clip_name(4)  # of one part
    size = max(len(clip(1)), len(clip(3))) + 8
    (source / changed).write_bytes(padded(clip(1), size))
    root = new_root(tmp_path / "root", source)
    assert actionrec("extract", "--root", root, *ONE_ACTOR) == 0
    assert changed in videos_of_part(root, 0) or changed in videos_of_part(root, 1)
    seconds = status(root).set_index(["video_id", "stream"])["compute_s"]
    before = committed_files(root)
    (source / changed).write_bytes(padded(clip(3), size))
    capsys.readouterr()
    assert actionrec("catalog", "--root", root) == 0
    assert "1 files have changed" in " ".join(capsys.readouterr().err.split())
    assert actionrec("extract", "--root", root, *ONE_ACTOR) == 0
    assert_accounted(root, ids)
    found, expected = values(root), plain_run.values
    assert all(found[stream][changed] == expected[stream][clip_name(3)] for stream in STREAMS)
    assert_equal_values(root, expected, [i for i in ids if i != changed])
    again = status(root).set_index(["video_id", "stream"])["compute_s"]
    assert (again[kept] == seconds[kept]).all() and (again[changed] != seconds[changed]).all()
    untouched = next(part for part in (0, 1) if changed not in videos_of_part(root, part))
    after = committed_files(root)
    assert {k: v for k, v in after.items() if k[-14:-8] == f"{untouched:06}"} == {
        k: v for k, v in before.items() if k[-14:-8] == f"{untouched:06}"
    }


def padded(data: bytes, size: int) -> bytes:
    """An MP4 with a box of nothing at its end."""
    space = size - len(data)
    return data + space.to_bytes(4, "big") + b"free" + bytes(space - 8)


def test_replacing_a_stream_computes_it_again_with_other_settings_and_no_other(
    plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "videos"
    ids = write_clips(source, [0, 1])
    root = new_root(tmp_path / "root", source)
    assert actionrec("extract", "--root", root, *ONE_ACTOR) == 0
    before = snapshot(root)
    fewer = ("--set", "sampling.frames_per_s=2")
    capsys.readouterr()
    assert actionrec("extract", "--root", root, *fewer) == 2
    line = error_line(capsys)
    assert "sampling.frames_per_s" in line and "--replace spatial" in line
    assert snapshot(root) == before
    assert actionrec("extract", "--root", root, *fewer, *ONE_ACTOR, "--replace", "spatial") == 0
    assert "spatial of 2 videos; flow and audio are there" in capsys.readouterr().err
    assert_accounted(root, ids)
    assert features(root, "spatial")["frame_index"].map(len).tolist() == [2, 2]  # ceil(2 x 13 / 25), ceil(2 x 14 / 25)
    after = snapshot(root)
    others = {name for name in before if name.startswith("features/") and "spatial" not in name}
    assert len(others) == 2 * 2 + 1 and all(after[name] == before[name] for name in others)


def test_what_is_asked_for_is_computed_and_what_is_asked_for_later_is_added(
    plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "videos"
    ids = write_clips(source, [0, 1])
    root = new_root(tmp_path / "root", source)
    steps = [
        ("[audio]", "audio of 2 videos", {"audio"}),
        ("[audio,spatial]", "flow and spatial of 2 videos; audio is there", set(STREAMS)),
        ("[spatial]", "flow and spatial are there", set(STREAMS)),
    ]
    for streams, told, made in steps:
        before = committed_files(root)
        capsys.readouterr()
        assert actionrec("extract", "--root", root, *ONE_ACTOR, "--set", f"streams={streams}") == 0
        assert told in capsys.readouterr().err.splitlines()
        assert {name for name in STREAMS if list(root.glob(f"{layout.features(name)}*"))} == made
        after = committed_files(root)
        assert {name: after[name] for name in before} == before
    assert_accounted(root, ids)
    assert_equal_values(root, plain_run.values, ids)


def test_frames_that_go_by_the_clock_need_no_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = write_clips(tmp_path / "videos", [0, 1])
    root = new_root(tmp_path / "root", tmp_path / "videos")
    capsys.readouterr()
    only = ("--set", "streams=[spatial]", "--set", "sampling.method=uniform")
    assert actionrec("extract", "--root", root, *ONE_ACTOR, *only) == 0
    assert "spatial of 2 videos" in capsys.readouterr().err.splitlines()
    assert sorted(path.name for path in (root / "features").iterdir()) == ["plan", "spatial", "status"]
    assert outcomes(root) == {video_id: {"spatial": "ok"} for video_id in ids}
    assert sorted(path.stem for path in (root / "stages").iterdir()) == ["spatial"]


HOSTILE_S3 = "a/sp ace+%41#?é.avi"


def test_a_bucket_gives_what_a_folder_gives(plain_run: Run, s3_bucket: tuple[str, str], tmp_path: Path) -> None:
    import boto3

    endpoint, bucket = s3_bucket
    client = boto3.client("s3", endpoint_url=endpoint)
    for number in NUMBERS:
        client.put_object(Bucket=bucket, Key=f"videos/{clip_name(number)}", Body=clip(number))
    client.put_object(Bucket=bucket, Key=f"videos/{HOSTILE_S3}", Body=clip(1))
    client.put_object(Bucket=bucket, Key="videos2/a/sibling.avi", Body=clip(2))  # a prefix ends at its slash
    for path in Path(weights()[0], "weights").iterdir():
        client.upload_file(str(path), bucket, f"run/weights/{path.name}")
    url = f"s3://{bucket}/run"
    at = ("--set", f"storage.endpoint_url={endpoint}")
    more = ("--config", tiny_file(tmp_path), *at)

    def listing() -> dict[str, str]:
        found = client.list_objects_v2(Bucket=bucket, Prefix="run/")["Contents"]
        return {item["Key"].removeprefix("run/"): f"{item['ETag']} {item['LastModified']}" for item in found}

    assert actionrec("catalog", f"s3://{bucket}/videos", "--root", url, *more) == 0
    assert actionrec("extract", "--root", url, *at, *ONE_ACTOR) == 0
    before = listing()
    assert actionrec("catalog", "--root", url, *at) == 0
    assert actionrec("extract", "--root", url, *at, "--retry-failed") == 0
    assert listing() == before
    for key in (name for name in before if name.startswith("features/")):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, f"run/{key}", str(tmp_path / key))
    assert_accounted(tmp_path, [*plain_run.ids, HOSTILE_S3])
    assert_equal_values(tmp_path, plain_run.values, plain_run.ids)
    found = values(tmp_path)
    assert all(found[stream][HOSTILE_S3] == found[stream][clip_name(1)] for stream in STREAMS)


NFD = unicodedata.normalize("NFD", "é")
NO_PICTURES_BUT_SOUND = failed("no_frames")
ODD: dict[str, tuple[Callable[[], bytes], dict[str, str]]] = {
    "a/000-zero.avi": (media_files.zero_bytes, failed("empty")),
    "a/000-text.avi": (media_files.text, failed("not_video")),
    "a/000-no frames.mp4": (media_files.no_frames, NO_PICTURES_BUT_SOUND),
    "a/000-truncated.avi": (media_files.truncated_avi, failed("truncated")),
    "a/000-truncated.mp4": (media_files.truncated_mp4, failed("truncated")),
    "a/000-flipped.avi": (media_files.flipped_avi, failed("corrupt")),
    "a/001-ffconcat.avi": (functools.partial(media_files.ffconcat, "canary.bin"), failed("format_refused")),
    "a/001-m3u8.mp4": (functools.partial(media_files.m3u8, "canary.bin"), failed("format_refused")),
    "a/001-bomb.mp4": (media_files.huge_pictures, failed("too_large")),
    "a/001-many.mp4": (media_files.many_frames, failed("too_large")),
    "a/001-broken sound.mkv": (media_files.broken_audio, {**OK, "audio": "corrupt"}),
    "a/001-unknown sound.mkv": (media_mixes.unknown_sound, SILENT),
    "a/001-unknown pictures.mkv": (media_mixes.unknown_pictures, failed("no_decoder")),
    "a/001-longer sound.mkv": (media_mixes.longer_sound, OK),
    "b/001-one.avi": (media_files.one_frame, SILENT),
    "b/001-variable.mp4": (media_files.variable_rate, SILENT),
    "b/001-rotated.mp4": (functools.partial(media_files.rotated, 90), SILENT),
    "b/001-odd.mp4": (media_files.odd_size, SILENT),
    "b/001-ten bit.mp4": (media_files.ten_bit, SILENT),
    "b/001-no sound.mp4": (media_files.no_audio, SILENT),
    "b/001-silent.mp4": (media_files.silent, OK),
    "b/001-short sound.mkv": (media_files.audio_short, OK),
    "b/é.mp4": (functools.partial(clip, 1), OK),
    f"b/n{NFD}.mp4": (functools.partial(clip, 1), OK),
    "b/ +%41#?'\";$(x)&|*.mp4": (functools.partial(clip, 1), OK),
    "b/line\nbreak\ttab.mp4": (functools.partial(clip, 1), OK),
    f"b/{'n' * 196}.mp4": (functools.partial(clip, 1), OK),
    "-leading/-dash.mp4": (functools.partial(clip, 1), OK),
}


def test_every_odd_file_ends_as_it_should_and_harms_no_neighbour(
    plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "videos"
    ids = write_clips(source, NUMBERS)
    expected = dict.fromkeys(ids, OK) | {clip_name(number): SILENT for number in NUMBERS if number % 3 == 2}
    for name, (make, states) in ODD.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(make())
        expected[unicodedata.normalize("NFC", name)] = states
    canary = source / "a/canary.bin"
    canary.write_bytes(media_files.good_avi())
    os.utime(canary, ns=(0, canary.stat().st_mtime_ns))  # older than mtime, so that even relatime would note a reading
    (source / "a/nowhere.avi").symlink_to("nothing.avi")
    (source / "a/swapped.avi").write_bytes(clip(0))
    expected |= {"a/nowhere.avi": failed("missing"), "a/swapped.avi": failed("missing")}

    root = new_root(tmp_path / "root", source)
    (source / "a/swapped.avi").unlink()
    (source / "a/swapped.avi").symlink_to(write_outside(tmp_path))  # the same bytes, but they may not be read
    limit = ("--set", "extract.max_failed=0.5", "--set", "extract.part_videos=6")
    assert actionrec("extract", "--root", root, *limit) == 0
    assert "(1 of them with a codec that no decoder knows)" in " ".join(capsys.readouterr().out.split())
    assert outcomes(root) == expected
    assert_accounted(root, list(expected))
    assert canary.stat().st_atime_ns == 0
    assert_equal_values(root, plain_run.values, ids)
    found = values(root)
    for name, (make, _) in ODD.items():
        if isinstance(make, functools.partial) and make.func is clip:  # type: ignore[attr-defined]
            video_id = unicodedata.normalize("NFC", name)
            assert all(found[s][video_id] == found[s][clip_name(1)] for s in STREAMS), name
    lengths = {stream: features(root, stream).set_index("video_id")["time_s"].map(len) for stream in STREAMS}
    assert (lengths["spatial"]["b/001-one.avi"], lengths["flow"]["b/001-one.avi"]) == (1, 0)
    assert (lengths["audio"]["b/001-short sound.mkv"], lengths["audio"]["b/001-silent.mp4"]) == (1, 2)
    times = features(root, "flow").set_index("video_id")["time_s"]["b/001-variable.mp4"]
    assert times.tolist() == pytest.approx([ms / 1000 for ms in media_files.VARIABLE_MS[1:]])
    details = status(root).set_index("video_id")["detail"]
    assert details["a/001-unknown sound.mkv"].dropna().tolist() == [
        "no decoder knows its audio codec 'A_WXYZ'; convert the file to have its sound"
    ]
    assert all(details[i].notna().all() for i, states in expected.items() if states["flow"] not in ("ok",))


def test_a_link_out_of_the_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clips(tmp_path / "videos", [1])
    (tmp_path / "videos/b/out.avi").symlink_to(write_outside(tmp_path))
    assert actionrec("catalog", tmp_path / "videos", "--root", tmp_path / "root") == 2
    assert "b/out.avi" in error_line(capsys)


def write_outside(folder: Path) -> Path:
    path = folder / "outside.avi"
    path.write_bytes(clip(0))
    return path


def test_another_source_is_refused(plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(plain_run.root)
    write_clips(tmp_path / "other", [1, 2])
    assert actionrec("catalog", tmp_path / "other", "--root", plain_run.root) == 2
    assert "data.source" in error_line(capsys)
    assert snapshot(plain_run.root) == before


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["path,label", "a.avi,x", "../b.avi,x"], ["line 3", "../b.avi"]),
        (["path,label", "a.avi,x", "b.avi,x", "./a.avi,y"], ["lines 2 and 4", "a.avi"]),
        (["path", "/etc/passwd"], ["line 2", "/etc/passwd"]),
        (["path", "http://example.org/a.avi"], ["line 2", "http://example.org/a.avi"]),
        (["path", "concat:a.avi|b.avi"], ["line 2", "concat:"]),
        (["name,label", "a,x"], ["line 1", "path"]),
    ],
)
def test_a_bad_manifest_is_refused_before_any_compute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_ray: None, lines: list[str], named: list[str]
) -> None:
    (tmp_path / "a.avi").write_bytes(clip(0))
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    root = tmp_path / "root"
    assert actionrec("run", tmp_path / "list.csv", "--dataset", "csv", "--root", root, "--config", "demo") == 2
    line = error_line(capsys)
    assert all(name in line for name in named), line
    assert not list(root.rglob("*.parquet")) and not (root / "weights").exists()


@pytest.mark.parametrize(
    ("assignment", "key"),
    [
        ("flow.modle=dis", "flow.modle"),
        ("clip.width=wide", "clip.width"),
        ("clip.max_s=1e309", "clip.max_s"),
        ("sampling.frames_per_s=.nan", "sampling.frames_per_s"),
        ("extract.actors=-1", "extract.actors"),
        ("extract=3", "extract"),
        ("frame.size", "frame.size"),
        ("sampling.method=!!python/object:os.system {}", "sampling.method"),
        ("frame.model=no_such_network", "frame.model"),
        ("flow.model=no_such_network", "flow.model"),
        ("audio.pca=true", "audio.pca"),
        ("frame.size=17000", "frame.size"),
    ],
)
def test_nonsense_is_refused_by_its_dotted_key(
    plain_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_ray: None, assignment: str, key: str
) -> None:
    root = tmp_path / "root"
    write_clips(tmp_path / "videos", [1])
    link_weights(root)
    given = ("run", tmp_path / "videos", "--root", root, "--config", tiny_file(tmp_path), "--set", assignment)
    assert actionrec(*given) == 2
    assert key in error_line(capsys)
    assert not list(root.glob("features/status/*"))


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The error: the last line of stderr, which holds no traceback."""
    text = capsys.readouterr().err
    lines = text.strip().splitlines()
    assert "Traceback" not in text and lines and lines[-1].startswith("error: "), text
    return lines[-1]


def test_an_empty_root_names_the_verb_to_run_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec("extract", "--root", tmp_path / "root") == 2
    assert "actionrec catalog" in error_line(capsys)


def test_pandas_reads_a_whole_stream(plain_run: Run) -> None:
    table = pd.read_parquet(plain_run.root / "features/spatial")
    assert all(len(vector) == 96 for sequence in table["embedding"] for vector in sequence)


def test_a_plan_goes_by_what_the_videos_of_a_root_have_taken(
    plain_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert actionrec("plan", "--root", plain_run.root, "--nodes", "m7i.xlarge=2") == 0
    said = capsys.readouterr().out
    assert re.search(r"7 videos of [0-9.]+ s on", said) and "8 cores, 0 GPUs" in said
    assert f"rates are those of {len(plain_run.ids)} videos under {plain_run.root}" in said
    seconds = []
    for videos in (1000, 2000):
        assert actionrec("plan", "--root", plain_run.root, "--videos", videos) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("extract ")]
        seconds.append(float(line.split()[1]) * {"s": 1, "min": 60, "h": 3600}[line.split()[2]])
    assert seconds[0] < seconds[1] < 2 * seconds[0]  # the start is paid once
    assert actionrec("plan", "--videos", 5, "--seconds", "nan") == 2
    assert actionrec("plan") == 2
