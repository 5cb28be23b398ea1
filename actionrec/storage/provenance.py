"""What made a figure: the data, the weights, the seeds and the versions, in words for tables and as a hash."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from actionrec import __version__
from actionrec.config import WITH_SPLITS
from actionrec.storage.root import Root, record
from actionrec.storage.streams import random_networks


def digest(value: object) -> str:
    """A hash of something that JSON can hold."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]


def dataset(root: Root) -> str:
    """The source, which of its official splits, and its size."""
    catalog = root.catalog()
    splits = Counter(catalog["split"].to_pylist())
    classes = len(set(catalog["label"].to_pylist()) - {None})
    groups = len(set(catalog["group"].to_pylist()))
    sizes = ", ".join(f"{splits[name]} {name}" for name in ("train", "val", "test"))
    name = str(root.config.data.source).rstrip("/").rpartition("/")[2]
    official = f", split {root.config.data.split}" if root.config.data.dataset in WITH_SPLITS else ""
    return f"{name}{official}: {sizes} videos, {classes} classes, {groups} groups"


def weights(root: Root, streams: Sequence[str] = ()) -> str:
    """Whether the networks that made these streams, by default the fused ones, had learnt anything."""
    if root.config.data.dataset == "features":
        return "imported features"
    random = random_networks(root.config, streams or root.config.streams)
    return f"random ({', '.join(random)})" if random else "pretrained"


def paragraph(root: Root) -> str:
    """What stands above every table."""
    random = random_networks(root.config, root.config.streams)
    warning = (
        " The weights are random, as configured: the figures show that everything works, not how well."
        if random
        else ""
    )
    seeds = ", ".join(map(str, root.config.seeds))
    return (
        f"Data: {dataset(root)}. Weights: {weights(root)}.{warning} Seeds: {seeds}. "
        f"Model: {record(root, 'fusion')['fingerprint']}, made with actionrec {__version__}."
    )
