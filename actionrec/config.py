"""Every knob of the project: typed, frozen, checked once, with the paper's value as its default.

A configuration is layered: the defaults below, then a root's stored config.yaml (all but the section ``storage``),
then ``--config``, then ``--set``, then what a verb has an argument for. A named configuration leaves alone what a root
knows of its source: see storage.root.open_root.
Each layer is a mapping that names only what it changes; an unknown key or a bad value is refused by its dotted name.
Sections cited as (IV.F) are those of the paper, D. Tkachenko 2018.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from actionrec.errors import InputError

NAMED_CONFIGS = Path(__file__).parent / "configs"
WITH_SPLITS = ("ucf101", "hmdb51")  # values of data.dataset: published with lists that split them
Section = TypeVar("Section")


def knob(default: Any, low: float = -math.inf, high: float = math.inf) -> Any:
    """A field with an inclusive range; for a list the range holds for each element."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Data:
    source: str | None = None  # folder, CSV, folder of UCF101 or HMDB51, file of features; local path or s3:// URL
    dataset: Literal["folder", "csv", "ucf101", "hmdb51", "features"] = "folder"  # features: for `actionrec import`
    split: int = knob(1, 1, 3)  # which of the official splits of UCF101 or HMDB51
    allow_group_leak: bool = False  # accept a group that is both in train and test


@dataclass(frozen=True)
class Clip:
    max_s: float = knob(36.0, 0.04, 3600)  # the first 36 s of a video (V.C)
    width: int = knob(320, 16, 4096)  # UCF101's own size (III)
    height: int = knob(240, 16, 4096)
    allow_partial: bool = False  # accept a file that decodes to fewer frames than it declares


@dataclass(frozen=True)
class Sampling:
    method: Literal["adaptive", "constant", "uniform"] = "adaptive"  # (IV.F)
    max_frames: int = knob(180, 1, 100_000)  # longest sequence (V.C)
    frames_per_s: float = knob(5.0, 0.01, 1000)  # 180 frames of 36 s (V.C)
    segment_s: float = knob(1.0, 0.04, 3600)  # not given in the paper; see docs/decisions


DIS = "dis"  # the flow model that is no network: OpenCV's dense inverse search
LOGMEL = "logmel"  # the audio model that is none: see features/log_mel.py


@dataclass(frozen=True)
class Flow:
    model: str = "flownet2"  # `dis`, or any model of ptlflow (IV.B)
    weights: Literal["pretrained", "random"] = "pretrained"  # `dis` has none
    checkpoint: str = "things"  # which of ptlflow's checkpoints `pretrained` means
    bound_px: float = knob(20.0, 0.1, 1000)  # displacements are stored up to this many pixels
    jpeg_quality: int = knob(90, 1, 100)
    stored_width: int = knob(320, 16, 4096)  # size of the stored flow; displacements stay in pixels of the clip
    stored_height: int = knob(240, 16, 4096)


@dataclass(frozen=True)
class Frame:
    model: str = "inception_resnet_v2"  # any model of timm (IV.A)
    weights: Literal["pretrained", "random"] = "pretrained"  # ImageNet
    size: int = knob(299, 16, 2048)  # the network's square input, in pixels


@dataclass(frozen=True)
class Audio:
    model: Literal["vggish", "logmel"] = "vggish"  # (IV.D); logmel: its bands' mean and deviation, no network
    weights: Literal["pretrained", "random"] = "pretrained"  # VGGish on AudioSet (IV.D); `logmel` has none
    pca: bool = True  # VGGish's released PCA and 8-bit quantisation; refused with random weights


@dataclass(frozen=True)
class Limits:
    """What one video may cost. They decide which videos fail, never the values of one that does not."""

    file_gib: float = knob(4.0, 0, 1024)
    frame_megapixels: float = knob(36.0, 0, 1000)  # 8K video is 33
    raw_gib: float = knob(64.0, 0, 4096)  # width x height x 3 x frames of the first clip.max_s, from the header
    frames: int = knob(4500, 1, 10_000_000)  # of the first clip.max_s: 36 s at 125 fps
    decode_memory_gib: float = knob(2.0, 0.25, 64)
    decode_timeout_s: float = knob(120.0, 0.1, 86_400)


@dataclass(frozen=True)
class Extract:
    """How the work is cut and placed. Nothing here changes a value by more than the rounding of float32 arithmetic."""

    part_videos: int = knob(16, 1, 10_000)
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: GPUs where the cluster has any now
    actors: int | None = knob(None, 1, 100_000)  # default: one per GPU that is there now, else one per core
    decoders: int | None = knob(None, 1, 64)  # decoder processes of each actor; default: 1 on CPU, 6 on GPU
    threads: int = knob(1, 1, 256)  # torch threads of an actor on CPU
    flow_batch: int = knob(8, 1, 1024)  # pairs
    frame_batch: int = knob(16, 1, 4096)  # frames
    audio_batch: int = knob(16, 1, 4096)  # examples of 0.96 s
    max_failed: float = knob(0.05, 0, 1)  # the share of failed videos above which the job's exit code is 1


@dataclass(frozen=True)
class Training:
    """How a network is trained; the defaults are the paper's for its recurrent networks (V.D)."""

    optimizer: Literal["nag", "adam", "rmsprop", "adadelta"] = "nag"  # SGD with Nesterov's momentum
    lr: float = knob(1e-2, 1e-8, 10)
    momentum: float = knob(0.9, 0, 1)  # of nag; not given in the paper
    batch: int = knob(32, 1, 65_536)  # over all workers together
    dropout: float = knob(0.5, 0, 0.99)
    plateau_epochs: int = knob(5, 1, 10_000)  # without better validation loss, then lr x 0.1
    lr_floor: float = knob(1e-6, 0, 10)
    stop_epochs: int = knob(10, 1, 10_000)  # without better validation loss, then training ends
    max_epochs: int = knob(200, 1, 100_000)
    shuffle_batches: int = knob(32, 1, 100_000)  # consecutive batches whose videos are shuffled together


@dataclass(frozen=True)
class Motion(Training):
    """The motion CNN, trained from scratch (IV.C)."""

    optimizer: Literal["nag", "adam", "rmsprop", "adadelta"] = "adam"
    lr: float = knob(1e-3, 1e-8, 10)  # Adam's default
    max_epochs: int = knob(100, 1, 100_000)
    hidden: int = knob(4096, 1, 65_536)  # of the first of the two dense layers (IV.C); the embedding has 2048 numbers
    flip: bool = True  # mirror half of the stacks, which turns the sign of x
    embed_batch: int = knob(16, 1, 4096)  # stacks that go through the trained network at once


@dataclass(frozen=True)
class Rnn(Training):
    """The recurrent network of each stream; the best row of Table I."""

    cell: Literal["gru", "lstm"] = "gru"
    units: int = knob(512, 1, 65_536)  # hidden units of one direction
    layers: int = knob(2, 1, 8)
    bidirectional: bool = True
    attention: bool = False  # self-attention after the input; Table I's row with it has 8 heads
    heads: int = knob(1, 1, 64)  # of the attention
    standardize: bool = True  # inputs to mean 0 and deviation 1 over the training frames; see docs/decisions


@dataclass(frozen=True)
class Finetune(Training):
    """Training of the frame CNN's upper blocks (V.B), which the paper found to gain nothing: off by default."""

    blocks: int = knob(0, 0, 1000)  # the last N blocks are trained; 0: none, the published weights stay
    lr: float = knob(1e-3, 1e-8, 10)
    frames: int = knob(4, 1, 1000)  # frames of each video and epoch
    max_epochs: int = knob(20, 1, 100_000)
    shuffle_batches: int = knob(4, 1, 100_000)  # pictures are large: 32 such batches would be 1 GB


@dataclass(frozen=True)
class Fusion:
    """The linear SVM on the concatenated video embeddings (IV.G)."""

    l2: float = knob(1e-2, 1e-12, 1e12)  # lambda of lambda |w|^2 + mean hinge loss (V.D)
    normalization: Literal["auto", "standardize", "l2", "none"] = "auto"  # auto: the better one on validation
    missing: Literal["auto", "mask", "pattern"] = "auto"  # how videos without a stream are handled; see docs/decisions
    refit: bool = False  # once all is chosen, fit the SVM again on train and validation together
    max_iterations: int = knob(10_000, 1, 10_000_000)
    bootstrap: int = knob(2000, 10, 1_000_000)  # resamples of test groups behind each 95 % interval


@dataclass(frozen=True)
class Anomaly(Training):
    """The autoencoder on the video embeddings."""

    normal: tuple[str, ...] = ()  # the normal classes; empty: all
    hidden: int = knob(256, 1, 65_536)
    bottleneck: int = knob(64, 1, 65_536)  # must be smaller than the embedding
    optimizer: Literal["nag", "adam", "rmsprop", "adadelta"] = "adam"
    lr: float = knob(1e-3, 1e-8, 10)
    dropout: float = knob(0.0, 0, 0.99)
    quantile: float = knob(0.95, 0, 1)  # of the normal validation videos' scores: the threshold
    neighbors: int = knob(5, 1, 1000)  # of the nearest-neighbour baseline


@dataclass(frozen=True)
class Train:
    """Where training runs. Only `workers` changes values: BatchNorm and dropout are each worker's own."""

    workers: int | None = knob(None, 1, 100_000)  # default: one per GPU that is there now, else one
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = knob(None, 1, 256)  # torch threads of a worker on CPU; default: the cores, shared out
    max_failures: int = knob(3, 0, 1000)  # lost workers after which training gives up
    checkpoint_s: float = knob(10.0, 0, 86_400)  # at most one checkpoint in so many seconds, at the end of an epoch


@dataclass(frozen=True)
class Tune:
    """The sweeps over Table I and over the SVM. Where they run never changes a value."""

    stream: str = "spatial"
    rows: tuple[str, ...] = ()  # names of rows; empty: all 19
    in_run: bool = False  # whether `actionrec run` sweeps over Table I too: it trains many times as many networks
    scheduler: Literal["none", "asha"] = "none"  # asha: stop the trials that fall behind
    grace_epochs: int = knob(10, 1, 100_000)  # that asha leaves every trial
    reduction: int = knob(4, 2, 100)  # asha keeps one trial in so many at each rung
    trials: int | None = knob(None, 1, 100_000)  # at once; default: one per core, or per share of a GPU
    gpus: float = knob(0.25, 0, 1)  # of a trial, where the cluster has any
    max_failures: int = knob(2, 0, 100)  # lost or failed runs of a trial before its row is marked failed
    l2: tuple[float, ...] = knob((1e-5, 1e-4, 1e-3, 1e-1, 1.0), 1e-12, 1e12)  # the SVM's, beside fusion.l2


@dataclass(frozen=True)
class SystemRows:
    """Which systems of the paper's Table II `actionrec run` trains beside the proposed model."""

    rows: tuple[Literal["two_stream", "multi_stream", "video2vec"], ...] = ()


@dataclass(frozen=True)
class TwoStreamTraining(Training):
    """Table II's two-stream network [1]: a softmax layer on single frames, and the motion CNN's own."""

    frames: int = knob(25, 1, 100_000)  # of a video, evenly spaced among those that were sampled, that are averaged


@dataclass(frozen=True)
class MultiStreamTraining(Training):
    """Table II's multi-stream network [2]: stacked LSTMs on frames and motion, a softmax layer on sound."""

    units: tuple[int, ...] = knob((1024, 512), 1, 65_536)  # hidden units, layer by layer


@dataclass(frozen=True)
class Video2vecTraining(Training):
    """Table II's video2vec [8]: recurrent encoders of frames and motion, and a vector for each class."""

    units: int = knob(512, 1, 65_536)  # hidden units of each encoder; not given in the paper
    dimension: int = knob(300, 1, 65_536)  # of the classes' vectors, where there is no file of word vectors
    margin: float = knob(0.2, 0, 2)  # of cosines; not given in the paper
    word_vectors: str | None = None  # a text file, a word and its numbers a line; none: fixed orthonormal vectors


@dataclass(frozen=True)
class Baselines:
    """How the other systems of the paper's Table II are trained; see docs/decisions."""

    two_stream: TwoStreamTraining = TwoStreamTraining()
    multi_stream: MultiStreamTraining = MultiStreamTraining()
    video2vec: Video2vecTraining = Video2vecTraining()


@dataclass(frozen=True)
class Storage:
    """Whom credentials are shown to: of all sections the only one that a root's own config.yaml cannot set."""

    endpoint_url: str | None = None  # an S3 server other than AWS; credentials come from the environment


@dataclass(frozen=True)
class Config:
    # Tools that are shown every epoch of a training while it runs; see docs/tracking.md.
    log: tuple[Literal["tensorboard", "mlflow", "wandb", "trackio"], ...] = ()
    seed: int = knob(0, 0, 2**31 - 1)  # of splits and of random networks
    seeds: tuple[int, ...] = knob((0,), 0, 2**31 - 1)  # of training; the first one's motion CNN serves all of them
    streams: tuple[str, ...] = ("spatial", "motion", "audio")  # that are fused; see storage/streams.py
    data: Data = Data()
    clip: Clip = Clip()
    sampling: Sampling = Sampling()
    flow: Flow = Flow()
    frame: Frame = Frame()
    audio: Audio = Audio()
    limits: Limits = Limits()
    extract: Extract = Extract()
    finetune: Finetune = Finetune()
    motion: Motion = Motion()
    rnn: Rnn = Rnn()
    fusion: Fusion = Fusion()
    anomaly: Anomaly = Anomaly()
    train: Train = Train()
    tune: Tune = Tune()
    table2: SystemRows = SystemRows()
    baselines: Baselines = Baselines()
    storage: Storage = Storage()


def load(layers: Iterable[Mapping[str, Any]]) -> Config:
    """The defaults with each layer laid over them, the last one on top."""
    config = Config()
    for layer in layers:
        config = _overlay(config, layer, "")
    return config


def read_layer(name_or_file: str) -> dict[str, Any]:
    """A named configuration (``demo``) or a YAML file, as a mapping. Raises InputError for anything else."""
    path = _file_of(name_or_file) if is_named(name_or_file) else Path(name_or_file)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in NAMED_CONFIGS.glob("*.yaml")))
        raise InputError(
            f"--config {name_or_file}: no such file, and no configuration of that name (there are {known})"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the configuration cannot be read as text ({error})") from None
    return parse_layer(text, str(path))


def is_named(name_or_file: str) -> bool:
    """Whether this is a configuration of the package's own, such as ``demo``."""
    return "/" not in name_or_file and _file_of(name_or_file).is_file()


def parse_layer(text: str, name: str) -> dict[str, Any]:
    """YAML text as a mapping; `name` says in the error where it came from."""
    try:
        layer = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: not a plain YAML configuration: {reason}") from None
    if layer is None:
        return {}
    if not isinstance(layer, dict):
        raise InputError(f"{name}: a configuration is a mapping of keys to values, not a {type(layer).__name__}")
    return layer


def set_layer(assignments: Iterable[str]) -> dict[str, Any]:
    """``["flow.model=dis", "seed=3"]`` as one nested mapping; values are YAML scalars or lists."""
    layer: dict[str, Any] = {}
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set {assignment}: write it as key=value, such as --set flow.model=dis")
        *parents, last = dotted.strip().split(".")
        inner = layer
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise InputError(f"--set {assignment}: {parent} was already set to a value")
        try:
            inner[last] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise InputError(f"--set {assignment}: the value is not plain YAML") from None
    return layer


def dump(config: Config) -> str:
    """The whole configuration as YAML, such that ``load([parse_layer(dump(c), "")]) == c``."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, for every knob."""
    flat: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{item.name}.")
        else:
            flat[prefix + item.name] = value
    return flat


def section_of(settings: Any, within: Any = None, prefix: str = "") -> str:
    """The dotted name of the section of the configuration that has the type of `settings`; empty where none has."""
    within = within or Config()
    for name, section in ((item.name, getattr(within, item.name)) for item in dataclasses.fields(within)):
        if type(section) is type(settings):
            return prefix + name
        if dataclasses.is_dataclass(section) and (found := section_of(settings, section, f"{prefix}{name}.")):
            return found
    return ""


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """What `flatten` gave, as a layer."""
    layer: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, last = dotted.split(".")
        inner = layer
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return layer


def _file_of(name: str) -> Path:
    return NAMED_CONFIGS / f"{name}.yaml"


def _plain(config: Any) -> dict[str, Any]:
    return {
        key: _plain(value) if dataclasses.is_dataclass(value) else list(value) if isinstance(value, tuple) else value
        for key, value in ((item.name, getattr(config, item.name)) for item in dataclasses.fields(config))
    }


def _overlay(section: Section, layer: Mapping[str, Any], prefix: str) -> Section:
    hints = get_type_hints(type(section))
    fields = {item.name: item for item in dataclasses.fields(section)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in layer.items():
        dotted = f"{prefix}{key}"
        if key not in fields:
            raise InputError(f"unknown key {dotted}; there are {', '.join(prefix + name for name in fields)}")
        current = getattr(section, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise InputError(f"{dotted} is a section with keys {', '.join(flatten(current))}, not a value")
            changes[key] = _overlay(current, value, dotted + ".")
        else:
            changes[key] = _checked(dotted, value, hints[key], fields[key].metadata)
    return dataclasses.replace(section, **changes)  # type: ignore[type-var]


def _checked(dotted: str, value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    """`value` as the type that `hint` asks for, within `limits`; InputError names the dotted key."""
    if get_origin(hint) in (types.UnionType, typing.Union):
        if value is None:
            return None
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is Literal:
        if value not in get_args(hint) or isinstance(value, bool):
            raise InputError(f"{dotted} must be one of {', '.join(map(str, get_args(hint)))}, not {value!r}")
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{dotted} must be a list, not {value!r}")
        return tuple(_checked(f"{dotted}[{i}]", v, get_args(hint)[0], limits) for i, v in enumerate(value))
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise InputError(f"{dotted} must be {_article(hint)}, not {value!r}")
    if hint in (int, float):
        low, high = limits.get("low", -math.inf), limits.get("high", math.inf)
        if not low <= value <= high:  # also refuses NaN
            raise InputError(f"{dotted} must lie between {low} and {high}, not {value!r}")
    return value


def _article(hint: type) -> str:
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[hint]
