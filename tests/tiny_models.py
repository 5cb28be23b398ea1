"""Models as training leaves them, but for the training: networks of seeded random numbers, stored under a root."""

import dataclasses
from collections.abc import Mapping

import torch

from actionrec.features.motion_cnn import MotionCNN
from actionrec.learning.rnn import SequenceClassifier
from actionrec.storage import layout, models
from actionrec.storage.root import Root, begin, made_from
from actionrec.storage.samples import class_labels, learnt_inputs
from actionrec.storage.streams import STREAMS


def begin_motion(root: Root) -> str:
    """The stages of the motion CNN and its stream, begun; the CNN's fingerprint."""
    found = begin(root, "motion_cnn", learnt_inputs(root, "flow"))
    begin(root, "motion", made_from(root, *STREAMS["motion"].needs(root.config)))
    return found


def put_motion_cnn(root: Root) -> None:
    """The stages of the motion CNN and its stream, begun, with the network."""
    fingerprint, labels, flow = begin_motion(root), class_labels(root.catalog()), root.config.flow
    size = {"height": flow.stored_height, "width": flow.stored_width, "classes": len(labels), "dropout": 0.5}
    torch.manual_seed(root.config.seeds[0])
    network = MotionCNN(**size)
    _put(root, layout.model(layout.MOTION_CNN), network, fingerprint, size, labels)


def put_rnns(root: Root, widths: Mapping[str, int]) -> str:
    """Every stage of a recurrent network of these streams (E of each), begun, with the networks of all seeds.

    The fingerprint of the embeddings' stage, which has begun too.
    """
    for number, (stream, width) in enumerate(widths.items()):
        put_rnn(root, stream, width, number)
    return begin(root, "embeddings", made_from(root, *map(layout.rnn, widths)))


def put_rnn(root: Root, stream: str, width: int, number: int = 0) -> None:
    """The stage of one stream's recurrent network, begun, with the networks of all seeds."""
    labels = class_labels(root.catalog())
    fingerprint = begin(root, layout.rnn(stream), learnt_inputs(root, stream))
    for seed in root.config.seeds:
        torch.manual_seed(100 * seed + number)
        network = SequenceClassifier(root.config.rnn, width, len(labels))
        network.mean.normal_()
        network.scale.uniform_(0.5, 2.0)
        described = {"rnn": dataclasses.asdict(root.config.rnn), "width": width, "classes": len(labels)}
        folder = layout.model(layout.rnn(stream), root.further(seed))
        named = {"stream": stream, "seed": seed}
        _put(root, folder, network, models.seeded(fingerprint, seed), described | named, labels)


def _put(
    root: Root,
    folder: str,
    network: torch.nn.Module,
    fingerprint: str,
    described: Mapping[str, object],
    labels: list[str],
) -> None:
    history = [{"epoch": 0, "train_loss": 1.0, "val_loss": 1.0, "val_top1": 0.5}]
    described = {**described, "best_epoch": 0}
    models.save(
        root.output,
        folder,
        network.state_dict(),
        fingerprint=fingerprint,
        config=described,
        labels=labels,
        history=history,
    )
