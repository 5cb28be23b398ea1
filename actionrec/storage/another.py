"""Another root, whose streams may be taken over: it is only read, and nothing that it holds is trusted unchecked."""

import os
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.config import Storage
from actionrec.errors import DamagedError, InputError
from actionrec.storage import earlier, layout, records
from actionrec.storage.records import FORMAT
from actionrec.storage.root import Root, record
from actionrec.storage.stages import STAGES, differing
from actionrec.storage.store import Store, open_store
from actionrec.storage.streams import STREAMS

FACTS = pa.schema([schema.CATALOG.field(name) for name in ("video_id", "bytes", "start_s", "end_s")])


class Another:
    """What another root has made. What says which videos it has, and how a stream was made, must be whole. Other files
    that are damaged count as not there, and are named in `warnings`."""

    def __init__(self, url: str, storage: Storage, stages: Collection[str]) -> None:
        """`stages`: those that may be compared. Its config.yaml is not looked at.

        InputError: there is no root at `url`, an earlier release made it, or its catalog, its plan or the record of one
        of `stages` is damaged.
        """
        self.store: Store = open_store(url, storage)
        self.warnings: list[str] = []
        self._lock = threading.Lock()
        self._columns: dict[str, pa.Schema] = {}  # stream -> of its table, as in the first file that was read
        if not self.store.exists(layout.CATALOG):
            raise InputError(f"--reuse {url}: there is no root here, for it has no catalog; name one that has features")
        self._records = {name: found for name in stages if (found := self._record(layout.stage(name)))}
        earlier.refuse(self.store)
        self.videos = self._planned()  # video_id -> bytes of its file, from where to where it goes in it, and its part

    def is_same(self, root: Root) -> bool:
        """Whether this is that root itself."""
        mine, its = root.store.url, self.store.url
        return mine.rstrip("/") == its.rstrip("/") or (
            "://" not in mine and os.path.realpath(mine) == os.path.realpath(its)
        )

    def fingerprint(self, stream: str) -> str:
        """By which its files of a stream go; empty where the stream has not begun there."""
        return str(self._records[stream]["fingerprint"]) if stream in self._records else ""

    def differences(self, root: Root, stage: str) -> list[str]:
        """In what its stage was made otherwise than the root's: settings and inputs, whatever names their records have.

        Inputs that are stages of their own are compared likewise.
        """
        mine, its = record(root, stage), self._records.get(stage)
        if its is None:
            return [f"there is no {stage}"]
        found = differing(its["settings"], mine["settings"])
        for name in sorted(mine["inputs"].keys() | its["inputs"].keys()):
            one, other = mine["inputs"].get(name), its["inputs"].get(name)
            if name in STAGES and one and other:
                found += [f"{name}: {what}" for what in self.differences(root, name)]
            elif one != other:
                found.append(name)
        return found if its.get("format") == FORMAT else [*found, "versions of this program"]

    def status(self, stream: str, part: int) -> dict[str, Mapping[str, Any]]:
        """video_id -> its row of schema.STATUS where the part is committed and the stream is not failed."""
        key = layout.commit_mark(stream, part)
        data, rows = self._read(key), []
        try:
            if data is not None:
                rows = self._checked(data, key, schema.STATUS, self.fingerprint(stream)).to_pylist()
        except InputError as error:
            self._warn(key, error)
        return {row["video_id"]: row for row in rows if row["stream"] == stream and row["status"] in ("ok", "no_audio")}

    def features(self, stream: str, part: int) -> tuple[bytes, pa.Table] | None:
        """A committed part's file, as bytes and as the table of the stream; None where it is not there or damaged."""
        key = layout.feature(stream, part)
        data = self._read(key)
        if data is None:
            return None
        try:
            columns = STREAMS[stream].schema_of(data, f"{self.store.url}/{key}")
            table = self._checked(data, key, columns, self.fingerprint(stream))
            schema.refuse_non_finite(table)
            if self._columns.setdefault(stream, columns) != columns:
                raise InputError("its embeddings have more or fewer numbers than those of other files")
        except (InputError, ValueError) as error:
            self._warn(key, error)
            return None
        return data, table

    def _planned(self) -> dict[str, tuple[Any, ...]]:
        part_of: dict[str, int] = {}
        keys = [key for key in self.store.sizes(layout.PLANS) if layout.generation(key) is not None]
        for key in (layout.plan(generation) for generation in range(len(keys))):
            table = self._needed(key, schema.PLAN)
            part_of |= dict(zip(table["video_id"].to_pylist(), table["part"].to_pylist(), strict=True))
        rows = zip(*(column.to_pylist() for column in self._needed(layout.CATALOG, FACTS).columns), strict=True)
        return {row[0]: (*row[1:], part_of[row[0]]) for row in rows if row[0] in part_of}

    def _record(self, key: str) -> dict[str, Any] | None:
        """The record of a stage; None where it has not begun."""
        try:
            data = self.store.read(key)
        except FileNotFoundError:
            return None
        except (PermissionError, DamagedError):
            raise self._unknown(key) from None
        if (found := records.parsed(data)) is None:
            raise self._unknown(key)
        return found

    def _needed(self, key: str, columns: pa.Schema) -> pa.Table:
        try:
            return self._checked(self.store.read(key), key, columns, None)
        except (FileNotFoundError, PermissionError, DamagedError, InputError):
            raise self._unknown(key) from None

    def _unknown(self, key: str) -> InputError:
        return InputError(
            f"--reuse: {self.store.url}/{key} is damaged, gone or not to be read, so what there is to take is not "
            "known; restore it, or leave --reuse out and everything is computed"
        )

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
