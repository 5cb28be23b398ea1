"""What made a figure: the data, the weights, the seeds and the versions, in words for tables and as a hash."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from actionrec import __version__
from actionrec.catalog.evidence import caution
from actionrec.config import WITH_SPLITS
from actionrec.errors import InputError
from actionrec.show.evaluation import REFITTED, Reading
from actionrec.storage import layout
from actionrec.storage.root import Root, record
from actionrec.storage.streams import STREAMS, imported, networks, random_networks

SAYING_NOTHING = ("videos", "clips", "data")  # folders that are called so are told apart by the one above


def digest(value: object) -> str:
    """A hash of something that JSON can hold."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]


def dataset(root: Root) -> str:
    """The source, which of its official splits, and its size."""
    catalog = root.catalog()
    splits = Counter(catalog["split"].to_pylist())
    classes = len(set(catalog["label"].to_pylist()) - {None})
    groups = len(set(catalog["group"].to_pylist()))
    sizes = ", ".join(f"{splits[name]:,} {name}" for name in ("train", "val", "test"))
    *_, folder, name = "/", *str(root.config.data.source).rstrip("/").split("/")
    if name in SAYING_NOTHING:
        name = f"{folder}/{name}"
    official = f", split {root.config.data.split}" if root.config.data.dataset in WITH_SPLITS else ""
    return f"{name}{official}: {sizes} videos, {classes:,} classes, {groups:,} groups"


def weights(root: Root, streams: Sequence[str] = ()) -> str:
    """Whence the networks' weights came that made these streams, by default the fused ones."""
    if imported(root.config):
        return "imported features"
    streams = streams or root.config.streams
    random = random_networks(root.config, streams)
    found = [*([f"random ({', '.join(random)})"] if random else []), *_origins(root, streams)]
    return "; ".join(found) or "none but those that were trained here"


def _origins(root: Root, streams: Sequence[str]) -> list[str]:
    """What the root has noted of the published weights behind these streams: which network's, and whence they came."""
    descriptions = _descriptions(root)
    found = []
    for stream, section in networks(root.config, streams).items():
        network = getattr(root.config, section)
        if network.weights == "random":
            continue
        is_tuned = "finetune" in STREAMS[stream].needs(root.config)
        stage = "finetune" if is_tuned else stream
        inputs = record(root, stage)["inputs"] if root.begun(stage) else {}
        origin = descriptions.get(inputs.get(f"{section} weights", ""), f"{network.model}, pretrained")
        found.append(f"{origin}, then fine-tuned here" if is_tuned else origin)
    return list(dict.fromkeys(found))


def _descriptions(root: Root) -> dict[str, str]:
    """sha256 -> what stands beside the weights of the root that have it."""
    found = {}
    for key in (key for key in root.store.sizes(layout.WEIGHTS) if key.endswith(".json")):
        try:
            noted = json.loads(root.store.read(key))
            found[noted["sha256"]] = noted["description"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{root.store.url}/{key}: not a record of weights ({error}); delete it and run again"
            ) from None
    return found


def mark(root: Root, streams: Sequence[str] = ()) -> str:
    """What has to stand beside every figure of these streams, by default the fused ones: "random", or nothing."""
    return "random" if random_networks(root.config, streams or root.config.streams) else ""


def fused(root: Root) -> tuple[tuple[str, ...], str] | None:
    """The streams of the fused model and its classifier as tables name it; None where there is no model.

    InputError where its description is damaged.
    """
    key = f"{layout.model(layout.FUSION)}config.json"
    try:
        described = json.loads(root.output.read(key))
        return tuple(described["widths"]), REFITTED if described.get("refitted") else "svm"
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{root.output.url}/{key}: damaged; use --replace fusion") from None


def reading(root: Root, streams: Sequence[str] = ()) -> Reading:
    """How the figures of a table are to be read that is made from these streams, by default the fused model's."""
    model = fused(root)
    own, method = model or (root.config.streams, "")
    return Reading(caution(root.catalog()), lambda names: mark(root, names), tuple(streams or own), method)


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
