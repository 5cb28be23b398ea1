"""A seed's video embeddings as a root holds them, and with classes and groups, split by split.

The latter is what fusion learns from, and what test scores are taken of.
"""

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from actionrec import schema
from actionrec.errors import InputError
from actionrec.learning.embeddings import Embeddings
from actionrec.schema import SPLITS
from actionrec.storage import layout, models
from actionrec.storage.root import Root, record
from actionrec.storage.samples import class_labels


def read_embeddings(root: Root, seed: int) -> pa.Table:
    """embeddings/video.parquet of a seed [rows, schema.video_embeddings]. InputError: missing, or another's."""
    key = layout.video_embeddings(root.further(seed))
    fingerprint = models.seeded(record(root, "embeddings")["fingerprint"], seed)
    name = f"{root.output.url}/{key}"
    try:
        data = root.output.read(key)
    except FileNotFoundError:
        raise InputError(f"{name}: there are no video embeddings here; run `actionrec train rnn`") from None
    try:
        found = pq.read_schema(io.BytesIO(data))
        widths: dict[str, int] = {stream: found.field(stream).type.list_size for stream in root.config.streams}
    except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name}: not a table with an embedding for each of streams={list(root.config.streams)} ({reason}); "
            "run `actionrec train rnn`, which makes it again"
        ) from None
    if schema.fingerprint_of(data) != fingerprint:
        raise InputError(f"{name}: made by other recurrent networks; run `actionrec train rnn`, which makes it again")
    schema.refuse_bomb(data, name)
    return schema.from_parquet(data, schema.video_embeddings(widths), name)


@dataclass(frozen=True)
class SplitEmbeddings:
    """N videos of a split whose class is learnt, in the catalog's order."""

    embeddings: Embeddings
    target: NDArray[np.int64]  # [N] the class's place among the labels
    groups: list[str]  # [N]


def split_embeddings(root: Root, seed: int) -> dict[str, SplitEmbeddings]:
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
        found[side] = SplitEmbeddings(embeddings.rows(index), target, [row[3] for row in chosen])
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
