"""A root's networks on a video that it does not hold: extraction, motion CNN and recurrent networks, without Ray.

Each step is the function that made the root's own features and embeddings, on one video at a time, so a catalogued
video gets to the bit the embeddings that the root stores of it (on the same kind of device).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from actionrec.blame import Blame, blame, sentence
from actionrec.config import Config
from actionrec.errors import ActionrecError, DamagedError, InputError, Reason, VideoError
from actionrec.extraction.motion import load_motion, motion_row
from actionrec.extraction.streams import Computed, Streams
from actionrec.media.isolate import Decoder
from actionrec.storage.root import Root, record
from actionrec.storage.store import named_file
from actionrec.storage.streams import STREAMS, extracted, look_at_pictures
from actionrec.storage.weights import WeightsRef, prepare
from actionrec.training.embedder import VideoEmbedder


@dataclass(frozen=True)
class Embedded:
    """What a root's networks make of one video."""

    vectors: Mapping[str, NDArray[np.float32]]  # stream -> [D], of the streams that it has
    times_s: tuple[float, ...]  # the moments of the clip that were looked at
    middle_HWC: NDArray[np.uint8] | None  # its middle frame, RGB; None where only the sound was wanted


class FileEmbedder:
    """All of a root's networks but the classifier, for videos one at a time. It holds a decoder process: close it."""

    def __init__(self, root: Root) -> None:
        """InputError where a network is missing, or is not the one that the later ones were trained on."""
        config, device = root.config, _device(root.config)
        self._config = config
        self._embed = VideoEmbedder(root, config.seeds[0], device)
        self._motion = None
        if "motion" in config.streams:
            self._motion = load_motion(root.output, record(root, "motion_cnn")["fingerprint"], config, device)
        streams = extracted(config)
        weights = prepare(config, root.store, streams)
        _check_weights(root, weights)
        self._streams = Streams(config, weights, root.store, device, streams)
        self._decoder, self._pictures = Decoder(config.clip, config.limits), look_at_pictures(streams)

    @property
    def widths(self) -> Mapping[str, int]:
        """How many numbers the embedding of each stream has."""
        return self._embed.widths

    def close(self) -> None:
        self._decoder.close()

    def __call__(self, video: str) -> Embedded:
        """The embeddings of a video: a local path or a URL.

        VideoError: what is wrong with it. Any other ActionrecError: a fault of the machine, and every further video's.
        """
        try:
            decoded = self._decoder.decode(self._read(video), pictures=self._pictures)
            sequences, times_s = self._sequences(self._streams.compute(decoded))
            frames_THWC = decoded.frames_THWC
            middle_HWC = frames_THWC[len(frames_THWC) // 2].copy() if len(frames_THWC) else None
            return Embedded(self._embed(sequences), times_s, middle_HWC)
        except ActionrecError:  # says already what is to be done
            raise
        except Exception as error:
            if blame(error) is Blame.VIDEO:
                raise
            raise ActionrecError(sentence(error)) from error

    def _read(self, video: str) -> bytes:
        limit_gib = self._config.limits.file_gib
        try:
            store, name = named_file(video, self._config.storage)
            if (store.size(name) or 0) > limit_gib * 2**30:
                raise VideoError(Reason.TOO_LARGE, f"it is larger than limits.file_gib = {limit_gib:g}")
            return store.read(name)
        except VideoError:
            raise
        except DamagedError as error:
            raise VideoError(Reason.INTEGRITY, str(error)) from None
        except (OSError, ActionrecError) as error:
            if blame(error) is not Blame.VIDEO:
                raise
            detail = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise VideoError(Reason.MISSING, f"it cannot be read: {detail}") from None

    def _sequences(self, computed: dict[str, Computed]) -> tuple[dict[str, NDArray[np.float32]], tuple[float, ...]]:
        """Stream -> embeddings [L, E] of what the fused model looks at, and the sampled moments.

        A stream that fails is one that the video lacks, as in training and evaluation; without any, the video fails.
        """
        rows = {stream: each.row for stream, each in computed.items()}
        errors = [each.error for each in computed.values() if each.error is not None]
        spatial, flow = rows.get("spatial"), rows.get("flow")
        if self._motion is not None and spatial is not None and flow is not None:
            try:
                rows["motion"] = motion_row(self._motion, flow, spatial["frame_index"].tolist(), spatial["time_s"])
            except VideoError as error:
                errors.append(error)
        given = {stream: row for stream in self._config.streams if (row := rows.get(stream)) is not None}
        if errors and not given:
            raise errors[0]
        times_s = tuple(float(moment) for moment in spatial["time_s"]) if spatial is not None else ()
        return {stream: row["embedding"] for stream, row in given.items()}, times_s


def _device(config: Config) -> str:
    """The kind of device that extraction takes by the same setting: values agree to the bit on the same kind only."""
    found = torch.cuda.is_available()
    if config.extract.device == "cuda" and not found:
        raise InputError("extract.device=cuda, and there is no GPU here; add --set extract.device=cpu")
    return "cuda" if found and config.extract.device != "cpu" else "cpu"


def _check_weights(root: Root, weights: Mapping[str, WeightsRef]) -> None:
    """InputError where a stream was made with other weights than this configuration's."""
    for stream, ref in weights.items():
        if record(root, stream)["inputs"].get(f"{STREAMS[stream].section} weights") != ref.sha256:
            raise InputError(
                f"{root.store.url}: {stream} was made with other weights; restore those in its folder weights, or use "
                f"--replace {stream}"
            )
