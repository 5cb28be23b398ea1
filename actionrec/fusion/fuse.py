"""The fused model of each seed: the linear SVM on the video embeddings, fitted on train and chosen on validation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from actionrec.errors import InputError
from actionrec.fusion.attempts import chosen_setting
from actionrec.learning import fusion
from actionrec.learning.fusion import FusedModel
from actionrec.learning.search import Setting
from actionrec.storage import layout, models
from actionrec.storage.embeddings import read_embeddings, split_embeddings
from actionrec.storage.root import Root, begin, made_from, record
from actionrec.storage.samples import class_labels
from actionrec.storage.streams import random_networks


@dataclass(frozen=True)
class Fused:
    """The models of all seeds, by seed."""

    models: dict[int, FusedModel]
    searched: bool  # whether `tune svm` chose the streams, the normalisation and the L2 weight

    def facts(self) -> dict[str, object]:
        """What a person is told."""
        found: dict[str, object] = {"settings": "the best of tune svm" if self.searched else "as configured"}
        for seed, model in self.models.items():
            top1 = max(candidate["val_top1"] for candidate in model.candidates)
            chosen = f"{model.normalization}, lambda {model.l2:g}, missing streams by {model.missing}"
            found[f"seed {seed}"] = f"{' + '.join(model.streams)}: validation top-1 {top1:.1%} ({chosen})"
            found |= {"fitted on": "train and validation together, after the choice"} if model.refitted else {}
            found |= {f"warning, seed {seed}": warning for warning in model.warnings[:1]}
        return found


def fuse(root: Root, *, on_stage: Callable[[str], None] = lambda text: None) -> Fused:
    """Fit the fused model of every seed that has none yet. InputError where embeddings are missing or teach nothing."""
    for seed in root.config.seeds:
        read_embeddings(root, seed)  # before anything is deleted
    setting = chosen_setting(root)
    searched = {"setting": str(setting)} if setting else {}
    fingerprint = begin(root, "fusion", made_from(root, "embeddings") | searched)
    for seed in root.config.seeds:
        folder, mine = layout.model(layout.FUSION, root.further(seed)), models.seeded(fingerprint, seed)
        if not models.finished(root.output, folder, mine):
            on_stage(f"fusion, seed {seed}")
            _fit(root, seed, setting, folder, mine)
    return Fused({seed: load_fused(root, seed) for seed in root.config.seeds}, setting is not None)


def load_fused(root: Root, seed: int) -> FusedModel:
    """The fused model of a seed. InputError where it is missing, tampered with, or made from something else."""
    folder = layout.model(layout.FUSION, root.further(seed))
    fingerprint = models.seeded(record(root, "fusion")["fingerprint"], seed)
    stored = models.load(root.output, folder, fingerprint, "use --replace fusion")
    tensors = {name: tensor.numpy() for name, tensor in stored.tensors.items()}
    try:
        return fusion.restore(tensors, stored.config, stored.labels)
    except InputError as error:
        raise InputError(f"{root.output.url}/{folder}: {error}; use --replace fusion") from None


def _fit(root: Root, seed: int, setting: Setting | None, folder: str, fingerprint: str) -> None:
    sides = split_embeddings(root, seed)
    streams: tuple[str, ...] = root.config.streams
    settings = root.config.fusion
    if setting is not None:
        streams = setting.streams
        settings = setting.of(settings)
    train, val = (sides[split].embeddings.of(streams) for split in ("train", "val"))
    labels = class_labels(root.catalog())
    targets = sides["train"].target, sides["val"].target
    model = fusion.fit(train, targets[0], val, targets[1], labels, settings, seed)
    model = fusion.calibrated(model, val, targets[1])  # before a refit, which validation is a part of
    if settings.refit:
        model = fusion.refit(model, train, targets[0], val, targets[1], settings, seed)
    models.save(
        root.output,
        folder,
        {name: torch.from_numpy(np.array(array)) for name, array in model.tensors().items()},
        fingerprint=fingerprint,
        config=model.described() | {"seed": seed, "random_networks": random_networks(root.config, root.config.streams)},
        labels=labels,
    )
