"""The record of extract that an earlier release wrote, made anew where its file is damaged or gone.

Every mark carries the fingerprint, and that is a hash of the record: of settings, which config.yaml holds, and of the
hashes of weights, which are recorded where the weights lie. What hashes to it is the record; anything else is none.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator

from actionrec import schema
from actionrec.config import DIS, Config
from actionrec.storage import layout, models, parts
from actionrec.storage.earlier import EXTRACT
from actionrec.storage.records import Record
from actionrec.storage.stages import flat, is_among
from actionrec.storage.store import Store, read_if_there

SETTINGS = ("clip.", "sampling.", "flow.", "frame.", "audio.", "seed")
YOUNGER = ("audio.model",)  # among those, and unknown to that release
NETWORKS = ("flow", "frame", "audio")  # the names of inputs, and what the names of weights begin with
FORMAT = 1  # of that release


def extract(store: Store, config: Config) -> Record | None:
    """The record by whose fingerprint the marks go; None where it cannot be told from what lies under the root."""
    candidates = {_fingerprint(record): record for record in _candidates(store, config)}
    for part in sorted(parts.marked(store, EXTRACT)):
        data = read_if_there(store, layout.commit_mark(EXTRACT, part))
        name = schema.fingerprint_of(data) if data is not None else None
        if name in candidates:
            return {"fingerprint": name, **candidates[name]}
    return None


def _candidates(store: Store, config: Config) -> Iterator[Record]:
    """What the record can have held: with each of the weights, or none, and the seed where it counted."""
    without_network = ("flow.weights", "flow.checkpoint") if config.flow.model == DIS else ()
    ignored = ("clip.allow_partial", *YOUNGER, *without_network)
    settings = {k: v for k, v in flat(config).items() if is_among(k, SETTINGS) and not is_among(k, ignored)}
    hashes = [[None, *_hashes(store, network)] for network in NETWORKS]
    for without in ((), ("seed",)):
        for chosen in itertools.product(*hashes):
            inputs = {network: sha256 for network, sha256 in zip(NETWORKS, chosen, strict=True) if sha256 is not None}
            yield {"inputs": inputs, "settings": {k: v for k, v in settings.items() if k not in without}}


def _hashes(store: Store, network: str) -> list[str]:
    """The sha256 of each of a network's weights, as it is recorded."""
    keys = [key for key in store.sizes(layout.WEIGHTS) if key.startswith(f"{layout.WEIGHTS}{network}-")]
    tuned = [layout.model(layout.FRAME_CNN) + models.CONFIG] if network == "frame" else []
    found = [read_if_there(store, key) for key in [*keys, *tuned] if key.endswith(".json")]
    return [sha256 for data in found if data is not None and (sha256 := _sha256(data)) is not None]


def _sha256(data: bytes) -> str | None:
    try:
        return str(json.loads(data)["sha256"])
    except (ValueError, KeyError, TypeError):
        return None  # damaged


def _fingerprint(record: Record) -> str:
    return hashlib.sha256(json.dumps({"format": FORMAT, **record}, sort_keys=True).encode()).hexdigest()[:16]
