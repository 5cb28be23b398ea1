"""What lies under a root, read once for all chapters of the report, and the pictures that they share."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from actionrec import schema
from actionrec.report import stills
from actionrec.show.evaluation import Reading, shown, worst_first
from actionrec.show.gallery import Thumbnail, shrunk
from actionrec.show.page import Block
from actionrec.show.parts import Table
from actionrec.show.tables import Measured
from actionrec.show.words import counted
from actionrec.storage import layout, provenance
from actionrec.storage.root import Root
from actionrec.storage.samples import class_labels
from actionrec.storage.streams import imported

IMPORTED = "The features were imported, so there are no videos to look at."
NAMED_ABSENCES = 3  # videos without a picture of which is said why


class Findings:
    """A root's tables and pictures, each read when it is first asked for."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.lacking: set[str] = set()  # videos whose files cannot be had now, but may be another time
        self._pictures: dict[str, bytes | stills.NoFrame] = {}
        self._tables: dict[str, pa.Table | None] = {}

    @cached_property
    def catalog(self) -> pa.Table:
        return self.root.catalog()

    @cached_property
    def reading(self) -> Reading:
        return provenance.reading(self.root)

    @cached_property
    def model(self) -> dict[str, Any] | None:
        """The row of tables/ablation of *the* model, which every other figure of the page is of; None: not judged."""
        table = self.table("ablation", schema.ABLATION)
        rows = [] if table is None else table.to_pylist()
        return next((row for row in rows if self.reading.is_model(row)), None)

    @property
    def caption(self) -> str:
        """Whose figures these are, for tables that are made of the first seed's model."""
        seeds = f", seed {self.root.config.seeds[0]}" if len(self.root.config.seeds) > 1 else ""
        random = " Made with random weights." if self.reading.own_mark else ""
        return f"Of the model {self.reading.model}{seeds}.{random}"

    @cached_property
    def labels(self) -> list[str]:
        """All classes in the one order of the page: the worst first, or by name where nothing has been judged."""
        names = class_labels(self.catalog)
        table = self.table("classes", schema.CLASSES)
        judged = [] if table is None else [row["label"] for row in worst_first(table.to_pylist())]
        return [*judged, *(name for name in names if name not in set(judged))]

    @property
    def has_videos(self) -> bool:
        return not imported(self.root.config)

    def table(self, name: str, table_schema: pa.Schema) -> pa.Table | None:
        """tables/NAME; None where there is none."""
        if name not in self._tables:
            key = layout.table(name)
            try:
                data = self.root.output.read(key)
            except FileNotFoundError:
                self._tables[name] = None
            else:
                self._tables[name] = schema.from_parquet(data, table_schema, f"{self.root.output.url}/{key}")
        return self._tables[name]

    def shown(self, name: str, table: pa.Table, rows: int | None = None, reading: Reading | None = None) -> list[Block]:
        """A table as it is in Markdown, and how it is to be read."""
        found = shown(name, table, reading or self.reading)
        part = Table(found.grid, found.title) if rows is None else Table(found.grid, found.title, rows)
        return [Block(parts=[part]), Block("How to read it", [found.note], folded=True)]

    def history(self, model: str) -> list[dict[str, Any]]:
        """The epochs of a trained network of the first seed; empty where there is none."""
        try:
            found: list[dict[str, Any]] = json.loads(self.root.output.read(layout.model(model) + layout.HISTORY))
        except FileNotFoundError:
            return []
        return found

    def pictures(self, facts: Mapping[str, Iterable[tuple[str, str | Measured]]]) -> list[Thumbnail]:
        """A thumbnail of the middle frame of each of these videos, with what is said of it."""
        self._read([video_id for video_id in facts if video_id not in self._pictures])
        found = []
        for video_id, said in facts.items():
            picture = self._pictures.get(video_id)
            found.append(Thumbnail(picture if isinstance(picture, bytes) else None, video_id, tuple(said)))
        return found

    def absences(self, video_ids: Iterable[str]) -> list[Block]:
        """Why some of these videos have no picture, in a few sentences; none where each has one."""
        why = self._absences(video_ids) if self.has_videos else [IMPORTED]
        return [Block(text=why)] if why else []

    def _absences(self, video_ids: Iterable[str]) -> list[str]:
        known = [self._pictures.get(video_id) for video_id in video_ids]
        why = [each.why for each in known if isinstance(each, stills.NoFrame)]
        more = len(why) - NAMED_ABSENCES
        return [*why[:NAMED_ABSENCES], *([f"So it is of {counted(more, 'other video')} here."] if more > 0 else [])]

    def _read(self, video_ids: list[str]) -> None:
        if not (video_ids and self.has_videos):
            return
        for video_id, frames in stills.frames_of(self.root, dict.fromkeys(video_ids)).items():
            if isinstance(frames, stills.NoFrame):
                self._pictures[video_id] = frames
                if frames.is_away:
                    self.lacking.add(video_id)
            else:
                self._pictures[video_id] = shrunk(frames[0])
