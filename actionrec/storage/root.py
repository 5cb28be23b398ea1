"""The state of a root: its stored configuration, which stages have begun, and what each stage was made with."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import config as configuration
from actionrec import schema
from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.storage import layout, server
from actionrec.storage.store import Store, open_store, put_changed

FORMAT = 1  # raised when the meaning of a stored value changes, so that old roots are refused rather than mixed

# In the order of work: what deleting the stage deletes, in that order: commit marks first, so that nothing half-deleted
# is trusted, and last of all the stage's record, which says that it has begun. "x-" stands for every key beginning so.
STAGES: dict[str, tuple[str, ...]] = {
    "catalog": (layout.CATALOG,),
    "spatial": (layout.model(layout.FRAME_CNN),),
    "extract": (layout.STATUS, layout.REOPENED, *map(layout.features, layout.EXTRACT_STREAMS), layout.PLANS),
    "motion": (f"{layout.STATUS}motion-", layout.features("motion"), layout.model(layout.MOTION_CNN)),
    "tune": (f"{layout.TABLES}table1.", layout.TUNE_RNN),
    "rnn": (layout.EMBEDDINGS, *(layout.model(layout.rnn(stream)) for stream in layout.RNN_STREAMS)),
    "svm": (f"{layout.TABLES}svm.", layout.TUNE_SVM),
    "fusion": (layout.model(layout.FUSION),),
    "evaluate": tuple(
        f"{layout.TABLES}{name}" for name in ("predictions.", "ablation.", "table2.", "confusion.", "classes.")
    ),
    "anomaly": (
        f"{layout.TABLES}anomaly.",
        f"{layout.TABLES}anomaly_holdout.",
        layout.model(layout.AUTOENCODER),
        layout.HOLDOUT,
    ),
}


@dataclass(frozen=True)
class Root:
    """A root and the configuration that this run is to use on it."""

    store: Store
    config: Config
    stored: Config | None  # what the root's config.yaml says; None in a new root
    replace: str | None = None  # the stage that is to be deleted and made again
    holdout: str | None = None  # a class that nothing may be trained on
    command: str | None = None  # what runs the stages, where that is not each stage's own verb
    kind_is_said: bool = True  # whether data.dataset was given, now or when this source was catalogued; else a default

    @property
    def output(self) -> Store:
        """Where what is learnt goes: the root itself, or a folder of it for what is learnt without a class."""
        if self.holdout is None:
            return self.store
        return open_store(f"{self.store.url}/{layout.holdout(self.holdout)}", self.config.storage)

    def without(self, label: str) -> "Root":
        """This root as if no video of the class `label` were there to be trained on or to choose by."""
        return dataclasses.replace(self, holdout=label, replace=None)

    def further(self, seed: int) -> int | None:
        """How layout.model wants to be told of a seed: None for the first of `seeds`."""
        return None if seed == self.config.seeds[0] else seed

    def is_there(self) -> bool:
        """Whether anything has been made here."""
        return self.stored is not None or self.begun("catalog")

    def begun(self, stage: str) -> bool:
        return _store_of(self, stage).exists(_begun_key(stage))

    def clear(self, stage: str, inputs: Mapping[str, str] | None = None) -> None:
        """Delete `stage`, made from `inputs`, and every stage after it, if that is what is to be replaced.

        Called by `begin` once the stage has checked its input, so that a typing error costs nothing. Where the same
        command was interrupted after its deletion, what it has made since stays: decision 0025.
        """
        if self.replace != stage:
            return
        if self.clears(stage, inputs):
            self.store.delete(layout.replacement(stage))
            for name in reversed(_from(stage)):
                for prefix in (*STAGES[name], layout.replacement(name), layout.stage(name)):
                    _delete(self.store, prefix)
        put_changed(self.store, layout.replacement(stage), json.dumps(_intent(self, stage, inputs)).encode())

    def clears(self, stage: str, inputs: Mapping[str, str] | None = None) -> bool:
        """Whether `clear` has something to delete: not where an interrupted --replace has done so and is to go on."""
        if self.replace != stage:
            return False
        before, now = _replacement(self, stage), _intent(self, stage, inputs)
        # A verb removes the note when it finishes its stage, so one of the stage's own verb says that it is unfinished.
        is_same = before in (now, now | {"command": stage})
        return not (is_same and _is_made_from(self, stage, inputs))

    def finish(self, stage: str, command: str | None = None) -> None:
        """`command`, by default the stage's own verb, has come to its end: the next --replace deletes again."""
        if _replacement(self, stage).get("command") == (command or stage):
            self.store.delete(layout.replacement(stage))

    def warnings(self) -> list[str]:
        """What differs between the root and this run and is no error."""
        return server.differences(self.config, self.stored, self.store.url)

    def save_config(self) -> None:
        """Store this run's configuration, unless the root holds it already."""
        if self.config != self.stored:
            self.store.put(layout.CONFIG, configuration.dump(self.config).encode())

    def catalog(self) -> pa.Table:
        """The catalog [N rows, schema.CATALOG]. InputError where there is none.

        Of a class that is held out only the test videos are left, and their label is null: nothing knows the class.
        """
        try:
            data = self.store.read(layout.CATALOG)
        except FileNotFoundError:
            raise InputError(
                f"{self.store.url}: there is no catalog here; run `actionrec catalog SRC --root {self.store.url}` first"
            ) from None
        table = schema.from_parquet(data, schema.CATALOG, f"{self.store.url}/{layout.CATALOG}")
        if self.holdout is None:
            return table
        is_held = pc.fill_null(pc.equal(table["label"], self.holdout), False)
        column = table.schema.get_field_index("label")
        table = table.set_column(column, "label", pc.if_else(is_held, None, table["label"]))
        return table.filter(pc.invert(pc.and_(is_held, pc.fill_null(pc.not_equal(table["split"], "test"), True))))


def open_root(
    url: str,
    layers: Sequence[Mapping[str, Any]] = (),
    replace: str | None = None,
    named: Mapping[str, Any] = MappingProxyType({}),
) -> Root:
    """The root at `url` with the defaults, then its config.yaml, then `named`, then `layers` laid over them.

    Of a named configuration, data.source, data.dataset and data.split count only for a source that is new to the root:
    one that is there keeps what it was catalogued with, so that `--config demo` again changes nothing.

    Only `layers` and the environment say which server is talked to: see own_storage, whose InputError this raises too.
    Where that would change a stage that has begun, raises InputError naming the keys, unless `replace` names that stage
    or one before it.
    """
    if replace is not None and replace not in STAGES:
        raise InputError(f"--replace {replace}: there is no such stage; there are {', '.join(STAGES)}")
    given = configuration.load(layers)
    store = open_store(url, given.storage)
    stored_layers = _stored_layers(store)
    stored = configuration.load(stored_layers) if stored_layers else None
    is_new = stored is None or _with_absolute_source(given).data.source not in (None, stored.data.source)
    layers = [named if is_new else _without_source(named), *layers]
    config = dataclasses.replace(
        configuration.load([*stored_layers, *layers]), storage=server.own_storage(layers, stored, store.url)
    )
    kind_is_said = not is_new or any("dataset" in layer.get("data", {}) for layer in layers)
    root = Root(store, _with_absolute_source(config), stored, replace, kind_is_said=kind_is_said)
    _refuse_changes(root)
    return root


def absolute(source: str) -> str:
    """A local path made absolute; a URL as it is."""
    return source.rstrip("/") if "://" in source else os.path.abspath(os.path.expanduser(source))


def _without_source(named: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in named.get("data", {}).items() if key not in ("source", "dataset", "split")}
    return {**named, "data": kept}


def _with_absolute_source(config: Config) -> Config:
    """The stored configuration must mean the same from every working directory."""
    if config.data.source is None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=absolute(config.data.source)))


def _from(stage: str) -> list[str]:
    """`stage` and all that follow it. Nothing follows from the sweep: it compares, and trains no model that is used."""
    return [stage] if stage == "tune" else list(STAGES)[list(STAGES).index(stage) :]


def _intent(root: Root, stage: str, inputs: Mapping[str, str] | None) -> dict[str, Any]:
    """What a --replace is to make: by which command, and a hash of the settings of all that it deletes."""
    parts = [FORMAT, {name: settings(name, root.config) for name in _from(stage)}, dict(inputs or {})]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return {"command": root.command or stage, "fingerprint": digest}


def _replacement(root: Root, stage: str) -> dict[str, Any]:
    """The note of an unfinished --replace of the stage; empty where there is none, or none that can be read."""
    try:
        found = json.loads(root.store.read(layout.replacement(stage)))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_made_from(root: Root, stage: str, inputs: Mapping[str, str] | None) -> bool:
    """Whether what there is of the stage, if anything, is what this run would make."""
    if not root.begun(stage):
        return True
    if stage == "catalog":
        return _made_with(root, stage) == settings(stage, root.config)
    try:
        return bool(record(root, stage)["fingerprint"] == fingerprint(stage, root.config, inputs or {}))
    except InputError:
        return False  # damaged


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
                f"{root.store.url}: the stage {stage} was made with other settings: {changes}; leave "
                f"{_said_by(keys)} out, and it stays as it is; or use another --root; or --replace {stage} to delete "
                "it and all that follows"
            )


def _said_by(keys: Sequence[str]) -> str:
    """How a person can have said these keys."""
    is_data = any(key.startswith("data.") for key in keys)
    return "`--config` or `--set`" if not is_data else "SRC, `--dataset`, `--split`, `--config` or `--set`"


def _made_with(root: Root, stage: str) -> dict[str, Any]:
    if stage == "catalog":
        return settings(stage, root.stored or root.config)
    recorded: dict[str, Any] = record(root, stage)["settings"]
    return recorded


_SVM = ("tune.l2", "fusion.l2", "fusion.normalization", "fusion.max_iterations")
_SECTIONS: dict[str, tuple[str, ...]] = {
    "catalog": ("data.", "seed"),
    "spatial": ("finetune.", "frame.", "clip."),
    "extract": ("clip.", "sampling.", "flow.", "frame.", "audio.", "seed"),
    "motion": ("motion.",),
    "tune": ("rnn.", "tune.stream", *_SVM),
    "rnn": ("rnn.",),
    "svm": (*_SVM, "fusion.missing", "streams"),
    "fusion": ("fusion.", "streams"),
    "evaluate": ("fusion.bootstrap",),
    "anomaly": ("anomaly.", "streams"),
}
_TRAINED = ("spatial", "motion", "rnn", "anomaly")


def settings(stage: str, config: Config) -> dict[str, Any]:
    """Dotted key -> value of exactly the knobs that can change what `stage` writes for a video that does not fail."""
    if stage == "extract" and config.data.dataset == "features":
        return {}  # imported: nothing but the file decides
    flat = configuration.flatten(config)
    irrelevant = {"clip.allow_partial", "motion.embed_batch"}  # like limits.*, the first only decides which videos fail
    if stage == "catalog" and config.data.dataset not in ("ucf101", "hmdb51"):
        irrelevant |= {"data.split"}
    if config.flow.model == "dis":
        irrelevant |= {"flow.weights", "flow.checkpoint"}
    if stage == "extract" and not configuration.random_networks(config):
        irrelevant |= {"seed"}
    if stage == "tune":
        irrelevant |= {f"rnn.{name}" for name in ("cell", "units", "layers", "bidirectional", "attention", "heads")}
    if not config.rnn.attention or config.rnn.heads == 1:  # as it was before there was a choice
        irrelevant |= {"rnn.heads"}
    if stage == "fusion":
        irrelevant |= {"fusion.bootstrap"} | (set() if config.fusion.refit else {"fusion.refit"})
    names = tuple(name for name in _SECTIONS[stage] if name.endswith("."))
    chosen = {
        key: list(value) if isinstance(value, tuple) else value  # as JSON gives it back
        for key, value in flat.items()
        if key not in irrelevant and (key.startswith(names) or key in _SECTIONS[stage])
    }
    # Further seeds are models of their own, so they may be added later.
    return chosen | ({"seeds[0]": config.seeds[0]} if stage in _TRAINED else {})


def fingerprint(stage: str, config: Config, inputs: Mapping[str, str]) -> str:
    """A hash of everything that decides the stage's values: its settings, and the hash of each of its inputs.

    The inputs are the sha256 of networks' weights, the fingerprints of earlier stages, and what videos were used.
    """
    parts = {"format": FORMAT, "settings": settings(stage, config), "inputs": dict(inputs)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def begin(root: Root, stage: str, inputs: Mapping[str, str]) -> str:
    """Mark the stage as begun and return its fingerprint; refuse to mix with what was made from something else.

    Where the stage is to be replaced, it and all that follows is deleted first. Called once the input is checked.
    """
    root.clear(stage, inputs)
    mine = fingerprint(stage, root.config, inputs)
    begun: dict[str, Any] = {"fingerprint": mine, "inputs": dict(inputs), "settings": settings(stage, root.config)}
    store = _store_of(root, stage)
    if not root.begun(stage):
        store.put_new(layout.stage(stage), json.dumps(begun, indent=1).encode())
    theirs = record(root, stage)  # another driver may have been first
    if theirs["fingerprint"] != mine:
        names = [f"{kind} {name}" for kind in ("inputs", "settings") for name in _differing(begun[kind], theirs[kind])]
        raise InputError(
            f"{store.url}: the stage {stage} was made with other {', '.join(names) or 'versions of this program'}; "
            f"use another --root, or --replace {stage}"
        )
    root.save_config()
    return mine


def record(root: Root, stage: str) -> dict[str, Any]:
    """What a stage was begun with: its fingerprint, its settings and its inputs. InputError: it has not begun."""
    store, key = _store_of(root, stage), layout.stage(stage)
    try:
        found: dict[str, Any] = json.loads(store.read(key))
        if isinstance(found["settings"], dict) and isinstance(found["inputs"], dict) and found["fingerprint"]:
            return found
    except FileNotFoundError:
        raise InputError(f"{root.store.url}: {_WANTING.get(stage, stage)} first") from None
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{store.url}/{key}: damaged; use --replace {stage}")


_WANTING = {
    "tune": "there is no sweep here; run `actionrec tune rnn`",
    "extract": "there are no features here; run `actionrec extract`",
    "motion": "there is no motion CNN here; run `actionrec train motion`",
    "rnn": "there are no recurrent networks here; run `actionrec train rnn`",
    "svm": "there is no search over the SVM here; run `actionrec tune svm`",
    "fusion": "there is no fused model here; run `actionrec train fusion`",
    "anomaly": "there is no autoencoder here; run `actionrec anomaly`",
}


def _begun_key(stage: str) -> str:
    return layout.CATALOG if stage == "catalog" else layout.stage(stage)


def _store_of(root: Root, stage: str) -> Store:
    """Catalog and features are shared by everything that is learnt from them."""
    return root.store if stage in ("catalog", "spatial", "extract") else root.output


def _delete(store: Store, prefix: str) -> None:
    folder, _, start = prefix.rpartition("/")
    if start.endswith(("-", ".")):
        for key in [key for key in store.sizes(f"{folder}/") if key.startswith(prefix)]:
            store.delete(key)
    else:
        store.delete(prefix)


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
