"""Fine-tuning the frame CNN (V.B): random frames of the catalogued videos, decoded in Ray's tasks, through Ray Train.

Runs before extraction, so nothing is known of the videos yet but the catalog: each is read and decoded in every epoch.
Letters: B videos, K frames of each, S the network's square input in pixels.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from actionrec.catalog.checks import problems
from actionrec.config import Config, Finetune
from actionrec.errors import InputError, VideoError
from actionrec.extraction.extract import source_videos
from actionrec.extraction.part import VideoFile, read_video
from actionrec.features.finetune import FineTuner, backbone_tensors, middles, upper_blocks
from actionrec.features.frame_cnn import build_frame_cnn, mean_std, normalize, stretch
from actionrec.media.isolate import Decoder
from actionrec.storage import layout
from actionrec.storage.models import Model, finished
from actionrec.storage.readiness import refuse_imported
from actionrec.storage.root import Root, begin, record
from actionrec.storage.samples import Sample, Samples, class_labels
from actionrec.storage.sources import refuse_absent, source_folder
from actionrec.storage.store import Store, open_store
from actionrec.storage.weights import WeightsRef, load, prepare_untuned
from actionrec.training.batches import Arrays, randomness
from actionrec.training.progress import TrainingProgress
from actionrec.training.ray_train import train
from actionrec.training.spec import TrainingSpec

STAGE = "finetune"
PART_VIDEOS = 16  # that one decoder process reads. Fixed, for the order of training depends on it


def train_spatial(
    root: Root,
    *,
    verbose: bool = False,
    on_epoch: Callable[[TrainingProgress], None] = lambda progress: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> Model:
    """Tune the last `finetune.blocks` blocks of the frame CNN on the source's videos. A rerun goes on or does nothing.

    Returns the model: the network's own tensors, without the classifier that it was tuned with. A video that cannot be
    decoded is done without, and stands with its reason under "left_out" in the model's config.

    Raises InputError where fine-tuning is off, the network has fewer blocks, or the catalog cannot be trained on;
    GoneError, before anything is written, where it is to be trained and no video is there any more.
    """
    config = root.config
    if config.finetune.blocks == 0:
        raise InputError(
            "fine-tuning is off (finetune.blocks=0): say how many upper blocks learn, such as --set finetune.blocks=3"
        )
    refuse_imported(root)
    catalog = root.catalog()
    if wrong := problems(catalog):
        raise InputError(f"{root.store.url}: {wrong[0]}")
    if not _is_finished(root):  # else every video would be noted as one to leave out, also once it is back
        refuse_absent(root, catalog)
    on_stage("weights")
    network = build_frame_cnn(config.frame.model)
    upper_blocks(network, config.finetune.blocks)  # refuses a number too high before anything is deleted or begun
    start = prepare_untuned(config, root.store)
    found = _samples(catalog)
    videos = source_videos(catalog, config)
    fingerprint = begin(root, STAGE, {"frame weights": start.sha256, "videos": _digest(found, videos)})
    used = [*found.of("train"), *found.of("val")]
    loader = FrameLoader(
        config,
        source_folder(config.data),
        {sample.video_id: videos[sample.video_id] for sample in used},
        *mean_std(network),
        config.seeds[0],
    )
    spec = FrameCnnSpec(
        STAGE,
        "frame CNN",
        layout.model(layout.FRAME_CNN),
        fingerprint,
        config.seeds[0],
        found.labels,
        found.of("train"),
        found.of("val"),
        loader,
        root.store.url,
        start,
    )
    (model,) = train(root, [spec], verbose=verbose, on_progress=on_epoch, on_stage=on_stage)
    return model


def _is_finished(root: Root) -> bool:
    """Whether nothing is to be trained any more."""
    if STAGE in root.replaced or not root.begun(STAGE):
        return False
    return finished(root.output, layout.model(layout.FRAME_CNN), record(root, STAGE)["fingerprint"])


def _samples(catalog: pa.Table) -> Samples:
    """The videos that can be learnt from or judged by. The parts are mixtures of classes, for a window is few parts."""
    labels = class_labels(catalog)
    places = {label: place for place, label in enumerate(labels)}
    rows = zip(*(catalog[name].to_pylist() for name in ("video_id", "split", "label", "revision")), strict=True)
    used = [row for row in rows if row[1] in ("train", "val") and row[2] in places]
    used.sort(key=lambda row: hashlib.sha256(row[0].encode()).digest())
    samples = [
        Sample(video_id, place // PART_VIDEOS, split, places[label], revision or 0)
        for place, (video_id, split, label, revision) in enumerate(used)
    ]
    return Samples("frames", labels, samples)


def _digest(found: Samples, videos: Mapping[str, VideoFile]) -> str:
    """Which videos, of which classes and splits, and which files: nothing else vouches for those before extraction."""
    sizes = [(sample.video_id, videos[sample.video_id].bytes) for sample in found.videos]
    return hashlib.sha256(json.dumps([found.digest(), sizes]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FrameLoader:
    """Frames of each video: random ones of each epoch for training, evenly spaced ones for validation."""

    config: Config
    source_url: str
    videos: Mapping[str, VideoFile]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    seed: int
    drop_ragged = True  # BatchNorm wants full batches

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[NDArray[np.uint8] | VideoError]:
        source = open_store(self.source_url, self.config.storage)
        with Decoder(self.config.clip, self.config.limits) as decoder:
            return [self._item(source, decoder, sample.video_id, epoch, training) for sample in samples]

    def _item(
        self, source: Store, decoder: Decoder, video_id: str, epoch: int, training: bool
    ) -> NDArray[np.uint8] | VideoError:
        """Frames uint8 [K, 3, S, S], stretched as extraction does it, or why there are none."""
        try:
            video = self.videos[video_id]
            data = read_video(source, video, self.config.limits)
            frames_THWC = decoder.decode(data, video.segment).frames_THWC
        except VideoError as error:
            return error
        chosen = self._chosen(len(frames_THWC), video_id, epoch, training)
        return stretch(frames_THWC[chosen], size=self.config.frame.size).numpy()

    def _chosen(self, length: int, video_id: str, epoch: int, training: bool) -> list[int]:
        """In order of time; frames come again only where the clip has fewer than are wanted."""
        count = self.config.finetune.frames
        if not training:
            return middles(length, count)
        rng = randomness(self.seed, epoch, video_id)
        return sorted(rng.choice(length, count, replace=length < count).tolist())

    def collate(self, items: Sequence[NDArray[np.uint8]]) -> Arrays:
        size = self.config.frame.size
        grey = np.full((self.config.finetune.frames, 3, size, size), 128, np.uint8)
        return {"frames": np.stack(items or [grey])}

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Images float32 [B, K, 3, S, S]."""
        frames_BKCHW = tensors["frames"]
        images = normalize(frames_BKCHW.flatten(0, 1), mean=self.mean, std=self.std)
        return (images.unflatten(0, frames_BKCHW.shape[:2]),)


@dataclass(frozen=True)
class FrameCnnSpec(TrainingSpec):
    """The frame CNN's upper blocks (V.B)."""

    loader: FrameLoader
    store_url: str
    start: WeightsRef

    @property
    def training(self) -> Finetune:
        return self.loader.config.finetune

    def build(self) -> FineTuner:
        config = self.loader.config
        backbone = build_frame_cnn(config.frame.model)
        load(backbone, self.start, open_store(self.store_url, config.storage))
        return FineTuner(backbone, self.training.blocks, len(self.labels), self.training.dropout)

    def kept(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return backbone_tensors(tensors)

    def describe(self) -> dict[str, Any]:
        return {
            "model": self.loader.config.frame.model,
            "size": self.loader.config.frame.size,
            "blocks": self.training.blocks,
            "frames": self.training.frames,
            "start": self.start.description,
            "start_sha256": self.start.sha256,
            "classes": len(self.labels),
            "seed": self.seed,
        }
