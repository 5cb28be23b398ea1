"""What stands of a part for a stream that is not computed now: its committed rows, which others may be made from."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.storage import layout
from actionrec.storage.samples import read_rows
from actionrec.storage.store import Store, read_if_there


class Standing:
    """The committed rows of a part and a stream."""

    def __init__(self, store: Store, stream: str, part: int, fingerprint: str, mark: pa.Table) -> None:
        """`mark`: the part's rows of schema.STATUS."""
        self._store, self._at, self._fingerprint = store, (stream, part), fingerprint
        self._status: dict[str, dict[str, Any]] = {row["video_id"]: row for row in mark.to_pylist()}
        self._features: Mapping[str, Mapping[str, Any]] | None = None

    def of(self, video_id: str) -> dict[str, Any] | None:
        """The status row of a video; None: it has none."""
        return self._status.get(video_id)

    def row(self, video_id: str, columns: pa.Schema) -> Mapping[str, Any]:
        """A video's features, which are there, in Python's own types. The file is read once. InputError: it is no
        longer what was committed."""
        if self._features is None:
            there = [name for name, row in self._status.items() if row["status"] == "ok"]
            self._features = read_rows(self._store, *self._at, there, columns, self._fingerprint)
        return self._features[video_id]


def standing(store: Store, stream: str, part: int, fingerprint: str) -> Standing | None:
    """What is committed of the part under this fingerprint; None: nothing is."""
    key = layout.commit_mark(stream, part)
    data = read_if_there(store, key)
    if data is None or schema.fingerprint_of(data) != fingerprint:
        return None
    return Standing(store, stream, part, fingerprint, schema.from_parquet(data, schema.STATUS, f"{store.url}/{key}"))
