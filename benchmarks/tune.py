"""The sweep over Table I against the same trainings run bare on the same cores, and each row against its arithmetic.

    python benchmarks/tune.py [--videos 600] [--epochs 12] [--rounds 2] [--smoke]

Eight trials, the four smallest rows with two seeds, on rendered features of 25 frames of 512 numbers, imported as a
person's own would be.

- sweep: `actionrec tune rnn` as it is, the Ray session open, its trials packed on the cores;
- bare: the same trials (`table1.trial.run`) in as many processes as cores, one torch thread each, features held.

Both sides train for one epoch and for --epochs, taking turns; what the further epochs cost is the slope, and the ratio
is of slopes. What one epoch of the sweep takes beyond bare is its fixed cost (processes, features to workers, eight
trials begun and ended), stated by itself; the ratio of whole times stands beside it.

A row's arithmetic: 6 operations a weight and frame (forward and backward), validation frames 2, at the rate of a large
float32 matrix product on one thread in the same run. Memory is what the machine had less of at the worst moment.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from actionrec import verbs
from actionrec.cluster.session import cores, kept, session
from actionrec.config import Rnn
from actionrec.learning.rnn import parameters
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, begin, open_root
from actionrec.storage.samples import tune_inputs
from actionrec.table1.architectures import TABLE1
from actionrec.table1.outcomes import read_outcome
from actionrec.table1.trial import Held, Sweep, Trial, hold, prepare, run

CLASSES, FRAMES, WIDTH, SEEDS = 14, 25, 512, (0, 1)
ROWS = sorted(TABLE1, key=lambda row: parameters(row.of(Rnn()), WIDTH, CLASSES))[:4]
MATRIX, PRODUCTS = 2048, 10


def write_features(path: Path, videos: int) -> None:
    """Classes that a network can learn in some epochs; groups of five videos."""
    rng = np.random.default_rng(0)
    label = np.arange(videos) % CLASSES
    group = np.arange(videos) // (CLASSES * 5)
    feat = rng.normal(size=(videos, FRAMES, WIDTH)) + 0.3 * rng.normal(size=(CLASSES, 1, WIDTH))[label]
    names = np.array([f"v{place:05d}" for place in range(videos)])
    arrays = {"label": np.array([f"c{each:02d}" for each in label]), "name": names, "group": group}
    np.savez(path, feat=feat.astype(np.float32), is_train=group % 4 != 0, **arrays)


def new_root(features: Path, folder: Path, epochs: int) -> Root:
    limits = {"max_epochs": epochs, "stop_epochs": epochs}
    names = [row.name for row in ROWS]
    layers = [
        {"streams": ["spatial"], "seeds": list(SEEDS), "rnn": limits, "tune": {"rows": names}},
        {"data": {"source": str(features), "dataset": "features"}},
    ]
    root = open_root(str(folder), layers)
    verbs.import_features(root)
    return open_root(str(folder))


def sweep_s(features: Path, folder: Path, epochs: int) -> tuple[float, Root]:
    root = new_root(features, folder, epochs)
    started = time.perf_counter()
    verbs.tune_rnn(root, False)
    return time.perf_counter() - started, root


_held: Held = {}


def _hold(held: Held) -> None:
    _held.update(held)
    torch.set_num_threads(1)


def _ready(seconds: float) -> None:
    time.sleep(seconds)


def _train(sweep: Sweep, trial: Trial) -> None:
    run(sweep, trial, _held, "cpu")


def bare_s(features: Path, folder: Path, epochs: int) -> float:
    root = new_root(features, folder, epochs)
    sweep = prepare(root, begin(root, "tune", tune_inputs(root)))
    held = hold(root, sweep)
    work = [Trial((row,), seed) for row in ROWS for seed in SEEDS]
    with ProcessPoolExecutor(cores(), get_context("spawn"), _hold, (held,)) as pool:
        list(pool.map(_ready, [1.0] * cores()))  # every process is up and holds the features
        started = time.perf_counter()
        list(pool.map(_train, [sweep] * len(work), work))
        return time.perf_counter() - started


@contextmanager
def memory_watched(peaks: list[float]) -> Iterator[None]:
    """Adds the GiB by which available memory fell at the worst moment."""
    before, lowest, ended = _available(), [_available()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            lowest[0] = min(lowest[0], _available())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()
    peaks.append(before - lowest[0])


def _available() -> float:
    line = next(each for each in Path("/proc/meminfo").read_text().splitlines() if each.startswith("MemAvailable"))
    return int(line.split()[1]) / 2**20


def product_rate() -> float:
    """Operations a second of a large product on one thread."""
    torch.set_num_threads(1)
    a = torch.rand(MATRIX, MATRIX)
    taken = []
    for _ in range(PRODUCTS):
        started = time.perf_counter()
        a @ a
        taken.append(time.perf_counter() - started)
    return 2 * MATRIX**3 / statistics.median(taken)


def report_rows(root: Root, rate: float) -> None:
    found = prepare(root, begin(root, "tune", tune_inputs(root)))
    frames = FRAMES * (6 * len(found.videos["train"]) + 2 * len(found.videos["val"]))
    print("\n| row | s an epoch | operations an epoch | of a large product's rate |\n|---|---|---|---|")
    for row in ROWS:
        fingerprint = seeded(found.fingerprint, SEEDS[0])
        outcome = read_outcome(root.store, row.name, SEEDS[0], fingerprint)
        assert outcome is not None, layout.trial(row.name, SEEDS[0])
        seconds = statistics.median(epoch["seconds"] for epoch in outcome.history[1:])
        operations = frames * outcome.parameters
        print(f"| {row.name} | {seconds:.2f} | {operations:.3g} | {operations / seconds / rate:.2f} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="sizes that say nothing, to see that it runs")
    given = parser.parse_args(arguments)
    if given.smoke:
        given = argparse.Namespace(videos=280, epochs=3, rounds=1)
    taken: dict[tuple[str, int], list[float]] = {}
    peaks: dict[str, list[float]] = {"sweep": [], "bare": []}
    root: Root | None = None
    with tempfile.TemporaryDirectory(prefix="actionrec-bench-") as folder, kept():
        features = Path(folder, "features.npz")
        write_features(features, given.videos)
        with session():
            pass  # open from here on
        for turn in range(given.rounds):
            for epochs in (1, given.epochs):
                for side in ("sweep", "bare") if turn % 2 == 0 else ("bare", "sweep"):
                    place = Path(folder, f"{side}-{epochs}-{turn}")
                    with memory_watched(peaks[side]):
                        if side == "sweep":
                            seconds, root = sweep_s(features, place, epochs)
                        else:
                            seconds = bare_s(features, place, epochs)
                    taken.setdefault((side, epochs), []).append(seconds)
                    print(f"{side}, {epochs} epochs: {seconds:.1f} s", flush=True)
        assert root is not None
        rate = product_rate()
        one, many = 1, given.epochs
        mean = {key: statistics.mean(values) for key, values in taken.items()}
        slopes = [
            (s_many - s_one) / (b_many - b_one)
            for s_one, s_many, b_one, b_many in zip(
                *(taken[key] for key in (("sweep", one), ("sweep", many), ("bare", one), ("bare", many))), strict=True
            )
        ]
        print(f"\n{len(ROWS) * len(SEEDS)} trials on {cores()} cores, {given.videos} videos, {many} epochs")
        print(f"sweep / bare, further epochs: {', '.join(f'{each:.2f}' for each in slopes)} (aim: at most 1.10)")
        print(f"fixed cost of the sweep: {mean['sweep', one] - mean['bare', one]:.1f} s")
        print(f"whole times: {mean['sweep', many] / mean['bare', many]:.2f}")
        print(f"peak memory: sweep {max(peaks['sweep']):.1f} GiB, bare {max(peaks['bare']):.1f} GiB")
        print(f"a large product: {rate / 1e9:.0f} G operations a second on one thread")
        report_rows(root, rate)


if __name__ == "__main__":
    main()
