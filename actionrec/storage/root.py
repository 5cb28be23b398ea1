"""The state of a root: its stored configuration, which stages have begun, and what each stage was made with."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actionrec import config as configuration
from actionrec import schema
from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.store import Store, open_store

FORMAT = 1  # raised when the meaning of a stored value changes, so that old roots are refused rather than mixed

# In the order of work: the key whose presence says that a stage has begun, and what deleting the stage deletes, in
# that order: commit marks first, so that nothing half-deleted is trusted, and last what says that the stage has begun.
STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "catalog": (layout.CATALOG, (layout.CATALOG,)),
    "extract": (
        layout.EXTRACT_STAGE,
        (layout.STATUS, *map(layout.features, layout.EXTRACT_STREAMS), layout.PLANS, layout.EXTRACT_STAGE),
    ),
}


@dataclass(frozen=True)
class Root:
    """A root and the configuration that this run is to use on it."""

    store: Store
    config: Config
    stored: Config | None  # what the root's config.yaml says; None in a new root
    replace: str | None = None  # the stage that is to be deleted and made again

    def begun(self, stage: str) -> bool:
        return self.store.exists(STAGES[stage][0])

    def clear(self, stage: str) -> None:
        """Delete `stage` and every stage after it, if that is what is to be replaced.

        Called by the stage itself once its input has been checked, so that a typing error costs nothing.
        """
        if self.replace == stage:
            for name in reversed(_from(stage)):
                for prefix in STAGES[name][1]:
                    self.store.delete(prefix)

    def save_config(self) -> None:
        """Store this run's configuration, unless the root holds it already."""
        if self.config != self.stored:
            self.store.put(layout.CONFIG, configuration.dump(self.config).encode())

    def catalog(self) -> pa.Table:
        """The catalog [N rows, schema.CATALOG]. InputError where there is none."""
        try:
            data = self.store.read(layout.CATALOG)
        except FileNotFoundError:
            raise InputError(
                f"{self.store.url}: there is no catalog here; run `actionrec catalog SRC --root {self.store.url}` first"
            ) from None
        return schema.from_parquet(data, schema.CATALOG, f"{self.store.url}/{layout.CATALOG}")


def open_root(url: str, layers: Sequence[Mapping[str, Any]] = (), replace: str | None = None) -> Root:
    """The root at `url` with the defaults, then its config.yaml, then `layers` laid over them.

    Where that would change a stage that has begun, raises InputError naming the keys, unless `replace` names that stage
    or one before it.
    """
    if replace is not None and replace not in STAGES:
        raise InputError(f"--replace {replace}: there is no such stage; there are {', '.join(STAGES)}")
    store = open_store(url, configuration.load(layers).storage)
    stored_layers = _stored_layers(store)
    stored = configuration.load(stored_layers) if stored_layers else None
    root = Root(store, _with_absolute_source(configuration.load([*stored_layers, *layers])), stored, replace)
    _refuse_changes(root)
    return root


def absolute(source: str) -> str:
    """A local path made absolute; a URL as it is."""
    return source.rstrip("/") if "://" in source else os.path.abspath(os.path.expanduser(source))


def _with_absolute_source(config: Config) -> Config:
    """The stored configuration must mean the same from every working directory."""
    if config.data.source is None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=absolute(config.data.source)))


def _from(stage: str) -> list[str]:
    """`stage` and all that follow it."""
    return list(STAGES)[list(STAGES).index(stage) :]


def _refuse_changes(root: Root) -> None:
    """InputError naming the keys in which this run's configuration differs from what a begun stage was made with."""
    kept = [stage for stage in STAGES if root.replace is None or stage not in _from(root.replace)]
    for stage in kept:
        if not root.begun(stage):
            continue
        old, new = _made_with(root, stage), settings(stage, root.config)
        if keys := _differing(old, new):
            changes = ", ".join(f"{key} (it was {old.get(key)!r}, now {new.get(key)!r})" for key in keys)
            raise InputError(
                f"{root.store.url}: the stage {stage} was made with other settings: {changes}; "
                f"use another --root, or --replace {stage} to delete it and all that follows"
            )


def _made_with(root: Root, stage: str) -> dict[str, Any]:
    if stage == "extract":
        recorded: dict[str, Any] = extract_record(root)["settings"]
        return recorded
    return settings(stage, root.stored or root.config)


def settings(stage: str, config: Config) -> dict[str, Any]:
    """Dotted key -> value of exactly the knobs that can change what `stage` writes for a video that does not fail."""
    flat = configuration.flatten(config)
    if stage == "catalog":
        irrelevant = {"data.split"} if config.data.dataset != "ucf101" else set()
        sections: tuple[str, ...] = ("data.", "seed")
    else:
        irrelevant = {"clip.allow_partial"}  # like limits.*, it only decides which videos fail
        if config.flow.model == "dis":
            irrelevant |= {"flow.weights", "flow.checkpoint"}
        if not configuration.random_networks(config):
            irrelevant |= {"seed"}
        sections = ("clip.", "sampling.", "flow.", "frame.", "audio.", "seed")
    return {key: value for key, value in flat.items() if key.startswith(sections) and key not in irrelevant}


def fingerprint(stage: str, config: Config, weights: Mapping[str, str]) -> str:
    """A hash of everything that decides the stage's values: its settings and the sha256 of each network's weights."""
    parts = {"format": FORMAT, "settings": settings(stage, config), "weights": dict(weights)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def begin_extract(root: Root, weights: Mapping[str, str]) -> str:
    """Mark the extract stage as begun and return its fingerprint; refuse to mix with another one's results."""
    mine = fingerprint("extract", root.config, weights)
    record: dict[str, Any] = {
        "fingerprint": mine,
        "weights": dict(weights),
        "settings": settings("extract", root.config),
    }
    if not root.begun("extract"):
        root.store.put_new(layout.EXTRACT_STAGE, json.dumps(record, indent=1).encode())
    theirs = extract_record(root)  # another driver may have been first
    if theirs["fingerprint"] != mine:
        names = [
            f"{kind} {name}" for kind in ("weights", "settings") for name in _differing(record[kind], theirs[kind])
        ]
        raise InputError(
            f"{root.store.url}: its features were made with other {', '.join(names) or 'versions of this program'}; "
            "use another --root, or --replace extract"
        )
    root.save_config()
    return mine


def extract_record(root: Root) -> dict[str, Any]:
    """What the extract stage was begun with: its fingerprint, its settings, and the sha256 of its weights."""
    try:
        record: dict[str, Any] = json.loads(root.store.read(layout.EXTRACT_STAGE))
        if isinstance(record["settings"], dict) and isinstance(record["weights"], dict) and record["fingerprint"]:
            return record
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{root.store.url}/{layout.EXTRACT_STAGE}: damaged; use --replace extract")


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def _stored_layers(store: Store) -> list[dict[str, Any]]:
    try:
        text = store.read(layout.CONFIG).decode()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise InputError(f"{store.url}/{layout.CONFIG}: not text; restore it or use another --root") from None
    return [configuration.parse_layer(text, f"{store.url}/{layout.CONFIG}")]
