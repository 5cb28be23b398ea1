"""What a run would take before it is begun: hours, GPU-hours, bytes and objects, from rates measured or assumed."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actionrec.config import Config, Fusion, Rnn
from actionrec.errors import InputError
from actionrec.planning.baselines import layer_weights, networks
from actionrec.planning.rates import EXAMPLE_S, FPS, Rates
from actionrec.show.tables import Grid
from actionrec.show.words import counted, duration, size
from actionrec.storage.streams import STREAMS, extracted, wanted
from actionrec.table1.architectures import Architecture, chosen

DECODERS = 6  # cores that a GPU's worker decodes with
PASS_S, NETWORK_S, SESSION_S, PUT_S = 30.0, 10.0, 8.0, 0.05  # fixed costs, measured on 2 cores: docs/lab-book.md
TRAIN_SHARE, VAL_SHARE = 0.64, 0.16  # what `catalog` cuts where nothing else is given
STEPS_SHARE = TRAIN_SHARE + VAL_SHARE / 3  # validation is a forward pass, a third of a step
SVM_S = 1e-7  # one setting: a clip, number and class, on a core
ROW_BYTES = 300.0  # of the status and catalog tables, a video
MOTION = STREAMS["motion"].name  # of all streams the one whose network is trained here


@dataclass(frozen=True)
class Node:
    """One kind of machine. `tflops`: what one of its GPUs sustains on these networks, an assumption."""

    cores: int
    gpus: int = 0
    tflops: float = 0.0


# A third of the published float32 rate of the card (TF32 for A100 and H100), as nothing here was measured on one.
NODES: dict[str, Node] = {
    "g4dn.2xlarge": Node(8, 1, 2.7),  # T4
    "g5.2xlarge": Node(8, 1, 10),  # A10G
    "g6.2xlarge": Node(8, 1, 10),  # L4
    "g6e.2xlarge": Node(8, 1, 30),  # L40S
    "p4d.24xlarge": Node(96, 8, 50),  # A100
    "p5.48xlarge": Node(192, 8, 160),  # H100
    "c7i.2xlarge": Node(8),
    "m7i.xlarge": Node(4),
}


@dataclass(frozen=True)
class PlannedCluster:
    """The machines together. Without a GPU the cores compute; with one they decode, and the GPUs compute."""

    cores: int
    gpus: int
    tflops: float  # of all GPUs

    @property
    def devices(self) -> int:
        """What the networks run on: GPUs, or cores where there are none."""
        return self.gpus or self.cores


def cluster_of(nodes: Sequence[str], known: Mapping[str, Node]) -> PlannedCluster:
    """So many nodes of each type, each written TYPE=COUNT. InputError for a type that is not known."""
    cores, gpus, tflops = 0, 0, 0.0
    for text in nodes:
        name, _, count = text.partition("=")
        if name not in known or not re.fullmatch("[1-9][0-9]{0,5}", count):
            raise InputError(f"--nodes {text}: write it as TYPE=COUNT, TYPE being one of {', '.join(known)}")
        node = known[name]
        cores += node.cores * int(count)
        gpus += node.gpus * int(count)
        tflops += node.gpus * node.tflops * int(count)
    return PlannedCluster(cores, gpus, tflops)


@dataclass(frozen=True)
class Work:
    """What the mean video is made of."""

    frames: float
    pairs: float
    samples: float  # frames that are embedded, and stacks of flow
    examples: float  # of 0.96 s of sound

    def steps(self, stream: str) -> float:
        """Of a stream's sequence."""
        return float(getattr(self, STREAMS[stream].unit))


def work(seconds: float, config: Config) -> Work:
    """Of a video of so many seconds, at 25 frames a second and with sound."""
    seen_s = min(seconds, config.clip.max_s)
    frames = max(1.0, seen_s * FPS)
    samples = min(config.sampling.max_frames, math.ceil(config.sampling.frames_per_s * seen_s), frames)
    return Work(frames, max(0.0, frames - 1), max(1.0, samples), max(1.0, seen_s // EXAMPLE_S))


@dataclass(frozen=True)
class StageForecast:
    """One stage's forecast. `gpu_h` counts every GPU of the cluster for as long as the stage holds them."""

    name: str
    hours: float
    gpu_h: float
    why: str


@dataclass(frozen=True)
class Forecast:
    """All of it, and what it rests on."""

    seconds: float  # of the mean video
    stages: list[StageForecast]
    bytes_of: dict[str, float]  # by stream
    objects: int
    assumptions: list[str] = field(default_factory=list)

    @property
    def hours(self) -> float:
        return sum(stage.hours for stage in self.stages)

    def times(self, per_hour: float | None = None) -> Grid:
        """How long each stage and all of them take, with GPUs and money. `per_hour`: what all machines cost."""
        on_gpus, costs = any(stage.gpu_h for stage in self.stages), per_hour is not None
        rows = [*self.stages, StageForecast("all", self.hours, sum(stage.gpu_h for stage in self.stages), "")]
        columns = ["stage", "time", *["GPU time"] * on_gpus, *["cost"] * costs, "what bounds it"]
        cells = [
            [
                stage.name,
                duration(3600 * stage.hours),
                *[duration(3600 * stage.gpu_h)] * on_gpus,
                *[f"{stage.hours * (per_hour or 0.0):,.2f}"] * costs,
                stage.why,
            ]
            for stage in rows
        ]
        return Grid(columns, cells)

    def sizes(self) -> Grid:
        """What lies under the root, by table, and how many objects that is."""
        rows = [(name, size(count)) for name, count in self.bytes_of.items() if count]
        return Grid(
            ("storage", "size"), [*rows, ("all", size(sum(self.bytes_of.values()))), ("objects", f"{self.objects:,}")]
        )


def forecast(videos: int, seconds: float, cluster: PlannedCluster, config: Config, rates: Rates) -> Forecast:
    """What `actionrec run` on so many videos of so many seconds would take on this cluster."""
    made = work(seconds, config)
    timed = [
        _extract(videos, made, cluster, config, rates),
        *([_motion(videos, made, cluster, config, rates)] if MOTION in wanted(config) else []),
        *([_sweep(videos, made, cluster, config, rates)] if config.tune.in_run else []),
        _rnn(videos, made, cluster, config, rates),
        *([_baselines(videos, made, cluster, config, rates)] if config.table2.rows else []),
        _svm(videos, cluster, config, rates),
    ]
    stages = [
        StageForecast(name, taken_s / 3600, taken_s / 3600 * (cluster.gpus if on_gpu else 0), why)
        for name, taken_s, on_gpu, why in timed
    ]
    parts = math.ceil(videos / config.extract.part_videos)
    files = 2 * len(wanted(config))  # of a part: each stream's features, and its commit mark
    return Forecast(
        seconds, stages, _bytes(videos, made, config, rates), parts * files + 60, _assumptions(seconds, config, rates)
    )


Timed = tuple[str, float, bool, str]  # name, seconds, whether GPUs are held, why


def _extract(videos: int, made: Work, cluster: PlannedCluster, config: Config, rates: Rates) -> Timed:
    decode_s = made.frames * rates.decode_s
    busy_s = rates.overhead_s + sum(made.steps(name) * rates.step_s[name] for name in extracted(config))
    if cluster.gpus:
        decoders = min(cluster.cores, DECODERS * cluster.gpus)
        video_s = max(busy_s / cluster.gpus, decode_s / decoders)
        limit = "decoding" if decode_s / decoders > busy_s / cluster.gpus else "the GPUs"
    else:
        video_s, limit = (busy_s + decode_s) / cluster.cores, "the cores"
    part_s = min(config.extract.part_videos, videos) * video_s * cluster.devices  # the last part has one worker
    taken_s = SESSION_S + PASS_S + videos * video_s + part_s / 2
    why = f"{duration(video_s * cluster.devices)} a video and {'GPU' if cluster.gpus else 'core'}; bound by {limit}"
    return "extract", taken_s, True, why


def _motion(videos: int, made: Work, cluster: PlannedCluster, config: Config, rates: Rates) -> Timed:
    epochs = min(config.motion.max_epochs, rates.motion_epochs)
    embed_s = videos * made.steps(MOTION) * rates.step_s[MOTION] / cluster.devices
    train_s = epochs * videos * STEPS_SHARE * 3 * rates.step_s[MOTION] / cluster.devices
    why = f"{epochs:.0f} epochs in {duration(train_s)}, then {videos * made.samples:,.0f} stacks in {duration(embed_s)}"
    return "train motion", NETWORK_S + PASS_S + train_s + embed_s, True, why


def _trained_s(
    row: Rnn | Architecture, width: int, steps: float, videos: int, config: Config, rates: Rates, on_gpu: bool
) -> float:
    """Seconds of one device to train one network on one stream."""
    epochs = min(config.rnn.max_epochs, rates.rnn_epochs)
    return epochs * videos * STEPS_SHARE * steps * rates.rnn_s(parameters(row, width), on_gpu)


def _rnn(videos: int, made: Work, cluster: PlannedCluster, config: Config, rates: Rates) -> Timed:
    on_gpu, seeds = cluster.gpus > 0, len(config.seeds)
    alone_s = [
        _trained_s(config.rnn, *_input(stream, made, rates), videos, config, rates, on_gpu) for stream in config.streams
    ]
    taken_s = seeds * (sum(alone_s) / cluster.devices + NETWORK_S * len(alone_s))
    return "train rnn", taken_s + PASS_S / 2, True, f"{seeds * len(alone_s)} networks, one after another"


def _baselines(videos: int, made: Work, cluster: PlannedCluster, config: Config, rates: Rates) -> Timed:
    widths = {name: cost.width for name, cost in rates.costs.items()}
    found = [each for row in config.table2.rows for each in networks(row, config, widths, rates.classes)]
    alone_s = [
        min(training.max_epochs, rates.rnn_epochs)
        * videos
        * STEPS_SHARE
        * sum(made.steps(stream) * rates.rnn_s(weights, cluster.gpus > 0) for stream, weights in of_streams.items())
        for training, of_streams in found
    ]
    seeds, systems = len(config.seeds), len(config.table2.rows)
    taken_s = seeds * (sum(alone_s) / cluster.devices + NETWORK_S * len(found)) + PASS_S / 2 * systems
    return "baseline", taken_s, True, f"{counted(seeds * len(found), 'network')} of {counted(systems, 'system')}"


def _sweep(videos: int, made: Work, cluster: PlannedCluster, config: Config, rates: Rates) -> Timed:
    rows = list(dict.fromkeys(row.trained_as() for row in chosen(config.tune.rows)))
    stream = _input(config.tune.stream, made, rates)
    alone_s = [_trained_s(row, *stream, videos, config, rates, cluster.gpus > 0) for row in rows]
    taken_s = len(config.seeds) * max(max(alone_s), sum(alone_s) / cluster.devices)
    return "tune rnn", NETWORK_S + taken_s, True, f"{len(rows)} networks, several at a time, each on one device"


def _svm(videos: int, cluster: PlannedCluster, config: Config, rates: Rates) -> Timed:
    subsets = 2 ** len(config.streams) - 1
    fits = subsets * 3 * len({*config.tune.l2, config.fusion.l2, Fusion().l2}) * len(config.seeds)
    clips, width = videos * TRAIN_SHARE, 1024 * (len(config.streams) + 1) / 2  # of the mean subset
    taken_s = NETWORK_S + fits * clips * min(clips, width) * rates.classes * SVM_S / min(cluster.cores, subsets * 3)
    return "tune svm, train svm, evaluate, report", taken_s, False, f"{fits} settings of the SVM, on cores"


def _input(stream: str, made: Work, rates: Rates) -> tuple[int, float]:
    """(width, steps) of a stream's sequences."""
    return rates.costs[stream].width, made.steps(stream)


def parameters(row: Rnn | Architecture, width: int) -> float:
    """Weights of the recurrent layers over inputs of `width` numbers; the dense layer does not count."""
    directions = 2 if row.bidirectional else 1
    inputs = [width, *[row.units * directions] * (row.layers - 1)]
    return float(sum(directions * layer_weights(row.cell, taken, row.units) for taken in inputs))


def _bytes(videos: int, made: Work, config: Config, rates: Rates) -> dict[str, float]:
    stored = {name: made.steps(name) * rates.step_bytes[name] for name in wanted(config)}
    stored |= {"catalog and status": ROW_BYTES}
    return {stream: videos * each for stream, each in stored.items()}


def _assumptions(seconds: float, config: Config, rates: Rates) -> list[str]:
    unsaid = [] if config.table2.rows else ["the systems of Table II are not counted: table2.rows names none"]
    return [
        f"videos of {seconds:.3g} s at {FPS:g} frames a second, all with sound; {TRAIN_SHARE:.0%} of them train, "
        f"{VAL_SHARE:.0%} validate",
        *rates.sources,
        f"starting costs {SESSION_S:.0f} s a session, {PASS_S:.0f} s a pass over videos, {NETWORK_S:.0f} s a network",
        "videos are read as fast as they are decoded; no machine is lost; the nodes are there from the start",
        *unsaid,
    ]
