"""The stream audio: VGGish's embeddings of a sound track."""

from collections.abc import Mapping
from typing import Any

from actionrec.config import Config
from actionrec.errors import Reason, VideoError
from actionrec.features.cost import Cost, counted
from actionrec.features.extractor import Absent, DecodedVideo, Fill, Row, finite
from actionrec.features.vggish import (
    WIDTH,
    VGGish,
    build_vggish,
    empty_vggish,
    example_time_s,
    log_mel_examples,
    pca_of,
)


class AudioExtractor:
    """See extractor.Extractor."""

    width = WIDTH

    def __init__(self, config: Config, device: str, fill: Fill) -> None:
        network = empty_vggish()
        pca = pca_of(fill(network))
        self._audio = VGGish(network, device=device, batch=config.extract.audio_batch, pca=pca)

    def __call__(self, clip: DecodedVideo, above: Mapping[str, Mapping[str, Any]]) -> Row | Absent:
        if clip.audio_reason is Reason.CORRUPT:
            raise VideoError(Reason.CORRUPT, f"the audio track cannot be decoded: {clip.audio_error}")
        if clip.audio is None:
            is_unknown = clip.audio_reason is Reason.NO_DECODER
            return Absent(VideoError(Reason.NO_DECODER, str(clip.audio_error)) if is_unknown else None)
        embeddings = finite("audio", self._audio(log_mel_examples(clip.audio)))
        return {"time_s": example_time_s(len(embeddings)), "embedding": embeddings}


extractor = AudioExtractor


def cost(config: Config) -> Cost:
    """Of an example of 0.96 s."""
    return counted(build_vggish, (1, 1, 96, 64))
