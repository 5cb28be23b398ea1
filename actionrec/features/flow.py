"""Optical flow between consecutive frames: FlowNet2 (IV.B) or any other network of ptlflow, or OpenCV's DIS.

Layout: frames_THWC is uint8 RGB [T, H, W, 3]; flow_px is float32 [T - 1, H, W, 2], how far, in pixels, what a frame
shows at a place has moved in the next one: x (to the right), then y (down).
"""

import contextlib
import difflib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from actionrec.config import DIS
from actionrec.errors import InputError
from actionrec.features import light

_CORRELATION_REACH, _CORRELATION_STEP = 20, 2  # places of FlowNetC's correlation layer


class FlowNet(Protocol):
    """Anything that turns T frames into T - 1 flows, `batch` pairs at a time (a matter of speed and memory only)."""

    def __call__(self, frames_THWC: NDArray[np.uint8], batch: int) -> NDArray[np.float32]: ...


class DisFlow:
    """Dense inverse search (Kroeger et al. 2016) on grey frames, OpenCV's preset MEDIUM. Needs no weights.

    Holds OpenCV to one thread in the whole process: parallel work is divided by video, never inside one.
    """

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, frames_THWC: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        flow_px = _empty_flow(frames_THWC)
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames_THWC]
        for pair, out in enumerate(flow_px):
            out[:] = self._dis.calc(grey[pair], grey[pair + 1], None)  # type: ignore[call-overload]
        return flow_px


class PtlFlow:
    """A network of ptlflow, in evaluation mode on `device`; `dtype` other than float32 means autocast.

    Networks of ptlflow take BGR in 0..1, stretch or pad it to their own stride, and undo that: FlowNet2 computes at
    320x256 what is given at 320x240. A second padding here would give other flows than stock ptlflow.
    """

    def __init__(
        self, network: torch.nn.Module, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self._device = torch.device(device)
        self._dtype = dtype
        self._network = _with_fast_correlation(network).to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, frames_THWC: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        flow_px = _empty_flow(frames_THWC)
        for start in range(0, len(flow_px), batch):
            out = flow_px[start : start + batch]
            out[:] = self._flow(frames_THWC[start : start + len(out) + 1])
        return flow_px

    def _flow(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        bgr_TCHW = np.ascontiguousarray(frames_THWC[..., ::-1].transpose(0, 3, 1, 2))
        images = torch.from_numpy(bgr_TCHW).to(self._device).float() / 255
        pairs = torch.stack((images[:-1], images[1:]), dim=1)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            flows: torch.Tensor = self._network({"images": pairs})["flows"]
        if flows.shape != (len(pairs), 1, 2, *pairs.shape[-2:]):
            raise InputError(
                f"flow.model: this network answers a pair with {tuple(flows.shape[1:])}, not with one flow."
            )
        return flows[:, 0].permute(0, 2, 3, 1).float().cpu().numpy()


def load_ptlflow(name: str) -> torch.nn.Module:
    """A network of ptlflow with random weights, drawn from torch's current seed; importing and drawing take seconds.

    Raises InputError for a name that ptlflow does not have, or whose network cannot be built here.
    """
    with _silence():
        ptlflow = light.import_ptlflow()
        names = ptlflow.get_model_names()
        if name not in names:
            close = difflib.get_close_matches(name, [DIS, *names], cutoff=0.4) or ["flownet2", DIS]
            raise InputError(f"flow.model: ptlflow has no model {name!r}; did you mean {' or '.join(close)}?")
        try:
            network: torch.nn.Module = ptlflow.get_model(name)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            # a few networks need further packages, or fetch a backbone
            reason = " ".join(str(error).split())
            raise InputError(f"flow.model: {name} cannot be built here ({reason}); choose another model.") from error
    return network


def correlate(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """FlowNetC's correlation layer: each place of `first` with those up to 20 px from it in `second`, in steps of 2 px.

    Both are [B, C, H, W]; the result is [B, 441, H, W], the mean over channels of the products, 0 beyond the border.
    One matrix product correlates all with all, and a strided view picks the 21 x 21 displacements of each place.
    """
    batch, channels, height, width = first.shape
    everything = torch.einsum("bcp,bcq->bpq", first.flatten(2), second.flatten(2)) / channels
    padded = torch.nn.functional.pad(everything.view(batch, height, width, height, width), 4 * (_CORRELATION_REACH,))
    image, y, x, to_y, to_x = padded.stride()
    strides = (image, _CORRELATION_STEP * to_y, _CORRELATION_STEP * to_x, y + to_y, x + to_x)
    side = 2 * _CORRELATION_REACH // _CORRELATION_STEP + 1
    return padded.as_strided((batch, side, side, height, width), strides).reshape(batch, side**2, height, width)


def mean_displacement_px(flow_px: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far a pair's picture moves: the mean length of its vectors, float64 [T - 1], in pixels."""
    return np.array([np.hypot(pair[..., 0], pair[..., 1]).mean(dtype=np.float64) for pair in flow_px], np.float64)


def _with_fast_correlation(network: torch.nn.Module) -> torch.nn.Module:
    """Give FlowNetC, alone or inside FlowNet2, `correlate` in place of ptlflow's layer.

    Without its CUDA extension that one builds three tensors of 578 MB for each pair of 320x240, and takes more than
    half of FlowNet2's time on a CPU. The flows differ by rounding: ptlflow samples whole places by interpolation.
    """
    for module in network.modules():
        if getattr(getattr(module, "corr", None), "__module__", None) == "ptlflow.models.flownet.submodules":
            module.corr = correlate  # type: ignore[assignment]
    return network


def _empty_flow(frames_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    total, height, width, _ = frames_THWC.shape
    return np.empty((total - 1, height, width, 2), np.float32)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Swallow what ptlflow says of compiled extensions, which are optional, and nothing after it."""
    from loguru import logger  # ptlflow's own

    disabled = logging.root.manager.disable
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable()
        logger.disable("ptlflow")
        try:
            yield
        finally:
            logger.enable("ptlflow")
            logging.disable(disabled)
