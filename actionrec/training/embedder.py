"""What the trained recurrent networks of one seed make of a video's streams: its video embeddings."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from actionrec.config import Rnn
from actionrec.errors import InputError, Reason, VideoError
from actionrec.learning.fusion import Head
from actionrec.learning.rnn import SequenceClassifier
from actionrec.storage import layout, models
from actionrec.storage.root import Root, record
from actionrec.weights.tensors import fill


class VideoEmbedder:
    """One recurrent network a stream. Videos go through one at a time, so an embedding depends on its video alone."""

    def __init__(self, root: Root, seed: int, device: str = "cpu") -> None:
        """InputError where a network is missing or not what was recorded."""
        self._device = device
        self._networks: dict[str, SequenceClassifier] = {}
        self.widths: dict[str, int] = {}  # of the embeddings that come out, by stream
        for stream in root.config.streams:
            network = build(load_recurrent(root, stream, seed), layout.model(layout.rnn(stream), root.further(seed)))
            self._networks[stream] = network.eval().to(device)
            self.widths[stream] = network.embedding_width

    def __call__(self, sequences: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Embeddings float32 [D] of the streams that a video has, from its sequences float32 [L, E].

        InputError: a sequence of another width. VideoError: a network gave NaN or infinity.
        """
        return {stream: self._embed(stream, sequence) for stream, sequence in sequences.items() if len(sequence)}

    def _embed(self, stream: str, sequence: NDArray[np.float32]) -> NDArray[np.float32]:
        network = self._networks[stream]
        if sequence.shape[1] != len(network.mean):
            raise InputError(
                f"the {stream} stream has embeddings of {sequence.shape[1]} numbers, its recurrent network wants "
                f"{len(network.mean)}; extract with the settings that it was trained with"
            )
        with torch.inference_mode():
            x_1LE = torch.from_numpy(np.ascontiguousarray(sequence))[None].to(self._device)
            embedding: NDArray[np.float32] = network.embed(x_1LE, torch.tensor([len(sequence)]))[0].cpu().numpy()
        if not np.isfinite(embedding).all():
            raise VideoError(Reason.NON_FINITE, f"the {stream} stream's recurrent network gave NaN or infinity")
        return embedding


def load_recurrent(root: Root, stream: str, seed: int) -> models.Model:
    """The model of a stream's recurrent network. InputError where it is missing or not what was recorded."""
    name = layout.rnn(stream)
    fingerprint = models.seeded(record(root, name)["fingerprint"], seed)
    return models.load(root.output, layout.model(name, root.further(seed)), fingerprint, f"use --replace {name}")


def softmax_layer(model: models.Model) -> Head:
    """The last layer of a stored network, on its embeddings."""
    return Head(*(model.tensors[f"head.{name}"].double().numpy() for name in ("weight", "bias")))


def build(model: models.Model, folder: str) -> SequenceClassifier:
    """The recurrent network of a stored model. InputError where its config does not describe one."""
    try:
        knobs = Rnn(**model.config["rnn"])
        network = SequenceClassifier(knobs, model.config["width"], model.config["classes"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}config.json: does not describe a recurrent network ({error}); train again") from None
    fill(network, model.tensors, folder)
    return network
