"""Where videos come from: lists a source, builds its catalog, and keeps a root's catalog up with it."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actionrec import schema
from actionrec.catalog.source import SourceFile
from actionrec.catalog.table import Catalog, build
from actionrec.config import Config, Data
from actionrec.errors import InputError
from actionrec.storage import layout, parts
from actionrec.storage.root import Root, fingerprint, record
from actionrec.storage.store import open_store


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

    New videos are added, failed ones may change or go. Where others are gone or have another size, their features would
    be those of no file: InputError, unless the stage is replaced.
    """
    found = _read_source(root.config)
    old = schema.CATALOG.empty_table()
    if root.begun("catalog") and not root.clears("catalog"):
        old = root.catalog()
        _refuse_lost(root, old, found.table)
    warnings = [*found.warnings, *_moved(old, found.table)]
    root.clear("catalog")
    root.save_config()
    if not found.table.equals(old):
        mark = fingerprint("catalog", root.config, {})
        root.store.put(layout.CATALOG, schema.to_parquet(found.table, mark))
    return Catalogued(found.table, found.table.num_rows - old.num_rows, warnings)


def _read_source(config: Config) -> Catalog:
    folder = source_folder(config.data).rstrip("/") + "/"
    source = str(config.data.source)
    if source.lower().endswith(".csv") and config.data.dataset != "csv":
        raise InputError(
            f"{source}: this looks like a CSV, which is not read as {config.data.dataset}; add --dataset csv"
        )
    store = open_store(folder, config.storage)
    listing = [SourceFile(key, size) for key, size in store.sizes().items()]
    if not listing:
        raise InputError(f"{source}: there is nothing there; name a folder, CSV or bucket that holds videos")

    def read(path: str) -> bytes:
        try:
            return store.read(path.removeprefix(folder))
        except (FileNotFoundError, PermissionError):
            raise InputError(f"{path}: the file is not there or may not be read") from None

    return build(listing, read, source, config.data, config.seed)


def _refuse_lost(root: Root, old: pa.Table, new: pa.Table) -> None:
    sizes = dict(zip(new["video_id"].to_pylist(), new["bytes"].to_pylist(), strict=True))
    before = zip(old["video_id"].to_pylist(), old["bytes"].to_pylist(), strict=True)
    lost = {video_id for video_id, size in before if size is not None and sizes.get(video_id) != size}
    if lost:
        lost &= _with_features(root)  # a file that failed may be mended, or taken away
    if lost:
        raise InputError(
            f"{root.store.url}: {len(lost):,} catalogued videos are gone or have changed, the first is {min(lost)!r}; "
            "use another --root, or --replace catalog to delete the catalog and all that follows"
        )


def _with_features(root: Root) -> set[str]:
    """The videos of which at least one stream is stored."""
    if not root.begun("extract"):
        return set()
    table = parts.statuses(root.store, record(root, "extract")["fingerprint"])
    return set(table.filter(pc.equal(table["status"], "ok"))["video_id"].to_pylist())


def _moved(old: pa.Table, new: pa.Table) -> list[str]:
    """The warning about videos that new ones have moved to another split or class number; empty if there are none."""
    columns = ("video_id", "split", "class_index")
    rows = [set(zip(*(table[name].to_pylist() for name in columns), strict=True)) for table in (old, new)]
    moved = len(rows[0] - rows[1])
    if not moved:
        return []
    return [f"{moved:,} videos have another split or class number now, because new ones came: train models again"]
