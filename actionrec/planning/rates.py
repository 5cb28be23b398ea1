"""What a unit of work costs: counted operations over an assumed speed, or what the videos of a root have taken."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.features.cost import Cost
from actionrec.planning import costs
from actionrec.show.words import counted, size
from actionrec.storage import layout, parts
from actionrec.storage.root import Root
from actionrec.storage.samples import all_made
from actionrec.storage.streams import FUSED, STREAMS

# Assumed where nothing is measured; each was measured once on 2 shared cores: docs/lab-book.md.
CORE_GFLOPS = 60.0  # that a core sustains on these networks
DECODE_S = 1 / 750  # a frame of 320x240 on a core
RNN_SHARE = 0.2  # of a GPU's speed that a recurrent network reaches, step by step
OVERHEAD_S = 0.05  # a video
FLOAT_BYTES = 3.7  # a stored float32, after zstd
EPOCHS = 20  # after which training mostly ends: 12 to 21 on real features
CLASSES = 101
FPS = 25.0  # as UCF101's
EXAMPLE_S = 0.96  # of sound, as features/vggish.py has it, whose import takes a second
NATIVE = 320 * 240


@dataclass(frozen=True)
class Rates:
    """Seconds of one device (a GPU, or a core where there is none) for each unit; decoding is always on cores."""

    decode_s: float  # a frame
    overhead_s: float  # a video: reading and storing
    step_s: Mapping[str, float]  # of each stream: a pair, a sampled frame, an example; three times that to train on it
    step_bytes: Mapping[str, float]  # of each stream, as stored
    costs: Mapping[str, Cost]  # of each stream, as counted
    gflops: float  # that a device sustains
    classes: int
    sources: tuple[str, ...]  # sentences for a person
    motion_epochs: float = EPOCHS
    rnn_epochs: float = EPOCHS
    video_s: float | None = None  # of the mean video, where something tells

    def rnn_s(self, parameters: float, on_gpu: bool) -> float:
        """A step of one clip through a recurrent network, forth and back: six operations a weight."""
        return 6e-9 * parameters / (self.gflops * (RNN_SHARE if on_gpu else 1))


def assumed(config: Config, tflops: float) -> Rates:
    """From the networks' counted operations and a GPU of so many TFLOP/s, or cores where that is 0."""
    gflops = tflops * 1e3 or CORE_GFLOPS
    area = config.clip.width * config.clip.height / NATIVE
    counted_ = {name: costs.cost(name, config) for name in STREAMS}
    device = f"a GPU sustains {tflops:g} TFLOP/s" if tflops else f"a core sustains {CORE_GFLOPS:g} GFLOP/s"
    networks = ", ".join(f"{cost.gflop:.2f} of {name}" for name, cost in counted_.items() if cost.gflop)
    return Rates(
        decode_s=DECODE_S * area,
        overhead_s=OVERHEAD_S,
        step_s={name: cost.gflop / gflops if cost.core_s is None else cost.core_s for name, cost in counted_.items()},
        step_bytes={name: cost.stored_bytes or cost.width * FLOAT_BYTES for name, cost in counted_.items()},
        costs=counted_,
        gflops=gflops,
        classes=CLASSES,
        sources=(
            f"nothing is measured: {device}, and a core decodes {1 / (DECODE_S * area):,.0f} frames a second; counted "
            f"GFLOP of a step: {networks}",
            f"{CLASSES} classes; trainings end after {EPOCHS} epochs, or at their limit",
        ),
    )


def measured(root: Root, base: Rates) -> Rates:
    """`base` with what the videos of a root have taken instead. InputError where none was extracted."""
    made = all_made(root)
    if not made:
        raise InputError(f"{root.store.url}: nothing is measured here; run extract on some videos, or leave --root out")
    tables = {name: _timed(parts.statuses(root.store, name, fingerprint)) for name, fingerprint in made.items()}
    tables = {name: table for name, table in tables.items() if len(table)}
    if not tables:
        raise InputError(f"{root.store.url}: no video of it has features, so nothing is measured; leave --root out")
    steps = {name: _steps(STREAMS[name].unit, table, root.config) for name, table in tables.items()}
    gflops = _gflops(base, tables, steps)
    decoded = max(tables.values(), key=len)
    trained = {name: _epochs(root, name) for name in (layout.MOTION_CNN, *map(layout.rnn, FUSED))}
    rnn_epochs = [epochs for name, epochs in trained.items() if epochs and name != layout.MOTION_CNN]
    video_s, whence = mean_video_s(root.catalog(), decoded)
    return replace(
        base,
        decode_s=_sum(decoded, "decode_s") / _sum(decoded, "frames_decoded"),
        overhead_s=_sum(decoded, "read_s") / len(decoded),
        step_s={
            name: _sum(tables[name], "compute_s") / steps[name] if name in tables else _scaled(base, name, gflops)
            for name in STREAMS
        },
        step_bytes={**base.step_bytes, **{name: _stored(root, name) / count for name, count in steps.items()}},
        gflops=gflops,
        classes=len(set(root.catalog()["label"].to_pylist()) - {None}) or base.classes,
        sources=(
            f"rates are those of {len(decoded):,} videos under {root.store.url}, whose networks ran at {gflops:,.0f} "
            "GFLOP/s a worker: they hold if the planned GPUs, or cores, are like those",
            "trainings are taken to run at that speed, for as many epochs as under that root"
            if rnn_epochs and trained[layout.MOTION_CNN]
            else f"trainings run at that speed, and end after {EPOCHS} epochs, or at their limit",
            whence,
        ),
        video_s=video_s,
        motion_epochs=trained[layout.MOTION_CNN] or base.motion_epochs,
        rnn_epochs=sum(rnn_epochs) / len(rnn_epochs) if rnn_epochs else base.rnn_epochs,
    )


def mean_video_s(catalog: pa.Table, decoded: pa.Table) -> tuple[float, str]:
    """Length of a catalogued video, and what it is taken from: the frames of those that were decoded (a status table).

    Frames count as at 25 a second. Where the catalog knows the size of every file, videos that were not decoded yet are
    as long as their sizes say.
    """
    frames = dict(zip(decoded["video_id"].to_pylist(), decoded["frames_decoded"].to_pylist(), strict=True))
    sizes = dict(zip(catalog["video_id"].to_pylist(), catalog["bytes"].to_pylist(), strict=True))
    mean_s = sum(frames.values()) / len(frames) / FPS
    said = (
        f"lengths are those of {counted(len(frames), 'decoded video')}, {mean_s:.3g} s on average at {FPS:g} frames/s"
    )
    seen = [size_ for video_id in frames if (size_ := sizes.get(video_id))]
    whole = not catalog["start_s"].is_valid().to_numpy().any()  # else a file's size says nothing of a segment
    if len(frames) >= len(sizes) or len(seen) < len(frames) or not (whole and all(sizes.values())):
        return mean_s, said
    mean_bytes = sum(sizes.values()) / len(sizes)
    scaled_s = mean_s * mean_bytes / (sum(seen) / len(seen))
    return scaled_s, f"{said}, and {scaled_s:.3g} s of all {len(sizes):,}, by their files of {size(mean_bytes)}"


def _timed(table: pa.Table) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["status"], "ok"), pc.greater(table["frames_decoded"], 0)))


def _gflops(base: Rates, tables: Mapping[str, pa.Table], steps: Mapping[str, float]) -> float:
    """That a device has sustained on the networks whose operations were counted; the assumed where none has run."""
    counted = [name for name in tables if base.costs[name].width and base.costs[name].core_s is None]
    if not counted:
        return base.gflops
    done = sum(base.costs[name].gflop * steps[name] for name in counted)
    return done / sum(_sum(tables[name], "compute_s") for name in counted)


def _scaled(base: Rates, stream: str, gflops: float) -> float:
    """Seconds of a step of a stream that was not measured, on a device that was."""
    return base.step_s[stream] * (base.gflops / gflops if base.costs[stream].core_s is None else 1)


def _steps(unit: str, table: pa.Table, config: Config) -> float:
    """How many steps the sequences of these videos have."""
    match unit:
        case "pairs":
            return max(1.0, _sum(table, "frames_decoded") - len(table))
        case "samples":
            return _sampled(table, config)
        case _:
            return _examples(table)


def _stored(root: Root, stream: str) -> float:
    return float(sum(size or 0 for size in root.store.sizes(layout.features(stream)).values()))


def _sum(table: pa.Table, column: str) -> float:
    return float(pc.sum(table[column]).as_py() or 0.0)


def _seconds(table: pa.Table) -> NDArray[np.float64]:
    """[videos] at 25 frames a second."""
    seconds: NDArray[np.float64] = table["frames_decoded"].to_numpy() / FPS
    return seconds


def _sampled(table: pa.Table, config: Config) -> float:
    """Frames that were embedded."""
    wanted = np.ceil(_seconds(table) * config.sampling.frames_per_s)
    return float(np.minimum(wanted, config.sampling.max_frames).sum())


def _examples(table: pa.Table) -> float:
    return float(np.maximum(_seconds(table) // EXAMPLE_S, 1).sum())


def _epochs(root: Root, name: str) -> int:
    """Of a finished training; 0 where there is none."""
    try:
        return len(json.loads(root.store.read(layout.model(name) + layout.HISTORY)))
    except (FileNotFoundError, ValueError):
        return 0
