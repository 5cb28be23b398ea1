"""The state of a root: its stored configuration, which stages have begun, and what each stage was made with."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import config as configuration
from actionrec import schema
from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.storage import layout, server, stages, streams
from actionrec.storage.stages import STAGES, differing, settings
from actionrec.storage.store import Store, open_store, put_changed

FORMAT = 1  # raised when the meaning of a stored value changes, so that old roots are refused rather than mixed
CATALOG = "catalog"  # the one stage without a record: its settings are those of the root's config.yaml


@dataclass(frozen=True)
class Root:
    """A root and the configuration that this run is to use on it."""

    store: Store
    config: Config
    stored: Config | None  # what the root's config.yaml says; None in a new root
    replaced: tuple[str, ...] = ()  # the stages that are to be deleted and made again
    holdout: str | None = None  # a class that nothing may be trained on
    command: str | None = None  # what runs the stages, where that is not each stage's own verb

    @property
    def output(self) -> Store:
        """Where what is learnt goes: the root itself, or a folder of it for what is learnt without a class."""
        if self.holdout is None:
            return self.store
        return open_store(f"{self.store.url}/{layout.holdout(self.holdout)}", self.config.storage)

    def without(self, label: str) -> "Root":
        """This root as if no video of the class `label` were there to be trained on or to choose by."""
        return dataclasses.replace(self, holdout=label, replaced=())

    def further(self, seed: int) -> int | None:
        """How layout.model wants to be told of a seed: None for the first of `seeds`."""
        return None if seed == self.config.seeds[0] else seed

    def begun(self, stage: str) -> bool:
        return _store_of(self, stage).exists(_begun_key(stage))

    def clear(self, stage: str, inputs: Mapping[str, str] | None = None) -> None:
        """Delete `stage`, made from `inputs`, and every stage that is made from it, if it is to be replaced.

        Called by `begin` once the stage has checked its input, so that a typing error costs nothing. Where the same
        command was interrupted after its deletion, what it has made since stays: decision 0025.
        """
        if stage not in self.replaced:
            return
        if self.clears(stage, inputs):
            self.store.delete(layout.replacement(stage))
            for name in reversed(_from(self, stage)):
                for prefix in (*STAGES[name].owns, layout.replacement(name), layout.stage(name)):
                    _delete(self.store, prefix)
        put_changed(self.store, layout.replacement(stage), json.dumps(_intent(self, stage, inputs)).encode())

    def clears(self, stage: str, inputs: Mapping[str, str] | None = None) -> bool:
        """Whether `clear` has something to delete: not where an interrupted --replace has done so and is to go on."""
        if stage not in self.replaced:
            return False
        before, now = _replacement(self, stage), _intent(self, stage, inputs)
        # A verb removes the note when it finishes its stage, so one of the stage's own verb says that it is unfinished.
        is_same = before in (now, now | {"command": STAGES[stage].verb})
        return not (is_same and _is_made_from(self, stage, inputs))

    def finish(self, verb: str, command: str | None = None) -> None:
        """`command`, by default the verb itself, has made all that the verb makes: the next --replace deletes again."""
        for stage in stages.named(verb):
            if _replacement(self, stage).get("command") == (command or verb):
                self.store.delete(layout.replacement(stage))

    def warnings(self) -> list[str]:
        """What differs between the root and this run and is no error."""
        return server.differences(self.config, self.stored, self.store.url)

    def save_config(self) -> None:
        """Store what this run has changed of the configuration; what another run has changed meanwhile stays."""
        if self.config == self.stored:
            return
        old = configuration.flatten(self.stored or configuration.Config())
        changes = {key: value for key, value in configuration.flatten(self.config).items() if value != old[key]}
        config = configuration.load([*_stored_layers(self.store), configuration.nested(changes)])
        put_changed(self.store, layout.CONFIG, configuration.dump(config).encode())

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


def open_root(url: str, layers: Sequence[Mapping[str, Any]] = (), replace: str | None = None) -> Root:
    """The root at `url` with the defaults, then its config.yaml, then `layers` laid over them.

    Only `layers` and the environment say which server is talked to: see own_storage, whose InputError this raises too.
    Where that would change a stage that has begun, raises InputError naming the keys, unless `replace` names that stage
    or one before it.
    """
    replaced = () if replace is None else stages.named(replace)
    if replace is not None and not replaced:
        raise InputError(f"--replace {replace}: there is no such stage; there are {', '.join(STAGES)}")
    store = open_store(url, configuration.load(layers).storage)
    stored_layers = _stored_layers(store)
    stored = configuration.load(stored_layers) if stored_layers else None
    config = dataclasses.replace(
        configuration.load([*stored_layers, *layers]), storage=server.own_storage(layers, stored, store.url)
    )
    streams.check(config)
    root = Root(store, _with_absolute_source(config), stored, replaced)
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


def _from(root: Root, *names: str) -> list[str]:
    """These stages and all that is made from them, as the root was configured and as it is to be."""
    return stages.following(names, [root.config, *([root.stored] if root.stored else [])])


def _intent(root: Root, stage: str, inputs: Mapping[str, str] | None) -> dict[str, Any]:
    """What a --replace is to make: by which command, and a hash of the settings of all that it deletes."""
    parts = [FORMAT, {name: settings(name, root.config) for name in _from(root, stage)}, dict(inputs or {})]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return {"command": root.command or STAGES[stage].verb, "fingerprint": digest}


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
    if stage == CATALOG:
        return not differing(_made_with(root, stage), settings(stage, root.config))
    try:
        return not _changes(record(root, stage), _described(root, stage, inputs or {}))
    except InputError:
        return False  # damaged


def _refuse_changes(root: Root) -> None:
    """InputError naming the keys in which this run's configuration differs from what a begun stage was made with."""
    replaced = _from(root, *root.replaced)
    for stage in (stage for stage in STAGES if stage not in replaced and root.begun(stage)):
        old, new = _made_with(root, stage), settings(stage, root.config)
        if keys := differing(old, new):
            changes = ", ".join(f"{key} (it was {old.get(key)!r}, now {new.get(key)!r})" for key in keys)
            raise InputError(
                f"{root.store.url}: the stage {stage} was made with other settings: {changes}; "
                f"use another --root, or --replace {stage} to delete it and all that is made from it"
            )


def _made_with(root: Root, stage: str) -> dict[str, Any]:
    if stage == CATALOG:
        return settings(stage, root.stored or root.config)
    recorded: dict[str, Any] = record(root, stage)["settings"]
    return recorded


def fingerprint(stage: str, config: Config, inputs: Mapping[str, str]) -> str:
    """A hash of everything that decides the stage's values: its settings, and the hash of each of its inputs.

    The inputs are the sha256 of networks' weights, the fingerprints of earlier stages, and what videos were used.
    """
    parts = {"format": FORMAT, "settings": settings(stage, config), "inputs": dict(inputs)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def begin(root: Root, stage: str, inputs: Mapping[str, str]) -> str:
    """Mark the stage as begun and return its fingerprint; refuse to mix with what was made from something else.

    Where the stage is to be replaced, it and all that is made from it is deleted first. Called once the input is
    checked. The fingerprint is the one that the stage was begun with, by which its files go ever after: what a later
    release would call the same settings and inputs does not matter.
    """
    root.clear(stage, inputs)
    mine = _described(root, stage, inputs)
    store = _store_of(root, stage)
    if not root.begun(stage):
        store.put_new(layout.stage(stage), json.dumps(mine, indent=1).encode())
    theirs = record(root, stage)  # another driver may have been first
    if names := _changes(theirs, mine):
        raise InputError(
            f"{store.url}: the stage {stage} was made with other {', '.join(names)}; "
            f"use another --root, or --replace {stage}"
        )
    root.save_config()
    return str(theirs["fingerprint"])


def record(root: Root, stage: str) -> dict[str, Any]:
    """What a stage was begun with: its fingerprint, its settings and its inputs. InputError: it has not begun."""
    store, key = _store_of(root, stage), layout.stage(stage)
    try:
        found: dict[str, Any] = json.loads(store.read(key))
        if isinstance(found["settings"], dict) and isinstance(found["inputs"], dict) and found["fingerprint"]:
            return found
    except FileNotFoundError:
        raise InputError(f"{root.store.url}: {STAGES[stage].wanting} first") from None
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{store.url}/{key}: damaged; use --replace {stage}")


def made_from(root: Root, *names: str) -> dict[str, str]:
    """The fingerprints of these stages, as the inputs of one that is made from them. InputError: one has not begun."""
    return {name: str(record(root, name)["fingerprint"]) for name in names}


def _described(root: Root, stage: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fingerprint": fingerprint(stage, root.config, inputs),
        "inputs": dict(inputs),
        "settings": settings(stage, root.config),
    }


def _changes(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """In what two descriptions of a stage differ, in words."""
    inputs = sorted(
        name
        for name in theirs["inputs"].keys() | mine["inputs"].keys()
        if theirs["inputs"].get(name) != mine["inputs"].get(name)
    )
    names = [f"inputs {name}" for name in inputs]
    names += [f"settings {name}" for name in differing(theirs["settings"], mine["settings"])]
    return names if theirs.get("format", FORMAT) == FORMAT else [*names, "versions of this program"]


def _begun_key(stage: str) -> str:
    return layout.CATALOG if stage == CATALOG else layout.stage(stage)


def _store_of(root: Root, stage: str) -> Store:
    """Catalog and features are shared by everything that is learnt from them."""
    return root.store if STAGES[stage].shared else root.output


def _delete(store: Store, prefix: str) -> None:
    folder, _, start = prefix.rpartition("/")
    if start.endswith(("-", ".")):
        for key in [key for key in store.sizes(f"{folder}/") if key.startswith(prefix)]:
            store.delete(key)
    else:
        store.delete(prefix)


def _stored_layers(store: Store) -> list[dict[str, Any]]:
    try:
        text = store.read(layout.CONFIG).decode()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise InputError(f"{store.url}/{layout.CONFIG}: not text; restore it or use another --root") from None
    return [configuration.parse_layer(text, f"{store.url}/{layout.CONFIG}")]
