"""What flow costs: FlowNet2 here against stock ptlflow, and what the JPEG codec stores and loses.

    python benchmarks/flow.py [FOLDER] [--pairs 3] [--repeats 3] [--threads 1]

FOLDER holds video files; without one, a few synthetic clips serve. FlowNet2 runs with random weights (the time is the
same) on the first file's pairs at 320x240; the sides take turns, and the ratio is of their medians in CPU seconds, so
that neighbours on the machine matter less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from actionrec import config
from actionrec.features import flow_codec
from actionrec.features.flow import DisFlow, PtlFlow, load_ptlflow
from actionrec.media.synth import SynthSpec, write_dataset

CODEC_FRAMES = 60


def read_frames(path: Path, count: int) -> NDArray[np.uint8]:
    """The first `count` frames as RGB at the paper's 320x240, uint8 [T, 240, 320, 3]."""
    video = cv2.VideoCapture(str(path))
    frames = []
    while len(frames) < count and (read := video.read())[0]:
        frames.append(cv2.cvtColor(cv2.resize(read[1], (320, 240), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
    return np.array(frames, np.uint8).reshape(-1, 240, 320, 3)


def stock_loop(network: torch.nn.Module) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Stock ptlflow as documented: pair by pair through its IOAdapter, without gradients."""
    from ptlflow.utils.io_adapter import IOAdapter

    @torch.no_grad()
    def flow(frames_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        adapter = IOAdapter(64, frames_THWC.shape[1:3])
        bgr = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames_THWC]
        pairs = [network(adapter.prepare_inputs([bgr[k], bgr[k + 1]]))["flows"] for k in range(len(bgr) - 1)]
        return torch.stack([flows[0, 0].permute(1, 2, 0) for flows in pairs]).numpy()

    return flow


def cpu_seconds(work: Callable[[], NDArray[np.float32]]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def compare_with_stock(frames_THWC: NDArray[np.uint8], repeats: int) -> None:
    torch.manual_seed(0)
    stock_network = load_ptlflow("flownet2").eval()
    torch.manual_seed(0)
    ours = PtlFlow(load_ptlflow("flownet2"))
    stock, pairs = stock_loop(stock_network), len(frames_THWC) - 1
    difference_px = np.abs(stock(frames_THWC) - ours(frames_THWC, pairs))  # warms both up
    sides: dict[str, Callable[[], NDArray[np.float32]]] = {
        "stock": lambda: stock(frames_THWC),
        "batch 1": lambda: ours(frames_THWC, 1),
        f"batch {pairs}": lambda: ours(frames_THWC, pairs),
    }
    rounds = [{name: cpu_seconds(work) for name, work in sides.items()} for _ in range(repeats)]
    medians = {name: statistics.median(each[name] for each in rounds) / pairs for name in sides}
    print(f"flownet2, {pairs} pairs of 320x240, {torch.get_num_threads()} thread, {repeats} rounds taking turns")
    for name, seconds in medians.items():
        print(f"  {name:8} {seconds:6.2f} CPU s a pair   {medians['stock'] / seconds:5.2f} x stock")
    print(f"  largest difference from stock {difference_px.max():.1e} px")


def measure_codec(paths: list[Path], width: int, height: int) -> None:
    knobs, dis = config.Flow(), DisFlow()
    settings = f"bound {knobs.bound_px:g} px, quality {knobs.jpeg_quality}"
    print(f"codec {flow_codec.CODEC}, dis flow stored at {width}x{height}, {settings}")
    rows = []
    for path in paths:
        flow_px = dis(read_frames(path, CODEC_FRAMES), batch=8)
        stored = flow_codec.encode(
            flow_px,
            bound_px=knobs.bound_px,
            quality=knobs.jpeg_quality,
            stored_width=width,
            stored_height=height,
        )
        back_px = flow_codec.decode(stored, knobs.bound_px, height, width)
        error_px = np.abs(back_px - flow_codec.resize(flow_px, width, height))
        size = sum(map(len, stored)) / len(stored)
        rows.append((size, error_px.mean(), np.quantile(error_px, 0.99)))
        print(f"  {path.name:32} {_row(rows[-1])}")
    print(f"  {'mean of clips':32} {_row(np.mean(rows, axis=0))}")


def _row(row: tuple[float, ...] | NDArray[np.float64]) -> str:
    size, mean_px, percentile_px = row
    return f"{size:6.0f} bytes a pair, error mean {mean_px:.3f} px, 99 % {percentile_px:.3f} px"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        if arguments.folder is None:
            write_dataset(folder, SynthSpec(classes=2, groups=3, clips_per_group=1), workers=1)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        paths = [path for path in paths if len(read_frames(path, 2)) == 2]
        compare_with_stock(read_frames(paths[0], arguments.pairs + 1), arguments.repeats)
        for width, height in ((320, 240), (80, 60)):
            measure_codec(paths, width, height)


if __name__ == "__main__":
    main()
