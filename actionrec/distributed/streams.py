"""All streams of one decoded video: flow, whose magnitudes choose the frames, then frame and audio embeddings."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from actionrec import schema
from actionrec.blame import Blame, blame, said
from actionrec.config import Config
from actionrec.errors import ActionrecError, Reason, VideoError
from actionrec.features import flow_codec
from actionrec.features.flow import DIS, DisFlow, FlowNet, PtlFlow, load_ptlflow, mean_displacement_px
from actionrec.features.frame_cnn import FrameCNN, build_frame_cnn, mean_std
from actionrec.features.sampling import sample
from actionrec.features.vggish import WIDTH as AUDIO_WIDTH
from actionrec.features.vggish import VGGish, build_vggish, example_time_s, log_mel_examples
from actionrec.media.decode import Decoded
from actionrec.storage.store import Store
from actionrec.storage.weights import WeightsRef, load, pca_of


@dataclass(frozen=True)
class Computed:
    """One stream of one video: the columns of its feature row, or why there is none (None: the video has no audio)."""

    row: dict[str, Any] | None
    error: VideoError | None
    compute_s: float
    lack: VideoError | None = None  # why a sound track that is there counts as none; no failure

    @property
    def status(self) -> str:
        """As it stands in the status table."""
        return "failed" if self.error else "no_audio" if self.row is None else "ok"


class Streams:
    """The networks of every stream, on one device. Batches run within a video."""

    def __init__(self, config: Config, weights: Mapping[str, WeightsRef], store: Store, device: str) -> None:
        torch.set_num_threads(config.extract.threads)
        self._config = config
        self._flow = _build_flow(config, weights, store, device)
        network = build_frame_cnn(config.frame.model)
        load(network, weights["frame"], store)
        mean, std = mean_std(network)
        self._frame = FrameCNN(
            network, size=config.frame.size, mean=mean, std=std, device=device, batch=config.extract.frame_batch
        )
        vggish = build_vggish()
        pca = pca_of(load(vggish, weights["audio"], store))
        self._audio = VGGish(vggish, device=device, batch=config.extract.audio_batch, pca=pca)

    def compute(self, decoded: Decoded) -> dict[str, Computed]:
        """Stream -> its result. Raises nothing for a bad video: what went wrong stands in the result.

        What is the machine's fault or the configuration's is raised as it is; see actionrec.blame.
        """
        flow, motion_px = self._timed(lambda: self._flow_row(decoded))
        if motion_px is None:
            assert flow.error is not None
            spatial = Computed(
                None, VideoError(flow.error.reason, f"no flow to choose frames by: {flow.error.detail}"), 0
            )
        else:
            spatial, _ = self._timed(lambda: (self._spatial_row(decoded, motion_px), None))
        audio, _ = self._timed(lambda: (self._audio_row(decoded), None))
        if decoded.audio_reason is Reason.NO_DECODER:
            audio = replace(audio, lack=VideoError(Reason.NO_DECODER, str(decoded.audio_error)))
        return {"spatial": spatial, "flow": flow, "audio": audio}

    def table(self, stream: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> pa.Table:
        """A part's feature table [rows, the stream's schema]."""
        if stream != "flow":
            return schema.embedding_table(stream, self._frame.width if stream == "spatial" else AUDIO_WIDTH, rows)
        ids = pa.array([video_id for video_id, _ in rows], pa.string())
        arrays = [ids, *(pa.array([row[f.name] for _, row in rows], f.type) for f in list(schema.FLOW)[1:])]
        return pa.Table.from_arrays(arrays, schema=schema.FLOW)

    @staticmethod
    def _timed(work: Any) -> tuple[Computed, Any]:
        start = time.perf_counter()
        try:
            row, other = work()
            return Computed(row, None, time.perf_counter() - start), other
        except VideoError as error:
            return Computed(None, error, time.perf_counter() - start), None
        except ActionrecError:
            raise
        except Exception as error:
            if blame(error) is not Blame.VIDEO:
                raise
            return Computed(None, VideoError(Reason.COMPUTE, said(error)), time.perf_counter() - start), None

    def _flow_row(self, decoded: Decoded) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """The flow row and each pair's mean displacement. Chunk by chunk: 36 s of raw flow would be 550 MB."""
        flow, batch = self._config.flow, self._config.extract.flow_batch
        frames = decoded.frames_THWC
        motion: list[NDArray[np.float64]] = [np.zeros(0)]
        encoded: list[bytes] = []
        for start in range(0, len(frames) - 1, batch):
            flow_px = self._flow(frames[start : start + batch + 1], batch)
            motion.append(mean_displacement_px(flow_px))
            encoded += flow_codec.encode(
                flow_px,
                bound_px=flow.bound_px,
                quality=flow.jpeg_quality,
                stored_width=flow.stored_width,
                stored_height=flow.stored_height,
            )
        motion_px = np.concatenate(motion)
        row = {
            "time_s": times_s(decoded)[1:],
            "motion_px": motion_px.astype(np.float32),
            "flow": encoded,
            "bound_px": flow.bound_px,
            "height": flow.stored_height,
            "width": flow.stored_width,
            "codec": flow_codec.CODEC,
        }
        return row, motion_px

    def _spatial_row(self, decoded: Decoded, motion_px: NDArray[np.float64]) -> dict[str, Any]:
        exact_s = [int(tick) * decoded.time_base for tick in decoded.pts_ticks]
        index = sample(self._config.sampling, exact_s, decoded.duration_s, motion_px.tolist())
        embeddings = _finite("frame", self._frame(decoded.frames_THWC[index]))
        return {"frame_index": index.astype(np.int32), "time_s": times_s(decoded)[index], "embedding": embeddings}

    def _audio_row(self, decoded: Decoded) -> dict[str, Any] | None:
        if decoded.audio_reason is Reason.CORRUPT:
            raise VideoError(Reason.CORRUPT, f"the audio track cannot be decoded: {decoded.audio_error}")
        if decoded.audio is None:
            return None
        embeddings = _finite("audio", self._audio(log_mel_examples(decoded.audio)))
        return {"time_s": example_time_s(len(embeddings)), "embedding": embeddings}


def times_s(decoded: Decoded) -> NDArray[np.float32]:
    """When each frame is shown, float32 [T]."""
    return (decoded.pts_ticks * float(decoded.time_base)).astype(np.float32)


def _build_flow(config: Config, weights: Mapping[str, WeightsRef], store: Store, device: str) -> FlowNet:
    if config.flow.model == DIS:
        return DisFlow()
    network = load_ptlflow(config.flow.model)
    load(network, weights["flow"], store)
    return PtlFlow(network, device)


def _finite(what: str, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(embeddings).all():
        raise VideoError(Reason.NON_FINITE, f"the {what} network gave NaN or infinity")
    return embeddings
