"""Predictions for new videos: a root's networks, its fused model and its alarm in this process, without Ray.

Each step is the function that made the root's own features, embeddings and scores, on one video at a time, so a
catalogued video gets to the bit the scores that `evaluate` stored for it (on the same kind of device). What takes long
to import is imported once the root is known to be whole.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrec.errors import Reason, VideoError
from actionrec.show.predictions import TOP
from actionrec.storage.readiness import refuse_imported, refuse_mixed, refuse_no_root
from actionrec.storage.root import Root, open_root


@dataclass(frozen=True)
class AnomalyScore:
    """How unusual a video is."""

    score: float  # the autoencoder's reconstruction error of the video's embedding
    threshold: float  # above it `anomaly` calls a video anomalous

    @property
    def anomalous(self) -> bool:
        return self.score > self.threshold


@dataclass(frozen=True)
class Prediction:
    """What is said of one video. C classes, the likeliest first; none where there is an `error`.

    `probabilities` add up to 1; None where there are too few validation videos, or where the model was fitted before
    there were probabilities: then `calibrated_on` is None too. `anomaly` is None where the verb of that name has not
    been run, or the video has no stream that the autoencoder knows.
    """

    video: str
    classes: tuple[str, ...] = ()  # [C]
    margins: tuple[float, ...] = ()  # [C] the SVM's decision values: above 0 a class's own SVM says that it is the one
    probabilities: tuple[float, ...] | None = None  # [C]
    calibrated_on: int | None = None  # validation videos that the probabilities were fitted on, or would be
    anomaly: AnomalyScore | None = None
    times_s: tuple[float, ...] = ()  # the moments of the clip that were looked at
    streams: tuple[str, ...] = ()  # that it has; a fused model goes without those it lacks by its own rule
    seconds: float = 0.0  # that it took
    error: VideoError | None = None

    def to_json(self) -> dict[str, Any]:
        """In plain types, with the same keys for every video, and the five likeliest classes."""
        reason = {"reason": self.error.reason.value, "detail": self.error.detail} if self.error else None
        anomaly = self.anomaly and {
            "score": self.anomaly.score,
            "threshold": self.anomaly.threshold,
            "anomalous": self.anomaly.anomalous,
        }
        chances = self.probabilities or (None,) * len(self.classes)
        ranked = list(zip(self.classes, self.margins, chances, strict=True))[:TOP]
        return {
            "video": self.video,
            "ok": self.error is None,
            "top": [{"class": name, "margin": margin, "probability": chance} for name, margin, chance in ranked],
            "calibrated_on": self.calibrated_on,
            "anomaly": anomaly,
            "times_s": list(self.times_s),
            "streams": list(self.streams),
            "error": reason,
        }


class Predictor:
    """All of a root's networks, for videos one at a time. Use as a context manager: it holds a decoder process.

    with Predictor("runs/mine") as predictor:
        print(predictor("clip.mp4").classes[0])
    """

    def __init__(self, root: Root | str | os.PathLike[str]) -> None:
        """`root`: a folder or URL, or what `open_root` opened with other settings.

        InputError: there is no root, its features were imported, it has no fused model, or a network is missing or not
        the one that the later ones were trained on.
        """
        opened = root if isinstance(root, Root) else open_root(os.fspath(root))
        refuse_unfit(opened)
        from actionrec.anomaly.detector import load_alarm
        from actionrec.embed import FileEmbedder
        from actionrec.fusion.fuse import load_fused

        seed, self._url = opened.config.seeds[0], opened.store.url
        self._fused = load_fused(opened, seed)
        self._embed = FileEmbedder(opened)
        self._alarm = load_alarm(opened, self._embed.widths, seed)

    @property
    def about_probabilities(self) -> str:
        """What they are here, or why there are none."""
        calibration = self._fused.calibration
        if calibration is None:
            return (
                "none, for this fused model was fitted before there were any; make it again with "
                f"`actionrec run --root {self._url} --replace fusion`"
            )
        if calibration.temperature is None:
            return f"none, for it takes {calibration.least} validation videos, and there are {calibration.videos}"
        refit = ", before it was fitted on these too" if self._fused.refitted else ""
        return (
            f"the margins through a softmax, calibrated on {calibration.videos} validation videos{refit}; over all "
            f"{len(self._fused.labels)} classes they add up to 100 %"
        )

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, *error: object) -> None:
        self._embed.close()

    def __call__(self, video: str | os.PathLike[str]) -> Prediction:
        """The prediction for a local path or a URL.

        VideoError, with `reason` and `detail`: what is wrong with the video. Any other ActionrecError: a fault of the
        machine, which would be every further video's too.
        """
        from actionrec.learning.metrics import best

        started, name = time.perf_counter(), os.fspath(video)
        found = self._embed(name)
        margin_C = self._fused.decision(found.vectors)
        if margin_C is None:
            streams = ", ".join(found.vectors) or "no stream"
            raise VideoError(Reason.COMPUTE, f"it has only {streams}, too few to judge")
        order = best(margin_C, len(margin_C))
        calibration = self._fused.calibration
        chance_C = None if calibration is None else calibration.probabilities(margin_C)
        return Prediction(
            name,
            tuple(self._fused.labels[place] for place in order),
            tuple(margin_C[order].tolist()),
            None if chance_C is None else tuple(chance_C[order].tolist()),
            None if calibration is None else calibration.videos,
            self._anomaly(found.vectors),
            found.times_s,
            tuple(found.vectors),
            time.perf_counter() - started,
        )

    def _anomaly(self, vectors: Mapping[str, NDArray[np.float32]]) -> AnomalyScore | None:
        score = None if self._alarm is None else self._alarm.score(vectors)
        return None if self._alarm is None or score is None else AnomalyScore(score, self._alarm.threshold)

    def each(self, videos: Sequence[str]) -> Iterator[Prediction]:
        """A prediction for each video, in order. What is wrong with a video stands in its prediction."""
        for video in videos:
            started = time.perf_counter()
            try:
                found = self(video)
            except VideoError as error:
                found = Prediction(video, error=error, seconds=time.perf_counter() - started)
            yield found


def refuse_unfit(root: Root) -> None:
    """InputError where the root cannot predict, as far as its records tell: no network is loaded for it."""
    refuse_no_root(root)
    refuse_imported(root)
    refuse_mixed(root, "fusion")
    if root.begun("anomaly"):
        refuse_mixed(root, "anomaly")
