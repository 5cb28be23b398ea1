"""A map of the videos: the embeddings of the first seed in two dimensions."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from actionrec import schema
from actionrec.report.findings import Findings
from actionrec.show.marks import swatch
from actionrec.show.page import Block
from actionrec.show.parts import Drawing, Legend
from actionrec.show.scatter import NARROW, ROOMY, Point, scatter
from actionrec.show.words import counted
from actionrec.storage import layout
from actionrec.storage.embeddings import embeddings_of, read_embeddings
from actionrec.storage.samples import class_labels

MAPPED = 2000  # videos, of which the map is made
FEWEST = 4
UNFOLDED_CLASSES = 12  # a longer legend waits behind its heading: the map names its classes itself


def plane(findings: Findings) -> list[Block]:
    """The map with its legend; nothing where there are no embeddings."""
    root = findings.root
    if not root.output.exists(layout.video_embeddings()):
        return []
    found = embeddings_of(read_embeddings(root, root.config.seeds[0]), root.config.streams)
    all_points = _points(findings)
    places = np.array([i for i, video_id in enumerate(found.video_ids) if video_id in all_points], np.int64)
    if len(places) > MAPPED:
        places = np.sort(np.random.default_rng(root.config.seed).choice(places, MAPPED, replace=False))
    if len(places) < FEWEST:
        return [Block(text=["There are fewer than four labelled videos to map."])]
    points = [all_points[found.video_ids[place]] for place in places]
    at_N2 = _tsne(_joined(found.rows(places).vectors))
    numbers = {label: number for number, label in enumerate(class_labels(findings.catalog))}
    alt = f"A map of {counted(len(points), 'video')}: a mark for each, its colour and shape are its class"
    drawing = Drawing(scatter(points, at_N2, numbers, ROOMY), alt, scatter(points, at_N2, numbers, NARROW))
    note = (
        f"The embeddings of {len(points):,} of {counted(len(found.video_ids), 'video')}, each stream scaled to length "
        "1, laid out by t-SNE: near points are alike; distances between far ones mean nothing. With a mouse, point at "
        "a mark for its name."
    )
    return [Block(parts=[drawing, _kinds(points)], note=note), _legend(findings.labels, numbers)]


def _points(findings: Findings) -> dict[str, Point]:
    """The labelled videos with a split."""
    columns = (findings.catalog[name].to_pylist() for name in ("video_id", "label", "split"))
    said = _said(findings)
    return {
        video_id: Point(video_id, label, split, said.get(video_id) if split == "test" else None)
        for video_id, label, split in zip(*columns, strict=True)
        if label is not None and split is not None
    }


def _said(findings: Findings) -> dict[str, str]:
    """What the model took each video for that it got wrong."""
    table = findings.table("predictions", schema.PREDICTIONS)
    rows = [] if table is None else table.to_pylist()
    return {row["video_id"]: row["classes"][0] for row in rows if row["classes"] and row["classes"][0] != row["label"]}


def _kinds(points: list[Point]) -> Legend:
    """What splits and errors look like, as far as there are any."""
    entries = [(swatch(None, split), name) for split, name in _KINDS if any(each.split == split for each in points)]
    if any(each.said for each in points):
        entries.append((swatch(None, "wrong"), "test, taken for another class"))
    return Legend(entries)


_KINDS = (("train", "train"), ("val", "validation"), ("test", "test"))


def _legend(labels: list[str], numbers: dict[str, int]) -> Block:
    entries = [(swatch(numbers[label], "test"), label) for label in labels if label in numbers]
    is_long = len(entries) > UNFOLDED_CLASSES
    heading = f"The marks of {len(entries)} classes" if is_long else ""
    return Block(heading, parts=[Legend(entries)], folded=is_long)


def _joined(vectors: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """[N, D] all streams of each video beside each other, each scaled to length 1."""
    lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in vectors.values()]
    scaled = [v / np.where(norm > 0, norm, 1) for v, norm in zip(vectors.values(), lengths, strict=True)]
    joined: NDArray[np.float32] = np.concatenate(scaled, axis=1)
    return joined


def _tsne(vectors_ND: NDArray[np.float32]) -> NDArray[np.float64]:
    """[N, 2]. PCA to 50 numbers first, as is usual: t-SNE only needs who is near whom."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    small = PCA(min(50, *vectors_ND.shape), random_state=0).fit_transform(vectors_ND)
    perplexity = min(30.0, (len(small) - 1) / 3)
    found: NDArray[np.float64] = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(small)
    return found.astype(np.float64)
