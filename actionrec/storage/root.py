"""The state of a root: its stored configuration, which stages have begun, and what each stage was made with."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import config as configuration
from actionrec import schema
from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.storage import earlier, layout, outdated, records, replacing, server, stages, streams
from actionrec.storage.stages import STAGES, differing, settings
from actionrec.storage.store import Store, open_store, put_changed


@dataclass(frozen=True)
class Root:
    """A root and the configuration that this run is to use on it."""

    store: Store
    config: Config
    stored: Config | None  # what the root's config.yaml says; None in a new root
    replaced: tuple[str, ...] = ()  # the stages that are to be deleted and made again
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
        return dataclasses.replace(self, holdout=label, replaced=())

    def further(self, seed: int) -> int | None:
        """How layout.model wants to be told of a seed: None for the first of `seeds`."""
        return None if seed == self.config.seeds[0] else seed

    @property
    def configs(self) -> list[Config]:
        """As the root is to be configured, and as it was: what was made from a stage by either goes with it."""
        return [self.config, *([self.stored] if self.stored else [])]

    def is_there(self) -> bool:
        """Whether anything has been made here."""
        return self.stored is not None or self.begun("catalog")

    def begun(self, stage: str) -> bool:
        return _store_of(self, stage).exists(STAGES[stage].begun)

    def sparing(self, names: Collection[str]) -> "Root":
        """This root where the stages `names` are not replaced. InputError, as of open_root: they would be changed."""
        found = dataclasses.replace(self, replaced=tuple(name for name in self.replaced if name not in names))
        _refuse_changes(found)
        return found

    def clear(self, stage: str, inputs: Mapping[str, str] | None = None) -> None:
        """Delete `stage`, made from `inputs`, and every stage that is made from it, if it is to be replaced.

        Called by `begin` once the stage has checked its input, so that a typing error costs nothing. Where the same
        command was interrupted after its deletion, what it has made since stays: decision 0025.
        """
        if stage not in self.replaced:
            return
        if self.clears(stage, inputs):
            self.store.delete(layout.replacement(stage))
            replacing.delete(self.store, stages.following([stage], self.configs))
        note = replacing.note(stage, self.command, self.config, inputs)
        put_changed(self.store, layout.replacement(stage), json.dumps(note).encode())

    def clears(self, stage: str, inputs: Mapping[str, str] | None = None) -> bool:
        """Whether `clear` has something to delete: not where an interrupted --replace has done so and is to go on."""
        if stage not in self.replaced:
            return False
        # A verb removes its notes when it comes to its end, so one of the stage's own verb says that it is unfinished.
        unfinished = [replacing.note(stage, command, self.config, inputs) for command in (self.command, None)]
        return not (replacing.noted(self.store, stage) in unfinished and _is_made_from(self, stage, inputs))

    def finish(self, verb: str, command: str | None = None) -> None:
        """`command`, by default the verb itself, has made all that the verb makes: the next --replace deletes again."""
        for stage in stages.named(verb):
            if replacing.noted(self.store, stage).get("command") == (command or verb):
                self.store.delete(layout.replacement(stage))

    def warnings(self) -> list[str]:
        """What differs between the root and this run and is no error."""
        return [*server.differences(self.config, self.stored, self.store.url), *_unused(self)]

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


def open_root(
    url: str,
    layers: Sequence[Mapping[str, Any]] = (),
    replace: str | Sequence[str] = (),
    named: Mapping[str, Any] = MappingProxyType({}),
    check: Callable[[Root], None] = lambda root: None,
) -> Root:
    """The root at `url` with the defaults, then its config.yaml, then `named`, then `layers` laid over them.

    Of a named configuration, data.source, data.dataset and data.split count only for a source that is new to the root:
    one that is there keeps what it was catalogued with, so that `--config demo` again changes nothing.

    `replace` names stages, or verbs for all that they make. Where `layers` would change a stage that has begun, raises
    InputError naming the keys, unless `replace` names that stage or one that it is made from; likewise of a root that
    an earlier release made. Before that, `check` may refuse what makes no sense, be it changed or not.
    """
    root = open_of_any_release(url, layers, replace, named)
    earlier.refuse(root.store)
    check(root)
    _refuse_changes(root)
    return root


def open_of_any_release(
    url: str,
    layers: Sequence[Mapping[str, Any]] = (),
    replace: str | Sequence[str] = (),
    named: Mapping[str, Any] = MappingProxyType({}),
) -> Root:
    """As open_root, whatever made what lies there and with whatever settings.

    Only `layers` and the environment say which server is talked to: see own_storage, whose InputError this raises too.
    """
    replaced = _replaced([replace] if isinstance(replace, str) else replace)
    given = configuration.load(layers)
    store = open_store(url, given.storage)
    stored_layers = _stored_layers(store)
    stored = configuration.load(stored_layers) if stored_layers else None
    is_new = stored is None or _with_absolute_paths(given).data.source not in (None, stored.data.source)
    layers = [named if is_new else _without_source(named), *layers]
    config = dataclasses.replace(
        configuration.load([*stored_layers, *layers]), storage=server.own_storage(layers, stored, store.url)
    )
    streams.check(config)
    kind_is_said = not is_new or any("dataset" in layer.get("data", {}) for layer in layers)
    return Root(store, _with_absolute_paths(config), stored, replaced, kind_is_said=kind_is_said)


def _replaced(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if not stages.named(name):
            raise InputError(f"--replace {name}: there is no such stage; there are {', '.join(STAGES)}")
    return tuple(dict.fromkeys(stage for name in names for stage in stages.named(name)))


def absolute(source: str) -> str:
    """A local path made absolute; a URL as it is."""
    return source.rstrip("/") if "://" in source else os.path.abspath(os.path.expanduser(source))


def _without_source(named: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in named.get("data", {}).items() if key not in ("source", "dataset", "split")}
    return {**named, "data": kept}


def _with_absolute_paths(config: Config) -> Config:
    """The stored configuration must mean the same from every working directory."""
    if config.data.source is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=absolute(config.data.source)))
    if (words := config.baselines.video2vec.word_vectors) is not None:
        video2vec = dataclasses.replace(config.baselines.video2vec, word_vectors=absolute(words))
        config = dataclasses.replace(config, baselines=dataclasses.replace(config.baselines, video2vec=video2vec))
    return config


def _is_made_from(root: Root, stage: str, inputs: Mapping[str, str] | None) -> bool:
    """Whether what there is of the stage, if anything, is what this run would make."""
    if not root.begun(stage):
        return True
    if not STAGES[stage].recorded:
        return not differing(_made_with(root, stage), settings(stage, root.config))
    try:
        return not records.changes(record(root, stage), records.described(stage, root.config, inputs or {}))
    except InputError:
        return False  # damaged


def _refuse_changes(root: Root) -> None:
    """InputError naming the keys in which this run's configuration differs from what a begun stage was made with.

    A stage that this configuration does not make lies there unused, and is compared once it is wanted again.
    """
    replaced = stages.following(root.replaced, root.configs)
    there = [stage for stage in STAGES if root.begun(stage)]
    kept = [stage for stage in there if stage not in replaced and STAGES[stage].made(root.config)]
    made = {stage: _made_with(root, stage) for stage in kept}
    changed = outdated.outdated(made, root.config)
    for stage in changed:
        raise InputError(
            f"{root.store.url}: the stage {stage} was made with other settings: "
            f"{outdated.changes(stage, made[stage], root.config)}; "
            f"{outdated.harmless(stage, made, root.config, root.stored)}or use another --root; or "
            f"{replacing.remedy(changed, there, root.configs)} to delete it and all that is made from it"
        )


def _unused(root: Root) -> list[str]:
    """Warnings of what this run's settings leave unused and would make otherwise: they are stored all the same."""
    if root.config == root.stored:
        return []
    made = {}
    for stage in (name for name in STAGES if name not in root.replaced and root.begun(name)):
        with contextlib.suppress(InputError):  # damaged: who wants to use it is told
            made[stage] = _made_with(root, stage)
    return [f"{root.store.url}: {each}" for each in outdated.unused(made, root.config, root.stored)]


def _made_with(root: Root, stage: str) -> dict[str, Any]:
    if not STAGES[stage].recorded:
        return settings(stage, root.stored or root.config)
    recorded: dict[str, Any] = _recorded(root, stage)["settings"]
    return recorded


def begin(root: Root, stage: str, inputs: Mapping[str, str], *, last: bool = True) -> str:
    """Mark the stage as begun and return its fingerprint; refuse to mix with what was made from something else.

    Where the stage is to be replaced, it and all that is made from it is deleted first, and so is what is to be
    replaced and this configuration makes no more. Called once the input is checked. The fingerprint is the one that the
    stage was begun with, by which its files go ever after: what a later release would call the same settings and inputs
    does not matter. With the `last` of the stages that a command begins, its configuration is stored: a command that is
    refused at any of them changes nothing that a later one reads.
    """
    for unused in (name for name in root.replaced if name != stage and not STAGES[name].made(root.config)):
        root.clear(unused)
    root.clear(stage, inputs)
    mine = records.described(stage, root.config, inputs)
    store = _store_of(root, stage)
    if not root.begun(stage):
        store.put_new(layout.stage(stage), records.dumped(mine))
    theirs = record(root, stage)  # another driver may have been first
    if names := records.changes(theirs, mine):
        raise InputError(
            f"{store.url}: the stage {stage} was made with other {', '.join(names)}; "
            f"use another --root, or --replace {stage}"
        )
    if last:
        root.save_config()
    return str(theirs["fingerprint"])


def record(root: Root, stage: str) -> dict[str, Any]:
    """What a stage was begun with: its fingerprint, its inputs, and its settings that change it. InputError: it has not
    begun."""
    found = _recorded(root, stage)
    return found | {"settings": stages.having_say(stage, root.config, found["settings"])}


def _recorded(root: Root, stage: str) -> dict[str, Any]:
    store, key = _store_of(root, stage), layout.stage(stage)
    try:
        found = records.parsed(store.read(key))
    except FileNotFoundError:
        raise InputError(f"{root.store.url}: {STAGES[stage].wanting}{_as_typed(root, stage)} first") from None
    if found is None:
        raise InputError(f"{store.url}/{key}: damaged; use --replace {stage}")
    return found


def _as_typed(root: Root, stage: str) -> str:
    """What to add to a verb that makes the stage only with settings that were typed: the root does not know them."""
    is_known = root.stored is None or STAGES[stage].made(root.stored) or not STAGES[stage].made(root.config)
    return "" if is_known else " with this command's --config and --set"


def made_from(root: Root, *names: str) -> dict[str, str]:
    """The fingerprints of these stages, as the inputs of one that is made from them. InputError: one has not begun."""
    return {name: str(record(root, name)["fingerprint"]) for name in names}


def _store_of(root: Root, stage: str) -> Store:
    """Catalog and features are shared by everything that is learnt from them."""
    return root.store if STAGES[stage].shared else root.output


def _stored_layers(store: Store) -> list[dict[str, Any]]:
    try:
        text = store.read(layout.CONFIG).decode()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise InputError(f"{store.url}/{layout.CONFIG}: not text; restore it or use another --root") from None
    return [configuration.parse_layer(text, f"{store.url}/{layout.CONFIG}")]
