"""Where videos come from: lists a source, builds its catalog, and keeps a root's catalog up with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import schema
from actionrec.catalog.source import SourceFile
from actionrec.catalog.table import Catalog, build
from actionrec.config import Config, Data
from actionrec.errors import InputError
from actionrec.storage import changes, layout, parts, reopening
from actionrec.storage.records import fingerprint
from actionrec.storage.root import Root
from actionrec.storage.samples import all_made
from actionrec.storage.store import Store, open_store


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
    from them are known to be out of date. Where files with features are gone: InputError, unless the stage is replaced.
    """
    folder = source_folder(root.config.data).rstrip("/") + "/"
    store = _open_source(root.config, folder)
    contents = store.contents()
    found = _read_source(root.config, store, {key: size for key, (size, _) in contents.items()})
    table, changed = _with_versions(found.table, folder, contents), set[str]()
    old = schema.CATALOG.empty_table()
    if root.begun("catalog") and not root.clears("catalog"):
        old = root.catalog()
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


def _open_source(config: Config, folder: str) -> Store:
    source = str(config.data.source)
    if source.lower().endswith((".csv", ".tsv")) and config.data.dataset != "csv":
        raise InputError(
            f"{source}: this looks like a CSV, which is not read as {config.data.dataset}; add --dataset csv"
        )
    return open_store(folder, config.storage)


def _read_source(config: Config, store: Store, sizes: Mapping[str, int | None]) -> Catalog:
    folder, source = source_folder(config.data).rstrip("/") + "/", str(config.data.source)
    if not sizes:
        raise InputError(f"{source}: there is nothing there; name a folder, CSV or bucket that holds videos")

    def read(path: str) -> bytes:
        try:
            return store.read(path.removeprefix(folder))
        except (FileNotFoundError, PermissionError):
            raise InputError(f"{path}: the file is not there or may not be read") from None

    return build([SourceFile(key, size) for key, size in sizes.items()], read, source, config.data, config.seed)


def _with_versions(table: pa.Table, folder: str, contents: Mapping[str, tuple[int | None, str | None]]) -> pa.Table:
    keys = [path.removeprefix(folder) for path in table["path"].to_pylist()]
    versions = pa.array([contents.get(key, (None, None))[1] for key in keys], pa.string())
    return table.set_column(table.schema.get_field_index("version"), "version", versions)


def _refuse_gone(root: Root, old: pa.Table, new: pa.Table) -> None:
    there = set(new.filter(pc.is_valid(new["bytes"]))["video_id"].to_pylist())
    gone = set(old.filter(pc.is_valid(old["bytes"]))["video_id"].to_pylist()) - there
    if gone:
        gone &= _with_features(root)  # a file that failed may be taken away
    if gone:
        raise InputError(
            f"{root.store.url}: {len(gone):,} catalogued videos are gone, the first is {min(gone)!r}; "
            "use another --root, or --replace catalog to delete the catalog and all that follows"
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
