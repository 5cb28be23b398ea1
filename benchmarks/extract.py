"""Extraction against its bare limit, and how its time and memory grow: python benchmarks/extract.py

One run, so that a noisy machine disturbs both sides of each ratio alike:

- the limit: the largest set's decoding, flow, frame CNN and VGGish as bare loops, a process on each core at once,
  measured before and after the pipeline and averaged;
- the pipeline: `actionrec extract` on each set, a fresh root and a fresh Ray session each time;
- start-up is the intercept and the cost of a video the slope of the least-squares line of seconds over videos.
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
from typing import Any

import numpy as np
import torch

from actionrec import config
from actionrec.distributed.session import cores
from actionrec.features.flow import DisFlow, mean_displacement_px
from actionrec.features.frame_cnn import FrameCNN, build_frame_cnn, mean_std
from actionrec.features.sampling import sample
from actionrec.features.vggish import VGGish, build_vggish, log_mel_examples
from actionrec.media.decode import decode
from actionrec.media.synth import SynthSpec, write_dataset
from actionrec.storage.local_store import LocalStore
from actionrec.storage.weights import load, prepare

PHASES = ("decode", "flow", "frame", "audio")


def bare(videos: list[Path], root: str, settings: config.Config, barrier_dir: Path, workers: int) -> dict[str, float]:
    """Seconds of each phase over `videos`, in this process alone, once every worker has its networks."""
    torch.set_num_threads(1)
    store = LocalStore(root)
    refs = prepare(settings, store)
    network, vggish = build_frame_cnn(settings.frame.model), build_vggish()
    load(network, refs["frame"], store)
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


def measure_pipeline(source: Path, root: Path, weights: Path, workers: int) -> tuple[float, float, float]:
    """Seconds of one `actionrec extract`, and the peak memory in MiB of its driver and of its largest worker."""
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
    return time.perf_counter() - start, peaks["driver"], peaks["worker"]


def _watch(driver: subprocess.Popen[bytes], peaks: dict[str, float]) -> None:
    while driver.poll() is None:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                is_worker = b"_PartActor" in (entry / "cmdline").read_bytes()
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


def report(limits: list[dict[str, float]], counts: list[int], runs: list[Any], workers: int) -> None:
    slope, intercept = np.polyfit(counts, [seconds for seconds, *_ in runs], 1)
    limit = {phase: sum(each[phase] for each in limits) / len(limits) for phase in PHASES}
    floor = sum(limit.values())
    phases = ", ".join(f"{phase} {seconds * workers:.3f}" for phase, seconds in limit.items())
    print(f"\n{workers} cores, {torch.__version__=}, Python {sys.version.split()[0]}")
    both = " and ".join(f"{sum(each.values()):.3f}" for each in limits)
    print(f"limit: {floor:.3f} s a video over all cores ({both}); core-seconds a video: {phases}")
    for count, (seconds, driver_mib, worker_mib) in zip(counts, runs, strict=True):
        line = slope * count + intercept
        peak = f"peak memory: driver {driver_mib:.0f} MiB, worker {worker_mib:.0f} MiB"
        print(f"{count:4d} clips: {seconds:6.1f} s (line {line:6.1f}), {peak}")
    print(f"pipeline: {slope:.3f} s a video after a start-up of {intercept:.1f} s")
    print(f"reached: {floor / slope:.2f} of the limit ({1 / slope:.2f} of {1 / floor:.2f} videos/s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    settings = config.load([config.read_layer("demo")])
    workers = cores()
    with tempfile.TemporaryDirectory(prefix="actionrec-bench-") as folder:
        top = Path(folder)
        spec = SynthSpec(classes=8, groups=-(-max(arguments.clips) // 8), clips_per_group=1, seconds=arguments.seconds)
        write_dataset(top / "all", spec)
        videos = sorted((top / "all").glob("*/*.avi"))
        prepare(settings, LocalStore(str(top / "weights-root")))
        largest = max(arguments.clips)
        limits = [measure_limit(videos[:largest], str(top / "weights-root"), settings, workers)]
        runs: list[Any] = []
        for count in arguments.clips:
            subset(videos[:count], top / "all", top / f"source-{count}")
            runs.append(
                measure_pipeline(
                    top / f"source-{count}", top / f"root-{count}", top / "weights-root" / "weights", workers
                )
            )
        limits.append(measure_limit(videos[:largest], str(top / "weights-root"), settings, workers))
        report(limits, arguments.clips, runs, workers)


if __name__ == "__main__":
    main()
