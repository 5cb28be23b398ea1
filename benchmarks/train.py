"""Training on Ray against the same loop bare, with two workers, and against the arithmetic's own limit.

    python benchmarks/train.py [--rnn-epochs 20] [--motion-epochs 6] [--rounds 2] [--smoke]

Settings of configs/demo.yaml on a root of its own: features of the demo's sizes (spatial [10, 1280]; 49 pairs of 64x48
flow a clip, smooth noise through the codec) of 128 training and 32 validation videos in parts of 4; nothing is decoded.

- bare: `learning.loop.fit` in this process on batches made in the same thread (`batches.DirectData`), one torch thread;
- Ray: `training.ray_train` with its workers, DistributedDataParallel and Ray Data, started anew for each run.

Sides take turns, every other round in the opposite order; the Ray session is open all the time. Samples a second are
training samples over the seconds of whole epochs, validation included, from each training's second epoch on: the first
one is the warm-up. What lies outside of epochs (starting workers, checkpoints, storing models) is stated, and left out.

The limit of the motion CNN's step: its operations, counted by torch, at the rate of a large float32 matrix product on
as many threads. Product and step take turns as well, each warmed up twice; the ratio is of medians.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ray
import torch
from torch.utils.flop_counter import FlopCounterMode
from train_root import CLASSES, WIDTH, flow_bytes, make_root

from actionrec.cluster.session import cores, kept
from actionrec.learning.loop import Workers, classify, fit
from actionrec.storage.root import Root
from actionrec.storage.samples import made_with, samples
from actionrec.training.batches import BatchPlan, DirectData
from actionrec.training.motion_cnn import MotionCnnSpec, StackLoader
from actionrec.training.ray_train import train
from actionrec.training.rnn import RnnSpec
from actionrec.training.sequences import SequenceLoader
from actionrec.training.spec import TrainingSpec

MATRIX = 2048  # rows and columns of the large product


class Side(NamedTuple):
    """One way to train."""

    name: str
    workers: int  # 0: bare
    threads: int


SIDES = [
    Side("bare loop, 1 thread", 0, 1),
    Side("Ray, 1 worker x 1 thread", 1, 1),
    Side("Ray, 2 workers x 1 thread", 2, 1),
    Side("Ray, 1 worker x 2 threads", 1, 2),
]
BARE, ONE, TWO, THREADS = SIDES


class Run(NamedTuple):
    """Both networks trained once by one side."""

    histories: dict[str, list[dict[str, Any]]]  # by network
    outside_s: float  # of epochs


def specs(root: Root, run: int) -> list[TrainingSpec]:
    """The spatial stream's recurrent network and the motion CNN, as the verbs make them, in folders of their own."""
    frames, stacks = samples(root, "spatial"), samples(root, "flow")
    seed, flow = root.config.seeds[0], root.config.flow
    url, features = root.store.url, made_with(root, "flow")
    of_frames = (seed, frames.labels, frames.of("train"), frames.of("val"))
    of_stacks = (seed, stacks.labels, stacks.of("train"), stacks.of("val"))
    return [
        RnnSpec(
            "RNN", f"models/rnn-{run}/", "x", *of_frames, SequenceLoader(root.config, url, "spatial", WIDTH, features)
        ),
        MotionCnnSpec(
            "motion CNN",
            f"models/motion-{run}/",
            "x",
            *of_stacks,
            StackLoader(root.config, url, flow.stored_height, flow.stored_width, seed, features),
        ),
    ]


def measure(side: Side, root: Root, run: int) -> Run:
    chosen = specs(root, run)
    started = time.perf_counter()
    if side.workers:
        how = dataclasses.replace(root.config.train, workers=side.workers, threads=side.threads, device="cpu")
        models = train(dataclasses.replace(root, config=dataclasses.replace(root.config, train=how)), "rnn", chosen)
        found = [model.history for model in models]
    else:
        found = [bare(spec, side.threads) for spec in chosen]
    seconds = time.perf_counter() - started
    histories = {spec.name: history for spec, history in zip(chosen, found, strict=True)}
    return Run(histories, seconds - sum(epoch["seconds"] for history in found for epoch in history))


def bare(spec: TrainingSpec, threads: int) -> list[dict[str, Any]]:
    """The history of a training in this process alone."""
    torch.set_num_threads(threads)
    knobs = spec.training
    plan = BatchPlan(spec.loader, spec.train, spec.val, spec.seed, knobs.batch, knobs.shuffle_batches)
    data = DirectData(plan, "cpu")
    torch.manual_seed(spec.seed)
    network = spec.build()
    spec.prepare(network, data, Workers())
    return [dataclasses.asdict(epoch) for epoch in fit(network, data, knobs, seed=spec.seed).history]


class Total(NamedTuple):
    """A side's epochs of one network after the warm-up, all rounds together."""

    samples: int
    seconds: float
    wait_s: float
    warm_up_wait_s: float  # of the first epochs, which are not in the other sums

    @property
    def rate(self) -> float:
        return self.samples / self.seconds


def total(runs: Sequence[Run], network: str) -> Total:
    first = [run.histories[network][0] for run in runs]
    later = [epoch for run in runs for epoch in run.histories[network][1:]]
    sums = {key: sum(epoch[key] for epoch in later) for key in ("samples", "seconds", "wait_s")}
    return Total(**sums, warm_up_wait_s=statistics.mean(epoch["wait_s"] for epoch in first))


def report(runs: dict[Side, list[Run]], network: str) -> None:
    totals = {side: total(found, network) for side, found in runs.items()}
    base, one = totals[BARE], totals[ONE]
    print(f"\n{network}:\n")
    print("| side | samples/s | against bare | against Ray 1x1 | data stall | first epoch's stall, s |")
    print("|---|---|---|---|---|---|")
    for side, each in totals.items():
        against = f"{each.rate / base.rate:.2f} | {each.rate / one.rate:.2f}"
        stall = f"{each.wait_s / each.seconds:.1%} | {each.warm_up_wait_s:.2f}"
        print(f"| {side.name} | {each.rate:.1f} | {against} | {stall} |")
    # The bare loop makes its batches itself, Ray's tasks do it beside the training where there is a second core.
    alone = base.samples / (base.seconds - base.wait_s)
    print(f"\nRay, 1 worker x 1 thread: {one.rate / base.rate:.2f} of the bare loop (aim: 0.95),", end=" ")
    print(f"{one.rate / alone:.2f} of the bare loop had its batches cost nothing;", end=" ")
    print(f"data stall {one.wait_s / one.seconds:.1%} (aim: below 5 %).", end=" ")
    print(f"2 workers x 1 thread: {totals[TWO].rate / totals[THREADS].rate:.2f} of 1 worker x 2 threads.")


class Limit(NamedTuple):
    threads: int
    flop: int  # of a batch, forward and backward
    flop_per_s: float  # of the large product
    passes_s: float  # forward and backward
    step_s: float  # with the optimiser


def measure_limit(spec: TrainingSpec, threads: int, repeats: int) -> Limit:
    """The step of the training loop on a batch of the training's own, beside the product on as many threads."""
    torch.set_num_threads(threads)
    batch_size = spec.training.batch
    plan = BatchPlan(spec.loader, spec.train, spec.val, spec.seed, batch_size, 1)
    batch = next(iter(DirectData(plan, "cpu").training(0)))
    torch.manual_seed(spec.seed)
    network = spec.build().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)
    left, right = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)

    def passes() -> None:
        optimizer.zero_grad(set_to_none=True)
        classify(network, batch)[0].mean().backward()

    with FlopCounterMode(display=False) as counter:
        passes()
    seconds: dict[str, list[float]] = {"product": [], "passes": [], "update": []}
    actions = {"product": lambda: left @ right, "passes": passes, "update": optimizer.step}
    for repeat in range(repeats + 2):
        for name, action in actions.items():
            took_s = timed(action)
            if repeat >= 2:
                seconds[name].append(took_s)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    rate = 2 * MATRIX**3 / median["product"]
    return Limit(threads, counter.get_total_flops(), rate, median["passes"], median["passes"] + median["update"])


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def report_limits(limits: Sequence[Limit], batch: int) -> None:
    print(f"\nThe motion CNN's step, batch {batch}, against the rate of a {MATRIX} x {MATRIX} float32 product:\n")
    print("| threads | GFLOP | product, GFLOP/s | limit, s | passes, s | share | with Adam, s | share |")
    print("|---|---|---|---|---|---|---|---|")
    for limit in limits:
        floor_s = limit.flop / limit.flop_per_s
        print(
            f"| {limit.threads} | {limit.flop / 1e9:.1f} | {limit.flop_per_s / 1e9:.1f} | {floor_s:.3f} | "
            f"{limit.passes_s:.3f} | {floor_s / limit.passes_s:.2f} | "
            f"{limit.step_s:.3f} | {floor_s / limit.step_s:.2f} |"
        )


def turns(rounds: int) -> Iterator[Side]:
    for number in range(rounds):
        yield from SIDES if number % 2 == 0 else reversed(SIDES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rnn-epochs", type=int, default=20)
    parser.add_argument("--motion-epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="a run that only shows that it works")
    arguments = parser.parse_args()
    epochs = {"rnn": arguments.rnn_epochs, "motion": arguments.motion_epochs}
    counts, rounds, repeats = {"train": 128, "val": 32, "test": CLASSES}, arguments.rounds, 7
    if arguments.smoke:
        epochs, counts, rounds, repeats = {"rnn": 3, "motion": 2}, {"train": 32, "val": 16, "test": CLASSES}, 1, 1
    if min(epochs.values()) < 2 or rounds < 1:
        parser.error("two epochs are the least, of which the first is the warm-up; and one round")
    runs: dict[Side, list[Run]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="actionrec-bench-") as folder, kept():
        root = make_root(Path(folder), epochs, counts)
        for number, side in enumerate(turns(rounds)):
            runs[side].append(measure(side, root, number))
        rnn, motion = specs(root, 0)
        limits = [measure_limit(motion, threads, repeats) for threads in sorted({1, min(2, cores())})]
    print(f"{cores()} cores, torch {torch.__version__}, Ray {ray.__version__}, Python {sys.version.split()[0]}")
    print(
        f"{counts['train']} training and {counts['val']} validation videos, batch {motion.training.batch}, "
        f"{flow_bytes(root.config.flow):.0f} bytes a pair of flow; {rounds} rounds of {epochs['rnn']} epochs (RNN) "
        f"and {epochs['motion']} (motion CNN), the first of each left out"
    )
    for spec in (rnn, motion):
        report(runs, spec.name)
    outside = [f"{side.name} {statistics.mean(run.outside_s for run in found):.0f}" for side, found in runs.items()]
    print(f"\nSeconds outside of epochs, both networks together: {', '.join(outside)}.")
    report_limits(limits, motion.training.batch)


if __name__ == "__main__":
    main()
