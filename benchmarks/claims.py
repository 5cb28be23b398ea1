"""The paper's claims as experiments that could fail, on rendered videos, as a table for docs/lab-book.md.

    python benchmarks/claims.py --work runs/claims             40 minutes on two cores
    python benchmarks/claims.py --work /tmp/smoke --smoke      the same with the smallest networks, other videos

(a) all streams fused are better than the best single stream; (b) a recurrent network is better than averaging over time
on classes that differ only in the order of two motions; (c) adaptive sampling is better than constant steps on bursts
of 6 frames (bursts.py), with 6 samples each and with the paper's budget; (d) an SVM on the concatenated embeddings is
better than the average of the streams' scores; (e) Nesterov's momentum is better than V.D's other optimisers.

(a) and (d) run through the product's command line. The other arms are trained in this process by the product's loop on
the batches that Ray Train would get. Whatever is finished lies under --work, and the same command goes on from there.
"""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import arms
import bursts
import pyarrow.parquet as parquet
import torch
from verdicts import HEADER, RULE, Comparison, Outcome, table

from actionrec import config
from actionrec.cluster.session import cores
from actionrec.media.synth import SynthSpec
from actionrec.storage import layout
from actionrec.storage.local_store import LocalStore
from actionrec.storage.root import Root, open_root
from actionrec.storage.streams import extracted
from actionrec.storage.weights import prepare

SEEDS = (0, 1, 2)
ORDER_CLASSES = (
    "PushPullRedWhistling",
    "PullPushRedWhistling",
    "LiftDropBlueWhistling",
    "DropLiftBlueWhistling",
)  # in pairs that differ in nothing but the order of two motions
LIBRARY_LR = {"adam": 1e-3, "rmsprop": 1e-2, "adadelta": 1.0}  # torch's defaults; the paper gives a rate for nag only
FEW = 6  # samples


@dataclass(frozen=True)
class Size:
    """What is measured; the seeds of the data were fixed before."""

    synth: SynthSpec
    bursts: bursts.Spec
    common: tuple[str, ...]  # settings of every root over configs/demo.yaml
    burst: tuple[str, ...] = ("streams=[spatial]", "clip.width=160", "clip.height=120")  # a quarter of the flow's cost


FULL = Size(SynthSpec(groups=14), bursts.Spec(), ("rnn.units=128",))
SMOKE = Size(
    SynthSpec(seed=1, groups=5, clips_per_group=1),
    bursts.Spec(seed=1, groups=10),
    (
        *("rnn.units=16", "rnn.max_epochs=5", "motion.max_epochs=2", "frame.model=test_resnet", "frame.size=64"),
        *("clip.width=160", "clip.height=120", "flow.stored_width=40", "flow.stored_height=30"),
    ),
)


class Notebook:
    """What is finished, one JSON file each. Refuses a folder in which something else was measured."""

    def __init__(self, work: Path, settings: str) -> None:
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        stored = work / "settings.txt"
        if stored.exists() and stored.read_text() != settings:
            raise SystemExit(f"{work} holds measurements of other settings; name another folder")
        stored.write_text(settings)

    def once(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `compute` returns, or returned in an earlier run; with `seconds`, the time it took."""
        path = self.work / "results" / f"{name}.json"
        if not path.exists():
            print(f"{name} ...", file=sys.stderr, flush=True)
            started = time.perf_counter()
            found = compute()
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text(json.dumps({**found, "seconds": time.perf_counter() - started}))
            os.replace(unfinished, path)
        result: dict[str, Any] = json.loads(path.read_text())
        return result

    def outcomes(self, name: str, of_seed: Callable[[int], Outcome]) -> list[Outcome]:
        """An arm's outcome of each seed."""
        found = [
            self.once(f"{name}/seed-{seed}", lambda seed=seed: dataclasses.asdict(of_seed(seed))) for seed in SEEDS
        ]
        return [Outcome(each["hits"], {**each["notes"], "seconds": each["seconds"]}) for each in found]

    def seconds(self) -> float:
        return sum(json.loads(path.read_text())["seconds"] for path in (self.work / "results").rglob("*.json"))


@dataclass(frozen=True)
class Lab:
    """Where the experiments run, and how their roots come about."""

    notebook: Notebook
    size: Size
    extra: tuple[str, ...]  # settings from the command line

    def root(self, name: str) -> Root:
        return open_root(str(self.notebook.work / name))

    def step(self, root: str, *verb: str, settings: Sequence[str] = ()) -> None:
        """One command of the product on a root."""
        options = [f"--set={each}" for each in settings]
        command = [sys.executable, "-m", "actionrec.cli", *verb, "--root", str(self.notebook.work / root), *options]

        def run() -> dict[str, Any]:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
            return {}

        self.notebook.once(f"{root}/{'-'.join(each for each in verb[:2] if '/' not in each)}", run)

    def features(self, root: str, source: Path, dataset: str, settings: Sequence[str]) -> None:
        """Catalog and extract. The weights are made once and linked into every root."""
        settings = (*self.size.common, f"seeds={list(SEEDS)}", *settings, *self.extra)
        weights = self.notebook.work / "weights-root"
        if not (self.notebook.work / root / "weights").exists():
            chosen = config.load([config.read_layer("demo"), config.set_layer(settings)])
            prepare(chosen, LocalStore(str(weights)), extracted(chosen))
            shutil.copytree(weights / "weights", self.notebook.work / root / "weights", copy_function=os.link)
        given = ("--dataset", dataset, "--config", "demo")
        self.step(root, "catalog", str(source), *given, settings=settings)
        self.step(root, "extract")


def streams(lab: Lab) -> list[Comparison]:
    """(a), (b), (d) and (e), all on one root."""
    videos, name = lab.notebook.work / "synth", "streams"
    spec = lab.size.synth
    counts = ("--groups", str(spec.groups), "--clips-per-group", str(spec.clips_per_group), "--seed", str(spec.seed))
    lab.notebook.once("synth", lambda: _run("synth", str(videos), *counts))
    lab.features(name, videos, "ucf101", ())
    for verb in (("train", "motion"), ("train", "rnn"), ("train", "fusion"), ("evaluate",)):
        lab.step(name, *verb)
    root = lab.root(name)
    return [*fusion(lab, root), *order(lab, root), *optimizers(lab, root)]


def fusion(lab: Lab, root: Root) -> list[Comparison]:
    """(a) and (d). The best single stream is the one with the best mean top-1 on validation, by either classifier."""
    of_seeds = [
        lab.notebook.once(f"fusion/seed-{seed}", lambda seed=seed: _plain(arms.evaluated(root, seed))) for seed in SEEDS
    ]
    by_arm = {arm: [Outcome(**found[arm]) for found in of_seeds] for arm in of_seeds[0] if arm != "seconds"}
    single = max(
        (arm for arm in by_arm if "+" not in arm), key=lambda arm: sum(each.notes["val_top1"] for each in by_arm[arm])
    )
    everything = "+".join(root.config.streams)
    svm, average = f"svm {everything}", f"average {everything}"
    _refuse_another_table(root, everything, by_arm[svm])
    groups = arms.groups(root)
    return [
        Comparison("a", svm, single, by_arm[svm], by_arm[single], groups),
        Comparison("d", svm, average, by_arm[svm], by_arm[average], groups),
    ]


def order(lab: Lab, root: Root) -> list[Comparison]:
    """(b), with spatial and with motion features."""
    found = []
    for stream in ("spatial", "motion"):
        study = arms.Study(root, stream, ORDER_CLASSES)
        by_arm = {
            "RNN": lab.notebook.outcomes(f"order/{stream}-rnn", study.recurrent),
            "mean over time, softmax": lab.notebook.outcomes(f"order/{stream}-softmax", study.averaged),
            "mean over time, SVM": lab.notebook.outcomes(f"order/{stream}-svm", study.averaged_svm),
        }
        first, *others = by_arm
        found += [
            Comparison("b", f"{stream} {first}", f"{stream} {each}", by_arm[first], by_arm[each], arms.groups(root))
            for each in others
        ]
    return found


def optimizers(lab: Lab, root: Root) -> list[Comparison]:
    """(e), on the spatial stream of all classes."""
    by_arm = {}
    for name, lr in {"nag": root.config.rnn.lr, **LIBRARY_LR}.items():
        rnn = dataclasses.replace(root.config.rnn, optimizer=name, lr=lr)
        study = arms.Study(root, "spatial", rnn=rnn)
        by_arm[f"{name} {lr:g}"] = lab.notebook.outcomes(f"optimizers/{name}", study.recurrent)
    first, *others = by_arm
    return [
        Comparison(
            "e", _with_epochs(first, by_arm), _with_epochs(each, by_arm), by_arm[first], by_arm[each], arms.groups(root)
        )
        for each in others
    ]


def sampling(lab: Lab) -> tuple[list[Comparison], list[str]]:
    """(c), and how much of the bursts each way of sampling sees."""
    videos, spec = lab.notebook.work / "bursts", lab.size.bursts
    lab.notebook.once("bursts", lambda: bursts.write(videos, spec, cores()) or {})
    found, said = [], []
    for budget, cap in ((str(FEW), (f"sampling.max_frames={FEW}",)), ("the paper's", ())):
        by_arm, groups = {}, {}
        for method in ("adaptive", "constant"):
            name = f"bursts-{method}-{'few' if cap else 'paper'}"
            lab.features(name, videos / bursts.CSV, "csv", (*lab.size.burst, *cap, f"sampling.method={method}"))
            root = lab.root(name)
            by_arm[method] = lab.notebook.outcomes(f"sampling/{name}", arms.Study(root, "spatial").recurrent)
            groups = arms.groups(root)
            seen = lab.notebook.once(f"sampling/{name}/seen", lambda root=root: arms.seen(root, spec))
            said.append(
                f"{method}, budget {budget}: {seen['samples']:.1f} samples a clip, {seen['inside']:.2f} of them in the "
                f"burst, which {100 * seen['share']:.0f} % of the test clips show at all"
            )
        found.append(
            Comparison("c", f"adaptive, budget {budget}", f"constant, budget {budget}", *by_arm.values(), groups)
        )
    probe = lab.notebook.once("sampling/probe", lambda: arms.burst_probe(lab.root("bursts-constant-paper"), spec))
    said.append(
        "linear probe on the mean of a clip's sampled frames, constant, the paper's budget: "
        f"{100 * probe['inside']:.1f} % inside the burst, {100 * probe['outside']:.1f} % outside, chance 25 %"
    )
    return found, said


def _with_epochs(name: str, by_arm: Mapping[str, Sequence[Outcome]]) -> str:
    return f"{name} ({', '.join(str(round(each.notes['best_epoch'] + 1)) for each in by_arm[name])} epochs)"


def _plain(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {arm: dataclasses.asdict(outcome) for arm, outcome in outcomes.items()}


def _refuse_another_table(root: Root, everything: str, outcomes: Sequence[Outcome]) -> None:
    """What is compared here must be what `actionrec evaluate` reports."""
    rows = parquet.read_table(BytesIO(root.output.read(layout.table("ablation")))).to_pylist()
    (reported,) = (row["top1"] for row in rows if "+".join(row["streams"]) == everything and row["method"] == "svm")
    if abs(reported - sum(each.top1 for each in outcomes) / len(outcomes)) > 1e-9:
        raise SystemExit(f"tables/ablation says {reported} of the fused model, which is not what was found here")


def _run(*arguments: str) -> dict[str, Any]:
    subprocess.run([sys.executable, "-m", "actionrec.cli", *arguments], check=True, capture_output=True)
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder for videos, roots and results")
    parser.add_argument("--smoke", action="store_true", help="does everything run? The figures mean nothing")
    parser.add_argument("--only", choices=("streams", "sampling"), help="(a, b, d, e) or (c) alone")
    parser.add_argument("--set", action="append", default=[], help="a setting of every root, as rnn.units=512")
    arguments = parser.parse_args()
    size = SMOKE if arguments.smoke else FULL
    torch.set_num_threads(cores())
    settings = (
        f"{size}\n{arguments.set}\nseeds {SEEDS}\nbursts version {bursts.VERSION} {bursts.fingerprint(size.bursts)}\n"
    )
    lab = Lab(Notebook(arguments.work.absolute(), settings), size, tuple(arguments.set))
    comparisons: list[Comparison] = []
    said: list[str] = []
    if arguments.only != "sampling":
        comparisons += streams(lab)
    if arguments.only != "streams":
        more, said = sampling(lab)
        comparisons += more
    comparisons.sort(key=lambda each: each.claim)
    print(f"\n{platform.machine()}, {cores()} cores, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"\n{settings}\nconfigs/demo.yaml otherwise.\n")
    print(table(HEADER, [each.row() for each in comparisons]))
    print(f"\nTop-1 in %, mean ± standard deviation over {len(SEEDS)} seeds. {RULE[0].upper()}{RULE[1:]}.\n")
    print("\n".join(f"- {line}" for line in said))
    print(f"\n{lab.notebook.seconds():.0f} s in all.")


if __name__ == "__main__":
    main()
