"""The stream audio: VGGish's embeddings of a sound track, or what its bands have to say without a network."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionrec.config import LOGMEL, Config
from actionrec.errors import Reason, VideoError
from actionrec.features.cost import Cost, counted
from actionrec.features.extractor import Absent, DecodedVideo, Fill, Row, finite
from actionrec.features.log_mel import statistics
from actionrec.features.vggish import WIDTH, VGGish, build_vggish, example_time_s, log_mel_examples, pca_of

LOGMEL_S = 0.003  # of a core, an example; measured


class AudioExtractor:
    """See extractor.Extractor."""

    width = WIDTH  # of both models

    def __init__(self, config: Config, device: str, fill: Fill) -> None:
        self._embed = statistics if config.audio.model == LOGMEL else _vggish(config, device, fill)

    def __call__(self, clip: DecodedVideo, above: Mapping[str, Mapping[str, Any]]) -> Row | Absent:
        if clip.audio_reason is Reason.CORRUPT:
            raise VideoError(Reason.CORRUPT, f"the audio track cannot be decoded: {clip.audio_error}")
        if clip.audio is None:
            is_unknown = clip.audio_reason is Reason.NO_DECODER
            return Absent(VideoError(Reason.NO_DECODER, str(clip.audio_error)) if is_unknown else None)
        embeddings = finite("audio", self._embed(log_mel_examples(clip.audio)))
        return {"time_s": example_time_s(len(embeddings)), "embedding": embeddings}


def _vggish(config: Config, device: str, fill: Fill) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    network = build_vggish()
    pca = pca_of(fill(network))
    return VGGish(network, device=device, batch=config.extract.audio_batch, pca=pca)


extractor = AudioExtractor


def cost(config: Config) -> Cost:
    """Of an example of 0.96 s."""
    if config.audio.model == LOGMEL:
        return Cost(WIDTH, core_s=LOGMEL_S)
    return counted(build_vggish, (1, 1, 96, 64))
