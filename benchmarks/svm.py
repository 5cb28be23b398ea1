"""The SVM of all classes along the L2 weights of `tune svm`, against liblinear on a few classes, at UCF101's size.

    OMP_NUM_THREADS=1 python benchmarks/svm.py [--videos 7378] [--width 1024] [--classes 101] [--normalizations l2 ...]

Embeddings are drawn like those of three recurrent networks: in -1 .. 1, a class's mean, a recording's offset and noise,
all with a spectrum that falls as k^-0.75, and streams that know the class well, less well and hardly. Times are of the
processor, for other work on the machine stretches every clock. liblinear is scikit-learn's LinearSVC as it
comes, but for the 10,000 iterations of fusion.max_iterations. An objective is lambda |w|^2 + mean hinge loss.
"""

import argparse
import time
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from actionrec.config import Fusion, Tune
from actionrec.learning import search, svm

Array = NDArray[np.float64]
WORTH = (1.0, 0.7, 0.25)  # of each stream
RECORDINGS = 18  # of each class


def embeddings(videos: int, width: int, classes: int, seed: int = 0) -> tuple[list[Array], NDArray[np.int64]]:
    """A stream's embeddings [N, width] each, and classes [N]."""
    rng = np.random.default_rng(seed)
    target_N = np.sort(np.arange(videos) % classes)
    recording_N = target_N * RECORDINGS + rng.integers(RECORDINGS, size=videos)
    spectrum = np.arange(1, width + 1) ** -0.75 * np.sqrt(width)
    streams = []
    for worth in WORTH:
        turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
        mean, offset, noise = (
            rng.normal(size=(count, width)) * spectrum for count in (classes, classes * RECORDINGS, videos)
        )
        drawn = (worth * mean[target_N] + 0.6 * offset[recording_N] + 0.6 * noise) @ turn
        streams.append(np.tanh((drawn + 0.05 * rng.normal(size=drawn.shape)) / 2))
    return streams, target_N


def normalized(streams: Sequence[Array], how: str) -> Array:
    scaled = {
        "standardize": lambda x: (x - x.mean(0)) / x.std(0),
        "l2": lambda x: x / np.linalg.norm(x, axis=1, keepdims=True),
        "none": lambda x: x,
    }[how]
    return np.concatenate([scaled(stream) for stream in streams], axis=1)


def objective(feature_NF: Array, sign_N: Array, weight_F: Array, bias: float, l2: float) -> float:
    """The bias is one of the weights."""
    loss = np.maximum(0, 1 - sign_N * (feature_NF @ weight_F + bias)).mean()
    return float(l2 * (weight_F @ weight_F + bias**2) + loss)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=7378)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--beside", type=int, default=1, help="classes that liblinear is run on")
    parser.add_argument("--normalizations", nargs="+", default=["standardize", "l2", "none"])
    given = parser.parse_args(arguments)
    streams, target_N = embeddings(given.videos, given.width, given.classes)
    l2s = [each.l2 for each in search.paths(["spatial"], Fusion(normalization="none"), Tune().l2)[0]]
    for how in given.normalizations:
        feature_NF = normalized(streams, how)
        started = time.process_time()
        found = svm.solve(feature_NF, target_N, given.classes, l2s, Fusion().max_iterations)
        own_s = time.process_time() - started
        done = sum(each.converged for each in found)
        print(f"{how}: {len(l2s)} weights, {given.classes} classes: {own_s:.1f} s, {done} converged", flush=True)
        compare(feature_NF, target_N, l2s, found, given.beside, own_s / given.classes)


def compare(
    feature_NF: Array,
    target_N: NDArray[np.int64],
    l2s: Sequence[float],
    found: Sequence[svm.Solution],
    beside: int,
    own_s: float,
) -> None:
    """own_s: seconds a class for all L2 weights."""
    taken_s = 0.0
    for l2, solution in zip(l2s, found, strict=True):
        for label in range(beside):
            sign_N = np.where(target_N == label, 1.0, -1.0)
            started = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                cost = 1 / (2 * l2 * len(target_N))
                machine = LinearSVC(loss="hinge", C=cost, max_iter=10_000, random_state=0).fit(feature_NF, sign_N)
            seconds = time.process_time() - started
            taken_s += seconds
            theirs = objective(feature_NF, sign_N, machine.coef_[0], machine.intercept_[0], l2)
            ours = objective(feature_NF, sign_N, solution.weight[label], solution.bias[label], l2)
            print(
                f"  lambda {l2:g}, class {label}: liblinear {seconds:.1f} s; ours / its objective {ours / theirs:.6f}"
            )
    print(f"  liblinear / ours, time a class along all weights: {taken_s / beside / own_s:.0f}", flush=True)


if __name__ == "__main__":
    main()
