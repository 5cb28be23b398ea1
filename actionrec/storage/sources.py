"""Where videos come from: lists a source, builds its catalog, and keeps a root's catalog up with it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import schema
from actionrec.catalog.source import SourceFile, has_video_extension
from actionrec.catalog.table import Catalog, build, refuse_unasked
from actionrec.config import Config, Data
from actionrec.errors import GoneError, InputError
from actionrec.storage import changes, layout, parts, reopening
from actionrec.storage.records import fingerprint
from actionrec.storage.root import Root, record
from actionrec.storage.samples import all_made
from actionrec.storage.stages import STAGES
from actionrec.storage.store import Store, open_store
from actionrec.storage.streams import extracted


@dataclass(frozen=True)
class Catalogued:
    """What `catalog` found: the root's table now, how many of its videos are new to the root, and warnings."""

    table: pa.Table
    new: int
    warnings: list[str]


def source_folder(data: Data) -> str:
    """The folder or prefix that holds the videos: a CSV's own folder, else the source itself."""
    if data.source is None:
        raise InputError("data.source: no source is given; name the folder, CSV or bucket that holds the videos")
    return data.source.rpartition("/")[0] if data.dataset in ("csv", "features") else data.source


def catalog(root: Root) -> Catalogued:
    """Catalog `data.source` into the root. A catalog that is up to date is not written again.

    New videos are added, failed ones may go. Of files that have changed, whatever their size, the features lose their
    marks, so that the next extraction makes them anew, and the catalog counts the change, so that models that learnt
    from them are known to be out of date. Where files with features are gone: InputError, unless the stage is replaced;
    GoneError, which is one too, where no catalogued file is left.
    """
    folder = source_folder(root.config.data).rstrip("/") + "/"
    store = _open_source(root.config, folder)
    contents = store.contents()
    is_kept, old = root.begun("catalog") and not root.clears("catalog"), schema.CATALOG.empty_table()
    if is_kept:
        old = root.catalog()
        _refuse_moved(root, old, {folder + key for key in contents})
    found = _read_source(root, store, {key: size for key, (size, _) in contents.items()})
    table, changed = _with_versions(found.table, folder, contents), set[str]()
    if is_kept:
        _refuse_gone(root, old, table)
        changed = changes.changed(root, store, folder, old, table)
        table = changes.counted(root, old, table, changed)
    warnings = [*found.warnings, *_moved(old, table), *changes.warnings(changed)]
    root.clear("catalog")
    root.save_config()
    if changed:  # before the catalog: cut off here, the next run finds them changed again
        reopening.changed(root, changed)
    if not table.equals(old):
        mark = fingerprint("catalog", root.config, {})
        root.store.put(layout.CATALOG, schema.to_parquet(table, mark))
    return Catalogued(table, table.num_rows - old.num_rows, warnings)


def kept(root: Root, gone: GoneError, retry_failed: bool) -> Catalogued:
    """The catalog as it stands, for a run whose source is `gone`, with a warning; raises where the source is needed.

    It is where a stage is replaced that reads videos, or a video has still to be extracted, or to be tried again.
    """
    reads_videos = any(STAGES[name].shared for name in root.replaced)  # what is learnt reads features
    if reads_videos or not root.begun("catalog"):
        raise gone
    table = root.catalog()
    if waiting := set(table["video_id"].to_pylist()) - _extracted(root, retry_failed):
        raise GoneError(
            f"{root.config.data.source}: not there any more, and {len(waiting):,} of {table.num_rows:,} videos have "
            f"still to be extracted, the first is {min(waiting)!r}; bring it back, and the same command goes on"
        )
    sentence = f"{root.config.data.source}: not there any more, and nothing needs it; the catalog stays as it is"
    return Catalogued(table, 0, [sentence])


def refuse_needed(root: Root, table: pa.Table, retry_failed: bool) -> None:
    """GoneError where the source of the catalog `table` is gone, and `kept` would say that it is needed."""
    try:
        refuse_absent(root, table)
    except GoneError as gone:
        kept(root, gone, retry_failed)


def refuse_absent(root: Root, table: pa.Table) -> None:
    """GoneError where none of the files of the catalog `table` is there any more: the source is gone, not a video."""
    folder = source_folder(root.config.data).rstrip("/") + "/"
    there = table.filter(pc.is_valid(table["bytes"]))["path"].to_pylist()
    keys = [path.removeprefix(folder) for path in there]
    store = open_store(folder, root.config.storage)
    if keys and not _is_there(store, keys[0]) and store.sizes().keys().isdisjoint(keys):
        raise GoneError(
            f"{root.config.data.source}: none of the {len(keys):,} catalogued videos is there any more; bring them back"
        )


def _is_there(store: Store, key: str) -> bool:
    """Asked of one file, for a listing of a million takes minutes. Where it may not be looked at, the listing tells."""
    try:
        return store.exists(key)
    except (InputError, FileNotFoundError):
        return False


def _extracted(root: Root, retry_failed: bool) -> set[str]:
    """The videos that the extraction is done with, be it that they failed; with `retry_failed` not those."""
    done: list[set[str]] = []
    for stream in extracted(root.config):
        if not root.begun(stream):
            return set()
        status = parts.statuses(root.store, stream, record(root, stream)["fingerprint"])
        is_done = pc.not_equal(status["status"], "failed") if retry_failed else pa.array([True] * len(status))
        done.append(set(status.filter(is_done)["video_id"].to_pylist()))
    return set.intersection(*done) if done else set()


def _open_source(config: Config, folder: str) -> Store:
    source = str(config.data.source)
    if source.lower().endswith((".csv", ".tsv")) and config.data.dataset != "csv":
        raise InputError(
            f"{source}: this looks like a CSV, which is not read as {config.data.dataset}; add --dataset csv"
        )
    return open_store(folder, config.storage)


def _read_source(root: Root, store: Store, sizes: Mapping[str, int | None]) -> Catalog:
    config = root.config
    folder, source = source_folder(config.data).rstrip("/") + "/", str(config.data.source)
    if not sizes:
        raise GoneError(f"{source}: there is nothing there; name a folder, CSV or bucket that holds videos")

    def read(path: str) -> bytes:
        try:
            return store.read(path.removeprefix(folder))
        except (FileNotFoundError, PermissionError):
            raise InputError(f"{path}: the file is not there or may not be read") from None

    listing = [SourceFile(key, size) for key, size in sizes.items()]
    if not root.kind_is_said:
        refuse_unasked(listing, source)
    return build(listing, read, source, config.data, config.seed)


def _with_versions(table: pa.Table, folder: str, contents: Mapping[str, tuple[int | None, str | None]]) -> pa.Table:
    keys = [path.removeprefix(folder) for path in table["path"].to_pylist()]
    versions = pa.array([contents.get(key, (None, None))[1] for key in keys], pa.string())
    return table.set_column(table.schema.get_field_index("version"), "version", versions)


def _refuse_moved(root: Root, old: pa.Table, there: Collection[str]) -> None:
    """GoneError where features were made of the catalogued files, and `there` is none of these and no other video."""
    catalogued = set(old.filter(pc.is_valid(old["bytes"]))["path"].to_pylist())
    is_moved = catalogued and catalogued.isdisjoint(there) and not any(map(has_video_extension, there))
    if is_moved and _with_features(root):
        raise GoneError(
            f"{root.config.data.source}: none of the {old.num_rows:,} catalogued videos is there any more; bring them "
            f"back, or use another --root than {root.store.url}, or --replace catalog to delete the catalog and all "
            "that follows"
        )


def _refuse_gone(root: Root, old: pa.Table, new: pa.Table) -> None:
    there = set(new.filter(pc.is_valid(new["bytes"]))["video_id"].to_pylist())
    gone = set(old.filter(pc.is_valid(old["bytes"]))["video_id"].to_pylist()) - there
    if gone:
        gone &= _with_features(root)  # a file that failed may be taken away
    if gone:
        raise InputError(
            f"{root.store.url}: {len(gone):,} catalogued videos are gone, the first is {min(gone)!r}; "
            "bring them back, or use another --root, or --replace catalog to delete the catalog and all that follows"
        )


def _with_features(root: Root) -> set[str]:
    """The videos of which at least one stream is stored."""
    tables = [parts.statuses(root.store, *each) for each in all_made(root).items()]
    return {i for table in tables for i in table.filter(pc.equal(table["status"], "ok"))["video_id"].to_pylist()}


def _moved(old: pa.Table, new: pa.Table) -> list[str]:
    """The warning about videos that new ones have moved to another split or class number; empty if there are none."""
    columns = ("video_id", "split", "class_index")
    rows = [set(zip(*(table[name].to_pylist() for name in columns), strict=True)) for table in (old, new)]
    moved = len(rows[0] - rows[1])
    if not moved:
        return []
    return [f"{moved:,} videos have another split or class number now, because new ones came: train models again"]
