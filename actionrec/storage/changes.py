"""Which files of a source have become others since they were catalogued, and how the catalog remembers it.

A file has changed where its size or its version has. A local file that was only touched, or copied to where it was,
has another version and the content that was extracted: its hash tells, for the status table holds that of what was
read. So it does not matter either whether a file changes between the catalog and the extraction. An object's version is
its content's own as far as its store tells (an ETag), and nothing is read to compare it.
"""

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from actionrec.storage import parts
from actionrec.storage.root import Root
from actionrec.storage.samples import all_made
from actionrec.storage.stages import STAGES
from actionrec.storage.store import Store


def changed(root: Root, source: Store, folder: str, old: pa.Table, new: pa.Table) -> set[str]:
    """The videos of both catalogs whose files are others now. `source` holds them, by their paths below `folder`."""
    before = {row["video_id"]: row for row in _rows(old)}
    found, touched = set(), dict[str, str]()  # the latter: video_id -> key
    for row in _rows(new):
        was = before.get(row["video_id"])
        if was is None or row["bytes"] is None:
            continue
        if was["bytes"] != row["bytes"]:
            found.add(row["video_id"])
        elif was["version"] is not None and was["version"] != row["version"]:
            touched[row["video_id"]] = row["path"].removeprefix(folder)
    return found | _others(root, source, touched)


def counted(root: Root, old: pa.Table, new: pa.Table, changed: Collection[str]) -> pa.Table:
    """The new catalog, with the old one's count of changes and one more for what is `changed` after it was used."""
    used = any(root.begun(row.name) for row in STAGES.values() if "catalog" in row.needs(root.config))
    counts = dict(zip(*(old[name].to_pylist() for name in ("video_id", "revision")), strict=True))
    revisions = [
        (counts.get(i) or 0) + 1 if used and i in changed else counts.get(i) for i in new["video_id"].to_pylist()
    ]
    place = new.schema.get_field_index("revision")
    return new.set_column(place, new.schema.field(place), pa.array(revisions, pa.int32()))


def warnings(changed: Collection[str]) -> list[str]:
    """What to tell a person; empty where nothing has changed."""
    if not changed:
        return []
    return [
        f"{len(changed):,} files have changed since they were catalogued, the first is {min(changed)!r}: `extract` "
        "computes their features anew, and models that learnt from them must be trained again"
    ]


def _others(root: Root, source: Store, touched: dict[str, str]) -> set[str]:
    """Of files with another version and the size that they had, those that do not hold what was extracted."""
    if "://" in source.url or not touched:
        return set(touched)
    extracted = parts.hashes(root.store, all_made(root), touched)
    now: dict[str, str | None] = {}  # several videos may be segments of one file
    for video_id, key in touched.items():
        if video_id in extracted and key not in now:
            now[key] = _hash(source, key)
    return {video_id for video_id, key in touched.items() if extracted.get(video_id, "") != now.get(key)}


def _hash(source: Store, key: str) -> str | None:
    try:
        return hashlib.sha256(source.read(key)).hexdigest()
    except (FileNotFoundError, PermissionError):
        return None


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.select(["video_id", "path", "bytes", "version"]).to_batches():
        yield from batch.to_pylist()
