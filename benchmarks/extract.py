"""Extraction against its bare limit, and how its time and memory grow: python benchmarks/extract.py

One run, so that a noisy machine disturbs both sides of each ratio alike:

- the limit: the largest set's decoding, flow, frame CNN and VGGish as bare loops, a process on each core at once,
  measured before and after the pipeline and averaged;
- the pipeline: `actionrec extract` on each set, a fresh root and a fresh Ray session each time;
- a video's cost is the time from when every worker has committed its first part to the last commit, over the videos
  committed in between; the rest of the run is start-up, stated but left out of the ratio.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from pyarrow import parquet

from actionrec import config
from actionrec.distributed.session import cores
from actionrec.features.flow import DisFlow, mean_displacement_px
from actionrec.features.frame_cnn import FrameCNN, build_frame_cnn, mean_std
from actionrec.features.sampling import sample
from actionrec.features.vggish import VGGish, build_vggish, log_mel_examples
from actionrec.media.decode import decode
from actionrec.media.synth import SynthSpec, write_dataset
from actionrec.storage import layout
from actionrec.storage.local_store import LocalStore
from actionrec.storage.streams import extracted
from actionrec.storage.weights import load, prepare

PHASES = ("decode", "flow", "frame", "audio")


def bare(videos: list[Path], root: str, settings: config.Config, barrier_dir: Path, workers: int) -> dict[str, float]:
    """Seconds of each phase over `videos`, in this process alone, once every worker has its networks."""
    torch.set_num_threads(1)
    store = LocalStore(root)
    refs = prepare(settings, store, extracted(settings))
    network, vggish = build_frame_cnn(settings.frame.model), build_vggish()
    load(network, refs["spatial"], store)
    load(vggish, refs["audio"], store)
    mean, std = mean_std(network)
    size, batch = settings.frame.size, settings.extract.frame_batch
    flow, frame = DisFlow(), FrameCNN(network, size=size, mean=mean, std=std, batch=batch)
    audio = VGGish(vggish, batch=settings.extract.audio_batch)
    (barrier_dir / str(os.getpid())).touch()
    while len(list(barrier_dir.iterdir())) < workers:
        time.sleep(0.01)
    seconds = dict.fromkeys(PHASES, 0.0)
    for path in videos:
        marks = [time.perf_counter()]
        decoded = decode(path.read_bytes(), settings.clip, settings.limits)
        marks.append(time.perf_counter())
        motion_px = mean_displacement_px(flow(decoded.frames_THWC, settings.extract.flow_batch))
        marks.append(time.perf_counter())
        times_s = [int(tick) * decoded.time_base for tick in decoded.pts_ticks]
        frame(decoded.frames_THWC[sample(settings.sampling, times_s, decoded.duration_s, motion_px.tolist())])
        marks.append(time.perf_counter())
        if decoded.audio is not None:
            audio(log_mel_examples(decoded.audio))
        marks.append(time.perf_counter())
        for phase, begin, end in zip(PHASES, marks, marks[1:], strict=False):
            seconds[phase] += end - begin
    return seconds


def measure_limit(videos: list[Path], root: str, settings: config.Config, workers: int) -> dict[str, float]:
    """Seconds a video would take on all cores if nothing but the bare phases cost anything, by phase."""
    with tempfile.TemporaryDirectory() as barrier, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        futures = [
            pool.submit(bare, videos[i::workers], root, settings, Path(barrier), workers) for i in range(workers)
        ]
        results = [future.result() for future in futures]
    return {phase: sum(result[phase] for result in results) / workers / len(videos) for phase in PHASES}


class Run(NamedTuple):
    """One `actionrec extract`."""

    videos: int
    seconds: float
    seconds_a_video: float
    driver_mib: float  # peak resident memory
    worker_mib: float  # of the largest worker


def measure_pipeline(source: Path, root: Path, weights: Path, videos: int, workers: int) -> Run:
    shutil.copytree(weights, root / "weights", copy_function=os.link)
    command = [sys.executable, "-m", "actionrec.cli"]
    options = ["--root", str(root), "--config", "demo"]
    subprocess.run([*command, "catalog", str(source), *options], check=True, capture_output=True)
    start = time.perf_counter()
    driver = subprocess.Popen(
        [*command, "extract", *options, "--set", f"extract.actors={workers}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peaks: dict[str, float] = {"driver": 0.0, "worker": 0.0}
    watcher = threading.Thread(target=_watch, args=(driver, peaks), daemon=True)
    watcher.start()
    if driver.wait() != 0:
        raise SystemExit("the extraction failed: run it by hand to see why")
    seconds = time.perf_counter() - start
    return Run(videos, seconds, _steady(root, workers), peaks["driver"], peaks["worker"])


def _steady(root: Path, workers: int) -> float:
    """Seconds a video, once every worker has committed a part, which its last stream's mark does."""
    last_stream = extracted(config.load([config.read_layer("demo")]))[-1]
    marks = sorted((root / layout.STATUS).glob(f"{last_stream}-*"), key=lambda path: path.stat().st_mtime)
    first, last = marks[workers - 1], marks[-1]
    videos = sum(parquet.read_metadata(mark).num_rows for mark in marks[workers:])
    return (last.stat().st_mtime - first.stat().st_mtime) / videos


def _watch(driver: subprocess.Popen[bytes], peaks: dict[str, float]) -> None:
    while driver.poll() is None:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                is_worker = b"_Actor" in (entry / "cmdline").read_bytes()
                status = (entry / "status").read_text()
            except OSError:
                continue
            who = "driver" if int(entry.name) == driver.pid else "worker" if is_worker else None
            if who and "VmHWM" in status:
                peaks[who] = max(peaks[who], int(status.split("VmHWM:")[1].split()[0]) / 1024)
        time.sleep(0.25)


def subset(videos: list[Path], source: Path, folder: Path) -> None:
    """A UCF101-shaped folder of just these videos."""
    shutil.copytree(source / "ucfTrainTestlist", folder / "ucfTrainTestlist")
    for path in videos:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)


def report(limits: list[dict[str, float]], runs: list[Run], workers: int) -> None:
    limit = {phase: sum(each[phase] for each in limits) / len(limits) for phase in PHASES}
    floor = sum(limit.values())
    phases = ", ".join(f"{phase} {seconds * workers:.3f}" for phase, seconds in limit.items())
    both = " and ".join(f"{sum(each.values()):.3f}" for each in limits)
    print(f"{workers} cores, torch {torch.__version__}, Python {sys.version.split()[0]}")
    print(f"limit: {floor:.3f} s a video over all cores ({both}); core-seconds a video: {phases}")
    for run in runs:
        startup = run.seconds - run.videos * run.seconds_a_video
        print(
            f"{run.videos:4d} clips: {run.seconds:6.1f} s in all, {startup:.0f} s of them start-up; "
            f"{run.seconds_a_video:.3f} s a video, {floor / run.seconds_a_video:.2f} of the limit; "
            f"peak memory: driver {run.driver_mib:.0f} MiB, worker {run.worker_mib:.0f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    settings = config.load([config.read_layer("demo")])
    workers = cores()
    with tempfile.TemporaryDirectory(prefix="actionrec-bench-") as folder:
        top = Path(folder)
        groups = max(3, -(-max(arguments.clips) // 8))
        spec = SynthSpec(classes=8, groups=groups, clips_per_group=1, seconds=arguments.seconds)
        write_dataset(top / "all", spec)
        videos = sorted((top / "all").glob("*/*.avi"))
        prepare(settings, LocalStore(str(top / "weights-root")), extracted(settings))
        largest = max(arguments.clips)
        limits = [measure_limit(videos[:largest], str(top / "weights-root"), settings, workers)]
        runs = []
        for count in arguments.clips:
            source, root = top / f"source-{count}", top / f"root-{count}"
            subset(videos[:count], top / "all", source)
            runs.append(measure_pipeline(source, root, top / "weights-root" / "weights", count, workers))
        limits.append(measure_limit(videos[:largest], str(top / "weights-root"), settings, workers))
        report(limits, runs, workers)


if __name__ == "__main__":
    main()
