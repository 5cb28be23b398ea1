"""Predictions for new videos: extraction, motion CNN, recurrent networks and fused model in this process, without Ray.

Each step is the function that made the root's own features, embeddings and scores, on one video at a time, so a
catalogued video gets to the bit the scores that `evaluate` stored for it (on the same kind of device).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from actionrec.blame import Blame, blame, sentence
from actionrec.config import Config
from actionrec.errors import ActionrecError, DamagedError, InputError, Reason, VideoError
from actionrec.extraction.motion import load_motion, motion_row
from actionrec.extraction.streams import Computed, Streams
from actionrec.fusion.fuse import load_fused
from actionrec.learning.metrics import best
from actionrec.media.isolate import Decoder
from actionrec.storage.importing import refuse_imported
from actionrec.storage.root import Root, record
from actionrec.storage.stages import STAGES
from actionrec.storage.store import named_file
from actionrec.storage.streams import STREAMS, extracted, look_at_pictures
from actionrec.storage.weights import WeightsRef, prepare
from actionrec.training.embedder import VideoEmbedder

TOP = 5


@dataclass(frozen=True)
class Prediction:
    """What is said of one video. Exactly one of `top` and `error` says something."""

    video: str
    top: tuple[tuple[str, float], ...] = ()  # up to five (class, decision value), the best first
    times_s: tuple[float, ...] = ()  # the moments of the clip that were looked at
    streams: tuple[str, ...] = ()  # that it has; a fused model goes without those it lacks by its own rule
    seconds: float = 0.0  # that it took
    error: VideoError | None = None

    def to_json(self) -> dict[str, Any]:
        """In plain types, with the same keys for every video."""
        reason = {"reason": self.error.reason.value, "detail": self.error.detail} if self.error else None
        return {
            "video": self.video,
            "ok": self.error is None,
            "top": [{"class": label, "score": score} for label, score in self.top],
            "times_s": list(self.times_s),
            "streams": list(self.streams),
            "error": reason,
        }


class Predictor:
    """All of a root's networks, for videos one at a time. Use as a context manager: it holds a decoder process."""

    def __init__(self, root: Root) -> None:
        """InputError where a network is missing, or is not the one that the later ones were trained on."""
        refuse_imported(root)
        config, seed = root.config, root.config.seeds[0]
        self._config, device = config, _device(config)
        _check_ancestry(root)
        self._fused = load_fused(root, seed)
        self._embed = VideoEmbedder(root, seed, device)
        self._motion = None
        if "motion" in config.streams:
            self._motion = load_motion(root.output, record(root, "motion_cnn")["fingerprint"], config, device)
        streams = extracted(config)
        weights = prepare(config, root.store, streams)
        _check_weights(root, weights)
        self._streams = Streams(config, weights, root.store, device, streams)
        self._decoder, self._pictures = Decoder(config.clip, config.limits), look_at_pictures(streams)

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, *error: object) -> None:
        self._decoder.close()

    def __call__(self, video: str) -> Prediction:
        """The prediction for a local path or a URL. What is wrong with the video stands in the prediction.

        Raises ActionrecError for a fault of the machine, which would be every further video's too.
        """
        started = time.perf_counter()
        try:
            decoded = self._decoder.decode(self._read(video), pictures=self._pictures)
            computed = self._streams.compute(decoded)
            sequences, times_s = self._sequences(computed)
            scores = self._fused.decision(self._embed(sequences))
            if scores is None:
                raise VideoError(Reason.COMPUTE, f"it has only {', '.join(sequences) or 'no stream'}, too few to judge")
        except VideoError as error:
            return Prediction(video, error=error, seconds=time.perf_counter() - started)
        except ActionrecError:  # says already what is to be done
            raise
        except Exception as error:
            if blame(error) is Blame.VIDEO:
                raise
            raise ActionrecError(sentence(error)) from error
        top = tuple((self._fused.labels[place], float(scores[place])) for place in best(scores, TOP))
        return Prediction(video, top, times_s, tuple(sequences), time.perf_counter() - started)

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


def predict(root: Root, videos: Sequence[str]) -> Iterator[Prediction]:
    """A prediction for each video, in order."""
    with Predictor(root) as predictor:
        for video in videos:
            yield predictor(video)


def _device(config: Config) -> str:
    """The kind of device that extraction takes by the same setting: values agree to the bit on the same kind only."""
    found = torch.cuda.is_available()
    if config.extract.device == "cuda" and not found:
        raise InputError("extract.device=cuda, and there is no GPU here; add --set extract.device=cpu")
    return "cuda" if found and config.extract.device != "cpu" else "cpu"


def _check_ancestry(root: Root) -> None:
    """InputError where a stage was made from another one than lies here: files of several roots have been mixed.

    Looks at the fused model and at all that it was made from, as the records tell it.
    """
    waiting, seen = ["fusion"], set[str]()
    while waiting:
        stage = waiting.pop()
        seen.add(stage)
        made = {name: mark for name, mark in record(root, stage)["inputs"].items() if name in STAGES}
        for name, mark in made.items():
            if mark != record(root, name)["fingerprint"]:
                raise InputError(f"{root.output.url}: {stage} was made from another {name}; use --replace {stage}")
        waiting += made.keys() - seen


def _check_weights(root: Root, weights: Mapping[str, WeightsRef]) -> None:
    """InputError where a stream was made with other weights than this configuration's."""
    for stream, ref in weights.items():
        if record(root, stream)["inputs"].get(f"{STREAMS[stream].section} weights") != ref.sha256:
            raise InputError(
                f"{root.store.url}: {stream} was made with other weights; restore those in its folder weights, or use "
                f"--replace {stream}"
            )
