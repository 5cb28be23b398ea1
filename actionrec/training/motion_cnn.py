"""The motion CNN (IV.C): what it is trained on, and its training, which ends in the motion stream's features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actionrec import schema
from actionrec.config import Config, Motion
from actionrec.errors import InputError
from actionrec.extraction.motion_pass import embed_motion
from actionrec.features import motion_cnn
from actionrec.features.stacks import STACK_LENGTH
from actionrec.storage import layout
from actionrec.storage.importing import refuse_imported
from actionrec.storage.models import Model
from actionrec.storage.parts import Reconciled
from actionrec.storage.root import Root, begin, made_from
from actionrec.storage.samples import Sample, learnt_inputs, made_with, read_rows, samples
from actionrec.storage.store import open_store
from actionrec.storage.streams import FUSED, wanted
from actionrec.training.batches import Arrays, randomness
from actionrec.training.progress import NOBODY, TrainingListener
from actionrec.training.ray_train import train
from actionrec.training.spec import TrainingSpec


@dataclass(frozen=True)
class StackLoader:
    """Stacks of ten flows: a random one of each video and epoch for training, the middle one for validation."""

    config: Config
    store_url: str
    height: int
    width: int
    seed: int
    features: str  # the fingerprint of their files
    drop_ragged = True  # BatchNorm wants full batches

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[Any]:
        store = open_store(self.store_url, self.config.storage)
        ids = [sample.video_id for sample in samples]
        rows = read_rows(store, "flow", samples[0].part, ids, schema.FLOW, self.features)
        return [self._item(video_id, rows[video_id], epoch, training) for video_id in ids]

    def _item(
        self, video_id: str, row: Mapping[str, Any], epoch: int, training: bool
    ) -> tuple[NDArray[np.int8], float]:
        bound_px = float(row["bound_px"])
        if not training:
            return motion_cnn.middle_stack(row), bound_px
        rng = randomness(self.seed, epoch, video_id)
        return motion_cnn.training_stack(row, rng, self.config.motion.flip), bound_px

    def collate(self, items: Sequence[tuple[NDArray[np.int8], float]]) -> Arrays:
        empty = np.zeros((2 * STACK_LENGTH, self.height, self.width), np.int8)
        levels = np.stack([levels for levels, _ in items] or [empty])
        return {"levels": levels, "bound_px": np.array([bound for _, bound in items] or [1.0], np.float32)}

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return (motion_cnn.to_px(tensors["levels"], tensors["bound_px"]),)


@dataclass(frozen=True)
class MotionCnnSpec(TrainingSpec):
    """The motion CNN, from scratch (IV.C)."""

    loader: StackLoader

    @property
    def training(self) -> Motion:
        return self.loader.config.motion

    def build(self) -> nn.Module:
        size, training = (self.loader.height, self.loader.width), self.training
        return motion_cnn.MotionCNN(*size, len(self.labels), training.dropout, training.hidden)

    def describe(self) -> dict[str, Any]:
        return {
            "height": self.loader.height,
            "width": self.loader.width,
            "length": STACK_LENGTH,
            "dropout": self.training.dropout,
            "hidden": self.training.hidden,
            "classes": len(self.labels),
            "seed": self.seed,
        }


def train_motion(root: Root, *, verbose: bool = False, listener: TrainingListener = NOBODY) -> tuple[Model, Reconciled]:
    """Train the motion CNN on the stored flow, then compute features/motion. A rerun goes on where the last one ended.

    One network serves all of `seeds`: its features are stored once. InputError where `streams` has no use for it.
    """
    config = root.config
    refuse_imported(root)
    if "motion" not in wanted(config):
        raise InputError(f"streams={list(config.streams)} has no use for a motion CNN; {_remedy(root)}")
    found, decoded = samples(root, "flow"), made_from(root, "flow", "spatial")
    network = begin(root, "motion_cnn", learnt_inputs(root, "flow"), last=False)
    fingerprint = begin(root, "motion", made_from(root, "motion_cnn") | decoded)
    size = config.flow.stored_height, config.flow.stored_width
    loader = StackLoader(config, root.store.url, *size, config.seeds[0], made_with(root, "flow"))
    spec = MotionCnnSpec(
        "motion_cnn",
        "motion CNN",
        layout.model(layout.MOTION_CNN),
        network,
        config.seeds[0],
        found.labels,
        found.of("train"),
        found.of("val"),
        loader,
    )
    (model,) = train(root, [spec], verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage)
    return model, embed_motion(
        root, fingerprint, verbose=verbose, on_progress=listener.on_videos, on_stage=listener.on_stage
    )


def _remedy(root: Root) -> str:
    """What makes the motion stream of a root whose `streams` lacks it. What was made of all streams is made anew."""
    url, streams = root.store.url, ",".join(name for name in FUSED if name in (*root.config.streams, "motion"))
    given = f"--root {url} --set streams=[{streams}]"
    if root.begun("embeddings"):
        return f"`actionrec run {given} --replace embeddings` trains one, and anew what is made of all streams"
    return f"run `actionrec extract {given}`, then `actionrec train motion --root {url}`"
