"""One file under two names on both sides of a split: what is tested was learnt. Known once the bytes have been read."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa

from actionrec import schema
from actionrec.storage import layout, parts
from actionrec.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

_HASHES = pa.schema([schema.STATUS.field(name) for name in ("video_id", "sha256")])


def leaks(store: Store, stream: str, catalog: pa.Table) -> list[str]:
    """The warning about files whose bytes stand in more than one split; empty if there are none.

    Goes by the hashes in the commit marks of a stream; videos that could not be read have none.
    """
    splits: Mapping[str, str | None] = dict(
        zip(catalog["video_id"].to_pylist(), catalog["split"].to_pylist(), strict=True)
    )
    frame = _hashes(store, stream)
    frame["split"] = frame["video_id"].map(splits)
    sides = frame.dropna().sort_values(["sha256", "split", "video_id"]).drop_duplicates(["sha256", "split"])
    torn = sides[sides.duplicated("sha256", keep=False)]
    if torn.empty:
        return []
    one, other = torn.iloc[0], torn.iloc[1]
    pair = f"{one['video_id']!r} in {one['split']} and {other['video_id']!r} in {other['split']}"
    return [
        f"{pair} are the same file, so what is learnt is tested too ({torn['sha256'].nunique():,} such files); "
        "remove one of each, or put both on one side"
    ]


def _hashes(store: Store, stream: str) -> "pd.DataFrame":
    """video_id and sha256 of every video that was read, from the marks of committed parts."""
    keys = [layout.commit_mark(stream, part) for part in sorted(parts.committed(store, stream))]
    with ThreadPoolExecutor(parts.READERS) as pool:
        tables = list(pool.map(lambda key: _of_mark(store, key), keys))
    frame: pd.DataFrame = pa.concat_tables([_HASHES.empty_table(), *tables]).to_pandas()
    return frame


def _of_mark(store: Store, key: str) -> pa.Table:
    return schema.from_parquet(store.read(key), _HASHES, f"{store.url}/{key}")
