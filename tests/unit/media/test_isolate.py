"""A decoder child may die, stall, starve or lie: its video fails with a reason, and the next one is decoded."""

import functools
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionrec.config import Clip, Limits
from actionrec.errors import ActionrecError, Reason, VideoError
from actionrec.media.decode import Segment, decode
from actionrec.media.isolate import Decoder
from tests import media_files, media_mixes

CLIP = Clip(width=64, height=48)
GREETING = textwrap.dedent("""
    import os, signal, socket, sys, time, json, resource
    parent = socket.socket(fileno=int(sys.argv[1]))
    parent.sendall(b'{"ready": true}\\n')
    while True:
        request, files, _, _ = socket.recv_fds(parent, 65536, 4)
        if not request: sys.exit()
""")


def fake(*lines: str) -> list[str]:
    """A child that greets like the real one and does `lines` with every video."""
    return [sys.executable, "-I", "-S", "-c", GREETING + textwrap.indent("\n".join(lines), "    ")]


def answering(header: object, size: int = 0) -> list[str]:
    """A child that answers `header` and a file of `size` zero bytes."""
    reply = (json.dumps(header) + "\n").encode()
    return fake(
        "memory = os.memfd_create('x')",
        f"os.truncate(memory, {size})",
        f"socket.send_fds(parent, [{reply!r}], [memory])",
    )


def failure(decoder: Decoder, data: bytes) -> VideoError:
    with pytest.raises(VideoError) as caught:
        decoder.decode(data)
    return caught.value


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(CLIP, Limits()) as living:
        yield living


@pytest.mark.parametrize(
    "make", [media_files.good_mp4, media_files.good_avi, media_files.one_frame, media_files.broken_audio]
)
def test_the_child_gives_what_decoding_in_this_process_gives(decoder: Decoder, make) -> None:
    ours, theirs = asdict(decode(make(), CLIP, Limits())), asdict(decoder.decode(make()))
    for name, value in ours.items():
        assert type(value) is type(theirs[name])
        assert np.array_equal(value, theirs[name]), name


@pytest.mark.parametrize("segment", [None, Segment(0.3, 1.5), Segment(2.4, None)])
@pytest.mark.parametrize(
    "make",
    [
        media_files.good_mp4,
        media_files.good_avi,
        media_files.broken_audio,
        media_files.audio_44_khz_avi,
        media_files.variable_rate,
        media_files.flipped_avi,
        media_files.truncated_mp4,
        media_mixes.recording,
        media_mixes.longer_sound,
        functools.partial(media_mixes.copied, "mpegts", media_mixes.recording(), media_mixes.recording()),
    ],
)
def test_without_pictures_all_else_is_the_same(
    decoder: Decoder, make: Callable[[], bytes], segment: Segment | None
) -> None:
    found: list[dict[str, Any]] = []
    for pictures in (True, False):
        try:
            found.append(asdict(decoder.decode(make(), segment, pictures=pictures)))
        except VideoError as error:
            found.append({"frames_THWC": np.empty(0), "error": str(error)})
    frames = [each.pop("frames_THWC") for each in found]
    assert len(frames[1]) == 0 and ("error" in found[0] or len(frames[0]) == len(found[0]["pts_ticks"]))
    for name, value in found[0].items():
        assert np.array_equal(value, found[1][name]), name


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (media_files.zero_bytes, Reason.EMPTY),
        (media_files.text, Reason.NOT_VIDEO),
        (media_files.flipped_avi, Reason.CORRUPT),
        (media_files.truncated_avi, Reason.TRUNCATED),
        (media_files.huge_pictures, Reason.TOO_LARGE),
    ],
)
def test_a_bad_video_keeps_its_reason_and_the_child_lives(decoder: Decoder, make, reason: Reason) -> None:
    decoder.decode(media_files.one_frame())
    before = decoder._child.process.pid
    assert failure(decoder, make()).reason is reason
    assert len(decoder.decode(media_files.one_frame()).frames_THWC) == 1
    assert decoder._child.process.pid == before


def test_arrays_outlive_the_child_and_belong_to_the_parent() -> None:
    with Decoder(CLIP, Limits()) as decoder:
        video = decoder.decode(media_files.no_audio())
    video.frames_THWC[0] = 7
    assert (video.frames_THWC[0] == 7).all()
    assert video.frames_THWC[1:].any()


def test_a_playlist_opens_no_neighbour(decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "canary.avi").write_bytes(media_files.good_avi())
    monkeypatch.chdir(tmp_path)
    assert failure(decoder, media_files.ffconcat("canary.avi")).reason is Reason.FORMAT_REFUSED


@pytest.mark.parametrize(
    ("lines", "reason", "detail", "timeout_s"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.DECODER_CRASH, "signal 11", 60),
        ("os.abort()", Reason.DECODER_CRASH, "signal 6", 60),
        ("os.kill(os.getpid(), signal.SIGKILL)", Reason.DECODER_CRASH, "signal 9", 60),
        ("os._exit(3)", Reason.DECODER_CRASH, "exit code 3", 60),
        ("raise RuntimeError('last words')", Reason.DECODER_CRASH, "last words", 60),
        ("parent.close(); time.sleep(60)", Reason.DECODER_CRASH, "closed its socket", 60),
        ("while True: pass", Reason.TIMEOUT, "took longer", 0.3),
        ("resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass", Reason.TIMEOUT, "processor time", 60),
        ("parent.sendall(b'nonsense\\n')", Reason.DECODER_CRASH, "no sense", 60),
        ("parent.sendall(b'[' * 9000 + b'\\n')", Reason.DECODER_CRASH, "no sense", 60),
        ("parent.sendall(b'x' * 1000000)", Reason.DECODER_CRASH, "no sense", 60),
        ("parent.sendall(b'{}\\n')", Reason.DECODER_CRASH, "no sense", 60),
        ("parent.sendall(b'{\"half')", Reason.TIMEOUT, "took longer", 0.3),
    ],
)
def test_whatever_ends_the_child_costs_one_video(lines: str, reason: Reason, detail: str, timeout_s: float) -> None:
    with Decoder(CLIP, Limits(decode_timeout_s=timeout_s), command=fake(*lines.split("\n"))) as decoder:
        for _ in range(2):  # the second meets a fresh child
            error = failure(decoder, b"a video")
            assert error.reason is reason
            assert detail in error.detail


HONEST = {
    "frames": 1,
    "samples": None,
    "time_base": [1, 25],
    "duration_s": [1, 25],
    "frames_declared": 1,
    "audio_error": None,
    "audio_reason": None,
}
HONEST_BYTES = 64 * 48 * 3 + 8


def test_a_child_that_tells_the_truth_is_believed() -> None:
    with Decoder(CLIP, Limits(), command=answering(HONEST, HONEST_BYTES)) as decoder:
        assert decoder.decode(b"a video").frames_THWC.shape == (1, 48, 64, 3)
    with Decoder(CLIP, Limits(), command=answering(HONEST, 8)) as decoder:
        assert decoder.decode(b"a video", pictures=False).frames_THWC.shape == (0, 48, 64, 3)


def test_a_child_that_sends_pictures_that_nobody_wants_is_not_believed() -> None:
    with (
        Decoder(CLIP, Limits(), command=answering(HONEST, HONEST_BYTES)) as decoder,
        pytest.raises(VideoError, match="makes no sense"),
    ):
        decoder.decode(b"a video", pictures=False)


@pytest.mark.parametrize(
    ("lie", "size"),
    [
        ({"frames": 2}, HONEST_BYTES),
        ({"frames": 10**9}, HONEST_BYTES),
        ({"frames": -1}, HONEST_BYTES),
        ({"frames": 0}, 0),
        ({"frames": 1.0}, HONEST_BYTES),
        ({"frames": True}, HONEST_BYTES),
        ({"frames": 2}, 2 * HONEST_BYTES),  # both times are 0
        ({"samples": 5}, HONEST_BYTES),
        ({"time_base": [1, 0]}, HONEST_BYTES),
        ({"time_base": [0, 1]}, HONEST_BYTES),
        ({"time_base": ["1", "25"]}, HONEST_BYTES),
        ({"duration_s": None}, HONEST_BYTES),
        ({"frames_declared": "many"}, HONEST_BYTES),
        ({"audio_error": "lost"}, HONEST_BYTES),
        ({"audio_error": "lost", "audio_reason": "no such reason"}, HONEST_BYTES),
        ({"reason": "no such reason", "detail": ""}, 0),
        ({"reason": "corrupt"}, 0),
    ],
)
def test_a_child_that_lies_is_not_believed(lie: dict[str, object], size: int) -> None:
    with Decoder(CLIP, Limits(), command=answering(HONEST | lie, size)) as decoder:
        error = failure(decoder, b"a video")
    assert (error.reason, error.detail) == (Reason.DECODER_CRASH, "the decoder's answer makes no sense")


def test_a_file_that_shrinks_after_it_was_answered_does_not_kill_the_parent() -> None:
    """Not sealed, so not mapped: the arrays are a copy."""
    lines = [
        "memory = os.memfd_create('x')",
        f"os.truncate(memory, {HONEST_BYTES})",
        f"socket.send_fds(parent, [{(json.dumps(HONEST) + chr(10)).encode()!r}], [memory])",
        "socket.recv_fds(parent, 65536, 4)",
        "os.truncate(memory, 0)",
        "os._exit(0)",
    ]
    with Decoder(CLIP, Limits(), command=fake(*lines)) as decoder:
        video = decoder.decode(b"a video")
        failure(decoder, b"another")
        assert not video.frames_THWC.any()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces RLIMIT_AS")
def test_a_video_that_needs_too_much_memory_fails_and_the_next_one_does_not() -> None:
    limits = Limits(frame_megapixels=1000, decode_memory_gib=0.25)
    with Decoder(CLIP, limits) as decoder:
        assert failure(decoder, media_files.huge_pictures()).reason is Reason.MEMORY
        assert len(decoder.decode(media_files.no_audio()).frames_THWC) == 50


def test_a_real_video_that_takes_too_long_is_stopped() -> None:
    with Decoder(Clip(width=1024, height=1024), Limits(decode_timeout_s=0.1)) as decoder:
        decoder.decode(media_files.one_frame())
        began = time.monotonic()
        assert failure(decoder, media_files.uncounted_frames()).reason is Reason.TIMEOUT
        assert time.monotonic() - began < 3


def test_a_child_killed_between_two_videos_costs_none(decoder: Decoder) -> None:
    decoder.decode(media_files.one_frame())
    os.kill(decoder._child.process.pid, signal.SIGKILL)
    assert len(decoder.decode(media_files.one_frame()).frames_THWC) == 1


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_a_process_without_descriptors_charges_no_video(decoder: Decoder, spare: int) -> None:
    """With one to spare the video goes down, and the kernel drops the file that comes up."""
    data = media_files.good_mp4()
    whole = len(decoder.decode(data).frames_THWC)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]  # no number below the last is free
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1 + spare, limits[1]))
    try:
        if spare < 2:
            with pytest.raises(OSError, match="Too many open files"):
                decoder.decode(data)
        else:
            assert len(decoder.decode(data).frames_THWC) == whole
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)
    assert len(decoder.decode(data).frames_THWC) == whole


def test_a_child_that_cannot_start_is_no_videos_fault() -> None:
    command = [sys.executable, "-c", "raise ImportError('no libav here')"]
    with (
        Decoder(CLIP, Limits(), command=command) as decoder,
        pytest.raises(ActionrecError, match="no libav here") as caught,
    ):
        decoder.decode(media_files.one_frame())
    assert not isinstance(caught.value, VideoError)


def test_no_secret_reaches_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary")
    tell = "sys.exit(f'{sorted(os.environ)} canaries: {list(os.environ.values()).count(\"canary\")}')"
    with Decoder(CLIP, Limits(), command=fake(tell)) as decoder:
        detail = failure(decoder, b"a video").detail
    assert "PYTHONPATH" in detail
    assert "canaries: 0" in detail and "AWS" not in detail and "TOKEN" not in detail


def test_the_child_imports_no_heavy_library() -> None:
    program = "import sys, actionrec.media.child; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "av" in modules
    assert not {"torch", "ray", "cv2", "pandas", "pyarrow", "timm"} & set(modules)


def test_the_child_ends_when_its_parent_is_killed() -> None:
    program = (
        "import os, signal; from actionrec.config import Clip, Limits; from actionrec.media.isolate import Decoder\n"
        "decoder = Decoder(Clip(), Limits()); decoder._living_child()\n"
        "print(decoder._child.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert parent.returncode == -signal.SIGKILL
    child, deadline = int(parent.stdout), time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """Alive, and not a zombie that nobody waits for (as in a container without an init)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_closing_ends_the_child_and_leaks_no_descriptor() -> None:
    def open_descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    with Decoder(CLIP, Limits()) as decoder:
        decoder.decode(media_files.one_frame())
    before = open_descriptors()
    rounds = 6
    for _ in range(rounds):
        with Decoder(CLIP, Limits()) as decoder:
            for data in (media_files.one_frame(), media_files.text()):
                try:
                    video = decoder.decode(data)
                except VideoError:
                    continue
        assert decoder._child.process.returncode is not None
        decoder.close()
    del video
    # A leak is at least one a round; other threads of this process (a Ray session) may open one or two meanwhile.
    assert open_descriptors() < before + rounds


def test_decoders_in_several_threads_do_not_disturb_each_other() -> None:
    def frames_of(data: bytes) -> int:
        with Decoder(CLIP, Limits()) as decoder:
            return sum(len(decoder.decode(data).frames_THWC) for _ in range(5))

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(frames_of, [media_files.one_frame(), media_files.no_audio(), media_files.ten_bit()]))
    assert found == [5, 250, 125]


def test_a_killed_child_leaves_no_core_and_the_parent_keeps_its_own_limits() -> None:
    before = [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE)]
    with Decoder(CLIP, Limits()) as decoder:
        decoder.decode(media_files.one_frame())
        if sys.platform == "linux":
            limits = Path(f"/proc/{decoder._child.process.pid}/limits").read_text()
            core = next(line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core[4] == "0"
    assert [
        resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE)
    ] == before
