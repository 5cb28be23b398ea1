"""What a unit of work costs: counted operations over an assumed speed, or what the videos of a root have taken."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.features.frame_cnn import build_frame_cnn
from actionrec.features.motion_cnn import MotionCNN
from actionrec.features.stacks import STACK_LENGTH
from actionrec.features.vggish import EXAMPLE_S, build_vggish
from actionrec.storage import layout, models, parts
from actionrec.storage.root import Root, record

# Assumed where nothing is measured; each was measured once on 2 shared cores: docs/lab-book.md.
CORE_GFLOPS = 60.0  # that a core sustains on these networks
DECODE_S = 1 / 750  # a frame of 320x240 on a core
DIS_S = 1 / 300  # a pair of 320x240 on a core
FLOWNET2_GFLOP = 82.6  # a pair of 320x240; other networks of ptlflow are taken as this one
FLOW_BYTES = 4200.0  # a stored pair of 320x240
RNN_SHARE = 0.2  # of a GPU's speed that a recurrent network reaches, step by step
OVERHEAD_S = 0.05  # a video
EPOCHS = 20  # after which training mostly ends: 12 to 21 on real features
CLASSES = 101
FPS = 25.0  # as UCF101's
NATIVE = 320 * 240


@dataclass(frozen=True)
class Rates:
    """Seconds of one device (a GPU, or a core where there is none) for each unit; decoding is always on cores."""

    decode_s: float  # a frame
    flow_s: float  # a pair
    frame_s: float  # a sampled frame
    audio_s: float  # an example of 0.96 s
    motion_s: float  # a stack embedded; three times that to train on it
    overhead_s: float  # a video: reading and storing
    gflops: float  # that a device sustains
    frame_gflop: float  # counted, a sampled frame
    width: int  # of the frame embedding
    flow_bytes: float  # a stored pair
    classes: int
    sources: tuple[str, ...]  # sentences for a person
    motion_epochs: float = EPOCHS
    rnn_epochs: float = EPOCHS

    def rnn_s(self, parameters: float, on_gpu: bool) -> float:
        """A step of one clip through a recurrent network, forth and back: six operations a weight."""
        return 6e-9 * parameters / (self.gflops * (RNN_SHARE if on_gpu else 1))


def assumed(config: Config, tflops: float) -> Rates:
    """From the networks' counted operations and a GPU of so many TFLOP/s, or cores where that is 0."""
    gflops = tflops * 1e3 or CORE_GFLOPS
    area = config.clip.width * config.clip.height / NATIVE
    height, wide, size = config.flow.stored_height, config.flow.stored_width, config.frame.size
    frame, width = _counted(lambda: build_frame_cnn(config.frame.model), (1, 3, size, size))
    audio, _ = _counted(build_vggish, (1, 1, 96, 64))
    motion, _ = _counted(lambda: MotionCNN(height, wide, CLASSES, 0.5).eval(), (1, 2 * STACK_LENGTH, height, wide))
    device = f"a GPU sustains {tflops:g} TFLOP/s" if tflops else f"a core sustains {CORE_GFLOPS:g} GFLOP/s"
    return Rates(
        decode_s=DECODE_S * area,
        flow_s=(DIS_S if config.flow.model == "dis" else FLOWNET2_GFLOP / gflops) * area,
        frame_s=frame / gflops,
        audio_s=audio / gflops,
        motion_s=motion / gflops,
        overhead_s=OVERHEAD_S,
        gflops=gflops,
        frame_gflop=frame,
        width=width,
        flow_bytes=FLOW_BYTES * height * wide / NATIVE,
        classes=CLASSES,
        sources=(
            f"nothing is measured: {device}, and a core decodes {1 / (DECODE_S * area):,.0f} frames a second; counted "
            f"are {frame:.1f} GFLOP a frame, {motion:.2f} a stack of flow, {audio:.1f} an example of sound"
            + ("" if config.flow.model == "dis" else f", {FLOWNET2_GFLOP * area:.1f} a pair of frames"),
            f"{CLASSES} classes; trainings end after {EPOCHS} epochs, or at their limit",
        ),
    )


def measured(root: Root, base: Rates) -> Rates:
    """`base` with what the videos of a root have taken instead. InputError where none was extracted."""
    if not root.begun("extract"):
        raise InputError(f"{root.store.url}: nothing is measured here; run extract on some videos, or leave --root out")
    table = parts.statuses(root.store, record(root, "extract")["fingerprint"])
    table = table.filter(pc.and_(pc.equal(table["status"], "ok"), pc.greater(table["frames_decoded"], 0)))
    spatial, flow, audio = (table.filter(pc.equal(table["stream"], name)) for name in layout.EXTRACT_STREAMS)
    if not len(spatial):
        raise InputError(f"{root.store.url}: no video of it has features, so nothing is measured; leave --root out")
    frames = pc.sum(spatial["frames_decoded"]).as_py()
    pairs = max(1, frames - len(flow))
    frame_s = _sum(spatial, "compute_s") / _sampled(spatial, root.config)
    gflops = base.frame_gflop / frame_s
    stored = sum(size or 0 for size in root.store.sizes(layout.features("flow")).values())
    epochs = {name: _epochs(root, name) for name in (layout.MOTION_CNN, layout.rnn("spatial"))}
    return replace(
        base,
        decode_s=_sum(spatial, "decode_s") / frames,
        flow_s=_sum(flow, "compute_s") / pairs,
        frame_s=frame_s,
        audio_s=_sum(audio, "compute_s") / (_examples(audio) or 1) if len(audio) else base.audio_s,
        motion_s=base.motion_s * base.gflops / gflops,
        overhead_s=_sum(spatial, "read_s") / len(spatial),
        gflops=gflops,
        flow_bytes=stored / pairs,
        classes=len(set(root.catalog()["label"].to_pylist()) - {None}) or base.classes,
        sources=(
            f"rates are those of {len(spatial):,} videos under {root.store.url}, whose frame network ran at "
            f"{gflops:,.0f} GFLOP/s a worker: they hold if the planned GPUs, or cores, are like those",
            "trainings are taken to run at that speed, for as many epochs as under that root"
            if all(epochs.values())
            else f"trainings run at that speed, and end after {EPOCHS} epochs, or at their limit",
        ),
        motion_epochs=epochs[layout.MOTION_CNN] or base.motion_epochs,
        rnn_epochs=epochs[layout.rnn("spatial")] or base.rnn_epochs,
    )


def _counted(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[float, int]:
    """(GFLOP of one forward pass, width of what comes out), counted without computing anything."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        found = build()(torch.empty(shape))
    return counter.get_total_flops() / 1e9, int(found.shape[-1])


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
        return len(json.loads(root.store.read(layout.model(name) + models.HISTORY)))
    except (FileNotFoundError, ValueError):
        return 0
