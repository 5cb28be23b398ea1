"""The catalog: one table of videos, from a folder, a CSV, UCF101 or HMDB51. Pure: the caller lists and reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from actionrec.catalog import hmdb51, ucf101
from actionrec.catalog.checks import case_twins, leaks, problems
from actionrec.catalog.csv_file import read_csv
from actionrec.catalog.folder import read_folder
from actionrec.catalog.source import Draft, SourceFile, Video, below
from actionrec.catalog.splits import assign_splits
from actionrec.config import Data
from actionrec.errors import InputError
from actionrec.schema import CATALOG


@dataclass(frozen=True)
class Catalog:
    """``table`` has schema.CATALOG, one row a video, sorted by video_id; ``warnings`` are sentences for a person."""

    table: pa.Table
    warnings: list[str]


def build(listing: Sequence[SourceFile], read: Callable[[str], bytes], source: str, data: Data, seed: int) -> Catalog:
    """The catalog of one source: found, labelled, grouped, split and checked. Equal for any order of ``listing``.

    Args:
        listing: every file below ``source`` or, where ``source`` is a CSV, below the CSV's folder.
        read: the bytes of one file, given as a path or URL that begins like ``source``.
        source: a folder or a CSV; a local path or a URL such as s3://bucket/prefix.
        data: which kind of source it is, which official split, and whether groups may leak.
        seed: decides the splits that are not official.

    Raises:
        InputError: the source cannot be used as it is; one sentence that says why and what to do.
    """
    draft = _draft(listing, read, source, data)
    return assemble(draft, data, seed, numbered=data.dataset == "ucf101")


def refuse_unasked(listing: Sequence[SourceFile], source: str) -> None:
    """For somebody who has not said what kind of source it is: InputError where it holds lists of an official split."""
    paths = [file.relative_path for file in listing]
    for name, reader in (("UCF101", ucf101), ("HMDB51", hmdb51)):
        if path := reader.lists_among(paths):
            raise InputError(
                f"{below(source)}{path} is one of {name}'s lists, and nothing says whether to go by them: the same "
                f"command with `--dataset {name.lower()}` takes classes and splits from the lists, with `--dataset "
                "folder` it takes classes from the folders and draws splits of its own"
            )


def assemble(draft: Draft, data: Data, seed: int, *, numbered: bool) -> Catalog:
    """The catalog of what a reader found. `numbered`: groups are numbers that repeat across classes, as UCF101's."""
    videos = sorted(draft.videos)
    if numbered:
        videos = ucf101.with_validation(videos, seed)
    table = _table(videos, draft.classes, seed)
    warnings = [
        *draft.warnings,
        *_unlabelled(videos),
        *_ungrouped(videos),
        *case_twins("the videos", (video.video_id for video in videos)),
        *case_twins("the classes", {video.label for video in videos if video.label is not None}),
        *leaks(table, accepted=_leaks_accepted(data)),
        *problems(table),
    ]
    return Catalog(table, warnings)


def _draft(listing: Sequence[SourceFile], read: Callable[[str], bytes], source: str, data: Data) -> Draft:
    match data.dataset:
        case "folder":
            return read_folder(listing, source)
        case "csv":
            return read_csv(listing, read(source), source)
        case "ucf101":
            return ucf101.read_ucf101(listing, read, source, data.split)
        case "hmdb51":
            return hmdb51.read_hmdb51(listing, read, source, data.split)
        case "features":
            raise InputError(f"{source}: features are no videos; use `actionrec import {source} --root ...`")


def _leaks_accepted(data: Data) -> str | None:
    if data.allow_group_leak:
        return "accepted by data.allow_group_leak"
    return "accepted, for the official lists are so" if data.dataset == "hmdb51" else None


def _table(videos: Sequence[Video], classes: Sequence[str] | None, seed: int) -> pa.Table:
    labels = [video.label for video in videos]
    groups = [video.group or video.video_id for video in videos]
    if classes is None:
        classes = sorted({label for label in labels if label is not None})
    index: dict[str | None, int] = {name: number for number, name in enumerate(classes)}
    columns = {
        "video_id": [video.video_id for video in videos],
        "path": [video.path for video in videos],
        "label": labels,
        "class_index": [index.get(label) for label in labels],
        "group": groups,
        "split": assign_splits(labels, groups, [video.split for video in videos], seed),
        "bytes": [video.bytes for video in videos],
        "start_s": [video.start_s for video in videos],
        "end_s": [video.end_s for video in videos],
        "version": [None] * len(videos),  # only who keeps the catalog knows these two
        "revision": [None] * len(videos),
    }
    try:
        return pa.table(columns, schema=CATALOG)
    except UnicodeEncodeError as error:
        raise InputError(f"the file name {error.object!r} is not valid UTF-8; rename it") from error


def _unlabelled(videos: Sequence[Video]) -> list[str]:
    """None has a label: ``problems`` says that. Some have none: this."""
    without = [video.video_id for video in videos if video.label is None]
    if not without or len(without) == len(videos):
        return []
    return [f"{len(without):,} of {len(videos):,} videos have no label and are not trained on; first: {without[0]!r}"]


def _ungrouped(videos: Sequence[Video]) -> list[str]:
    without = [video.video_id for video in videos if video.group is None]
    if not without:
        return []
    return [
        f"{len(without):,} of {len(videos):,} videos have no group, so each is a group by itself: "
        "clips of one recording may fall into both train and test; a CSV with a group column prevents that"
    ]
