"""Another root, whose streams may be taken over: it is only read, and nothing that it holds is trusted unchecked."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.config import Storage
from actionrec.errors import DamagedError, InputError
from actionrec.storage import earlier, layout
from actionrec.storage.records import FORMAT
from actionrec.storage.root import Root, record
from actionrec.storage.stages import STAGES, differing
from actionrec.storage.store import Store, open_store
from actionrec.storage.streams import STREAMS

FACTS = pa.schema([schema.CATALOG.field(name) for name in ("video_id", "bytes", "start_s", "end_s")])


class Another:
    """What another root has made. Files that are damaged count as not there, and are named in `warnings`."""

    def __init__(self, url: str, storage: Storage) -> None:
        """InputError: there is no root at `url`, or an earlier release made it. Its config.yaml is not looked at."""
        self.store: Store = open_store(url, storage)
        self.warnings: list[str] = []
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}  # stream -> fingerprint
        self._widths: dict[str, int] = {}  # stream -> of its embeddings, in the first file that was read
        if not self.store.exists(layout.CATALOG):
            raise InputError(f"--reuse {url}: there is no root here, for it has no catalog; name one that has features")
        earlier.refuse(self.store)

    def is_same(self, root: Root) -> bool:
        """Whether this is that root itself."""
        mine, its = root.store.url, self.store.url
        return mine.rstrip("/") == its.rstrip("/") or (
            "://" not in mine and os.path.realpath(mine) == os.path.realpath(its)
        )

    def fingerprint(self, stream: str) -> str:
        """By which its files of a stream go, that has begun there."""
        if stream not in self._names:
            found = earlier.read(self.store, layout.stage(stream))
            self._names[stream] = str(found["fingerprint"]) if found else ""
        return self._names[stream]

    def differences(self, root: Root, stage: str) -> list[str]:
        """In what its stage was made otherwise than the root's: settings and inputs, whatever names their records have.

        Inputs that are stages of their own are compared likewise.
        """
        mine, its = record(root, stage), earlier.read(self.store, layout.stage(stage))
        if not its:
            return [f"there is no {stage}"]
        found = differing(its["settings"], mine["settings"])
        for name in sorted(mine["inputs"].keys() | its["inputs"].keys()):
            one, other = mine["inputs"].get(name), its["inputs"].get(name)
            if name in STAGES and one and other:
                found += [f"{name}: {what}" for what in self.differences(root, name)]
            elif one != other:
                found.append(name)
        return found if its.get("format") == FORMAT else [*found, "versions of this program"]

    def catalogued(self) -> dict[str, tuple[Any, ...]]:
        """video_id -> the bytes of its file, from where to where it goes in it, and its part; of planned videos."""
        part_of: dict[str, int] = {}
        for key in self.store.sizes(layout.PLANS):
            table = None if layout.generation(key) is None else self._table(key, schema.PLAN)
            if table is not None:
                part_of |= dict(zip(table["video_id"].to_pylist(), table["part"].to_pylist(), strict=True))
        table = self._table(layout.CATALOG, FACTS)
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True) if table is not None else ()
        return {row[0]: (*row[1:], part_of[row[0]]) for row in rows if row[0] in part_of}

    def status(self, stream: str, part: int) -> dict[str, Mapping[str, Any]]:
        """video_id -> its row of schema.STATUS where the part is committed and the stream is not failed."""
        table = self._table(layout.commit_mark(stream, part), schema.STATUS, self.fingerprint(stream))
        rows = table.to_pylist() if table is not None else []
        return {row["video_id"]: row for row in rows if row["stream"] == stream and row["status"] in ("ok", "no_audio")}

    def features(self, stream: str, part: int) -> tuple[bytes, pa.Table] | None:
        """A committed part's file, as bytes and as the table of the stream; None where it is not there or damaged."""
        key = layout.feature(stream, part)
        data = self._read(key)
        if data is None:
            return None
        try:
            width = 0 if STREAMS[stream].columns else schema.embedding_width(data, f"{self.store.url}/{key}")
            table = self._checked(data, key, STREAMS[stream].schema(width), self.fingerprint(stream))
            schema.refuse_non_finite(table)
            if self._widths.setdefault(stream, width) != width:
                raise InputError(f"embeddings of {width} numbers, and {self._widths[stream]} in other files")
        except (InputError, ValueError) as error:
            self._warn(key, error)
            return None
        return data, table

    def _table(self, key: str, columns: pa.Schema, fingerprint: str | None = None) -> pa.Table | None:
        data = self._read(key)
        try:
            return None if data is None else self._checked(data, key, columns, fingerprint)
        except InputError as error:
            self._warn(key, error)
            return None

    def _checked(self, data: bytes, key: str, columns: pa.Schema, fingerprint: str | None) -> pa.Table:
        name = f"{self.store.url}/{key}"
        if fingerprint is not None and schema.fingerprint_of(data) != fingerprint:
            raise InputError(f"{name}: it is not what the root's record says")
        schema.refuse_bomb(data, name)
        return schema.from_parquet(data, columns, name).cast(columns)

    def _read(self, key: str) -> bytes | None:
        try:
            return self.store.read(key)
        except FileNotFoundError:
            return None
        except (PermissionError, DamagedError) as error:
            self._warn(key, error)
            return None

    def _warn(self, key: str, error: Exception) -> None:
        with self._lock:
            self.warnings.append(f"{self.store.url}/{key}: not taken over, and computed instead ({error})")


def chosen(table: pa.Table, video_ids: Sequence[str]) -> pa.Table | None:
    """The rows of these videos, in this order; None where one of them has not exactly one."""
    place = {video_id: row for row, video_id in enumerate(table["video_id"].to_pylist())}
    if len(place) != table.num_rows or not place.keys() >= set(video_ids):
        return None
    same = table["video_id"].to_pylist() == list(video_ids)
    return (
        table
        if same
        else table.take(pa.array([place[video_id] for video_id in video_ids], pa.int64())).combine_chunks()
    )
