"""A seed's video embeddings with classes and groups, split by split: what fusion learns from and is judged by."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actionrec.learning.embeddings import Embeddings
from actionrec.schema import SPLITS
from actionrec.stages.embedding import read_embeddings
from actionrec.storage.root import Root
from actionrec.storage.samples import class_labels


@dataclass(frozen=True)
class Labelled:
    """N videos of a split whose class is learnt, in the catalog's order."""

    embeddings: Embeddings
    target: NDArray[np.int64]  # [N] the class's place among the labels
    groups: list[str]  # [N]


def labelled(root: Root, seed: int) -> dict[str, Labelled]:
    """Split -> its videos. InputError where the embeddings are missing, another's, or not finite."""
    catalog = root.catalog()
    embeddings = embeddings_of(read_embeddings(root, seed), root.config.streams)
    places = {video_id: place for place, video_id in enumerate(embeddings.video_ids)}
    targets = {label: target for target, label in enumerate(class_labels(catalog))}
    columns = (catalog[name].to_pylist() for name in ("video_id", "label", "split", "group"))
    rows = [
        (split, places[video_id], targets[label], group)
        for video_id, label, split, group in zip(*columns, strict=True)
        if label in targets and video_id in places
    ]
    found = {}
    for side in SPLITS:
        chosen = [row for row in rows if row[0] == side]
        index, target = (np.array([row[place] for row in chosen], np.int64) for place in (1, 2))
        found[side] = Labelled(embeddings.rows(index), target, [row[3] for row in chosen])
    return found


def embeddings_of(table: pa.Table, streams: tuple[str, ...]) -> Embeddings:
    """A table of video embeddings as arrays."""
    vectors, present = {}, {}
    for stream in streams:
        column = table[stream].combine_chunks()
        width = column.type.list_size
        present[stream] = column.is_valid().to_numpy(zero_copy_only=False)
        vectors[stream] = np.zeros((len(column), width), np.float32)
        vectors[stream][present[stream]] = column.drop_null().flatten().to_numpy().reshape(-1, width)
    return Embeddings(table["video_id"].to_pylist(), vectors, present)
