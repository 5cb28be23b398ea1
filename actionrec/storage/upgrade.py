"""A root that an earlier release made becomes one of today's layout, and no feature, model or table is touched.

Only marks and records are written: of each part a mark for each stream, of each stage a record under the fingerprint by
which its files already go. What is new is written beside what is there, records that keep their key come after it, and
the deletion of extract's record is the one commit: until then every verb but this one refuses the root. It may be cut
off anywhere and run again, also by two at once, for what it writes follows from what is there. Runs of the earlier
release must have ended: a part that one of them commits meanwhile is computed again.

For 10^6 videos, 62,500 marks are read and 187,500 written, parts.READERS at once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow.compute as pc

from actionrec import schema
from actionrec.errors import InputError
from actionrec.storage import earlier, layout, parts, records, renaming, reopening, replacing, restoring
from actionrec.storage.earlier import EXTRACT, FINETUNE
from actionrec.storage.records import Record
from actionrec.storage.renaming import MOTION, RNN, UNCHANGED, Learnt
from actionrec.storage.root import Root
from actionrec.storage.stages import STAGES, named
from actionrec.storage.store import Store, put_changed
from actionrec.storage.streams import STREAMS

BEFORE = ("catalog", EXTRACT, MOTION, RNN, "tune", *UNCHANGED)  # stages of then that are verbs of now
OnParts = Callable[[int, int], None]  # parts that are done, of how many


@dataclass(frozen=True)
class Upgraded:
    """What has been renamed. Nothing, where the root was one of today's already."""

    stages: tuple[str, ...] = ()
    parts: int = 0  # whose marks have become marks of streams
    removed: int = 0  # files that only the earlier release reads, which an upgrade before this one had left


def upgrade(root: Root, on_parts: OnParts = lambda done, of: None) -> Upgraded:
    """Make the root, opened whatever made it, one of today's. A second call finishes what a first one has begun.

    InputError: a record, a mark or the catalog is damaged. The root then stays what it was. Extract's record is made
    anew if it can be.
    """
    store, done = root.store, 0
    extract = _extract(root)  # first: where it is gone, what else is read is of today
    if extract is None and not earlier.is_earlier(store):
        return Upgraded(removed=_clean(store))
    fresh = renaming.finetuning(root)
    _put(store, "", fresh)
    if extract is not None:
        fresh |= renaming.streams(root, extract)
        made = [name for name in fresh if name != "finetune"]
        _put(store, "", {name: record for name, record in fresh.items() if name != FINETUNE})
        done = _split(store, made, extract["fingerprint"], on_parts)
    kept = {}
    for learnt in _learnt(root):
        _put(store, learnt.prefix, learnt.motion_cnn())
        _put(store, learnt.prefix, learnt.networks())
        kept[learnt.prefix] = learnt.kept_keys()
    _rename_notes(root, kept[""] | fresh)
    for prefix, found in kept.items():
        _put(store, prefix, found)
    if extract is None:
        store.delete(layout.stage(FINETUNE))
    else:
        _put(store, "", {FINETUNE: fresh[FINETUNE]})
    store.delete(layout.stage(EXTRACT))
    _clean(store)
    return Upgraded(tuple(stage for stage in STAGES if root.begun(stage)), done)


def _extract(root: Root) -> Record | None:
    """Extract's record, put back where it was damaged or lost; None where it has not begun or has been upgraded."""
    store, key = root.store, layout.stage(EXTRACT)
    if earlier.read(store, key) != {} and not _is_lost(store):
        return earlier.record(store, key)
    found = restoring.extract(store, root.config)
    if found is None:
        raise InputError(
            f"{store.url}/{key}: damaged or gone, and what config.yaml and weights/ say is not what the marks go by; "
            "restore it from a copy; if there is none, nobody knows how these features were made, so catalog and "
            "extract the videos under another --root"
        )
    store.put(key, records.dumped(found))
    return found


def _is_lost(store: Store) -> bool:
    """Whether what was made from extract is there, and neither its record nor what an upgrade makes of that."""
    if store.exists(layout.stage(EXTRACT)):
        return False
    renamed = (earlier.read(store, layout.stage(name)) for name, row in STREAMS.items() if row.decoded)
    is_of_then = bool(parts.marked(store, EXTRACT)) or store.exists(layout.stage(RNN))
    return is_of_then and not any(found is not None and "format" in found for found in renamed)


def _put(store: Store, prefix: str, found: Mapping[str, Record]) -> None:
    for stage, record in found.items():
        put_changed(store, f"{prefix}{layout.stage(stage)}", records.dumped(record))


def _split(store: Store, streams: Sequence[str], fingerprint: str, on_parts: OnParts) -> int:
    """Give each stream its rows of every mark, and of what is kept of reopened parts; how many parts have marks."""
    marks, written = parts.marked(store, EXTRACT), [parts.marked(store, stream) for stream in streams]
    waiting = [part for part in sorted(marks) if not all(part in each for each in written)]

    def split(key_of: Callable[[str, int], str], part: int) -> None:
        key = key_of(EXTRACT, part)
        try:
            data = store.read(key)
        except FileNotFoundError:
            return  # another upgrade has come to its end meanwhile
        table = schema.from_parquet(data, schema.STATUS, f"{store.url}/{key}")
        if schema.fingerprint_of(data) == fingerprint:  # else a worker wrote it that outlived a --replace
            for stream in streams:
                rows = table.filter(pc.equal(table["stream"], stream))
                store.put(key_of(stream, part), schema.to_parquet(rows, fingerprint))

    with ThreadPoolExecutor(parts.READERS) as pool:
        list(pool.map(lambda part: split(layout.reopened, part), _reopened(store)))
        for done, _ in enumerate(pool.map(lambda part: split(layout.commit_mark, part), waiting), 1):
            on_parts(len(marks) - len(waiting) + done, len(marks))
    return len(marks)


def _reopened(store: Store) -> list[int]:
    found = (layout.part_of_reopened(EXTRACT, key) for key in store.sizes(layout.REOPENED))
    return [part for part in found if part is not None]


def _learnt(root: Root) -> list[Learnt]:
    """The root itself, and what was learnt without a class that is still in the catalog: nothing asks for another."""
    _, *folders = reopening.outputs(root.store)
    classes = set(root.catalog()["label"].to_pylist()) - {None} if folders else ()
    labels = {f"{layout.holdout(label)}/": label for label in classes}
    return [Learnt(root, ""), *(Learnt(root.without(labels[name]), name) for name in folders if name in labels)]


def _rename_notes(root: Root, made: Mapping[str, Record]) -> None:
    """Let a --replace that was interrupted go on when it is typed again, rather than delete what it has made since."""
    store = root.store
    is_renamed = bool(replacing.noted(store, "flow"))  # then the note of spatial is the stream's, written after flow's
    if not is_renamed and (note := replacing.noted(store, FINETUNE)):
        _put_note(root, "finetune", None if note.get("command") == FINETUNE else note.get("command"), made)
        store.delete(layout.replacement(FINETUNE))
    for before in BEFORE:
        if note := replacing.noted(store, before):
            for stage in named(before):
                _put_note(root, stage, None if note.get("command") == before else note.get("command"), made)


def _put_note(root: Root, stage: str, command: str | None, made: Mapping[str, Record]) -> None:
    record = made.get(stage) or earlier.read(root.store, layout.stage(stage))
    if record or not STAGES[stage].recorded:  # else it has not begun since
        note = replacing.note(stage, command, root.config, record["inputs"] if record else None)
        put_changed(root.store, layout.replacement(stage), json.dumps(note).encode())


def _clean(store: Store) -> int:
    """Remove what only the earlier release reads; how many files that were."""
    marks = [layout.commit_mark(EXTRACT, part) for part in parts.marked(store, EXTRACT)]
    reopened = [layout.reopened(EXTRACT, part) for part in _reopened(store)]
    networks = [f"{prefix}{layout.stage(RNN)}" for prefix in reopening.outputs(store)]
    with ThreadPoolExecutor(parts.READERS) as pool:
        few = [key for key in [*networks, *map(layout.replacement, (EXTRACT, RNN))] if store.exists(key)]
        list(pool.map(store.delete, found := [*marks, *reopened, *few]))
    return len(found)
