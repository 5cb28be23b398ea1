"""A root's videos as search sees them, and a video that is asked about: one of these, or a file."""

import difflib
import glob
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionrec.errors import GoneError, InputError, VideoError
from actionrec.search.space import Points, Space, space_of
from actionrec.storage.asked import videos_asked
from actionrec.storage.embeddings import embeddings_of, read_embeddings
from actionrec.storage.readiness import refuse_imported, refuse_mixed, refuse_no_root
from actionrec.storage.root import Root

NOWHERE = -1  # the code of no split


@dataclass(frozen=True)
class Searched:
    """The N catalogued videos that have an embedding, in the catalog's order."""

    ids: list[str]
    labels: list[str | None]
    groups: list[str]
    splits: list[str | None]
    points: Points
    space: Space
    without: int  # further videos, of which there is no embedding

    def codes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Group and split of each video as numbers, [N] and [N]; a video of no split has the number NOWHERE."""
        names = sorted({split for split in self.splits if split is not None})
        split_N = [NOWHERE if split is None else names.index(split) for split in self.splits]
        return np.unique(self.groups, return_inverse=True)[1].astype(np.int64), np.array(split_N, np.int64)


def read_catalogued(root: Root) -> Searched:
    """By the first seed's embeddings. InputError: there is no root, or it has no embeddings."""
    refuse_no_root(root)
    catalog = root.catalog()
    embeddings = embeddings_of(read_embeddings(root, root.config.seeds[0]), root.config.streams)
    places = {video_id: place for place, video_id in enumerate(embeddings.video_ids)}
    columns = (catalog[name].to_pylist() for name in ("video_id", "label", "group", "split"))
    rows = [(*row, places[row[0]]) for row in zip(*columns, strict=True) if row[0] in places]
    training = np.array([row[4] for row in rows if row[3] == "train"], np.int64)
    space = space_of(embeddings, training)
    points = space.points(embeddings.rows(np.array([row[4] for row in rows], np.int64)))
    kept = np.flatnonzero(points.present_NS.any(axis=1))
    ids, labels, groups, splits = ([rows[place][column] for place in kept] for column in range(4))
    return Searched(ids, labels, groups, splits, points.rows(kept), space, catalog.num_rows - len(kept))


@dataclass(frozen=True)
class Asked:
    """What is looked for."""

    name: str  # the id of a catalogued video, or a file
    point: Points  # one row
    place: int | None  # among the catalogued videos; None: it is a file
    middle_HWC: NDArray[np.uint8] | None  # of a file its middle frame


def ask(root: Root, videos: Searched, name: str) -> Asked:
    """The catalogued video of that id, else the file of that name, which is embedded as `predict` embeds it.

    InputError: it is neither, it cannot be used, or the root has no networks for a file.
    """
    if name in videos.ids:
        place = videos.ids.index(name)
        return Asked(name, videos.points.rows(np.array([place])), place, None)
    file = _file(root, videos, name)
    refuse_imported(root)
    refuse_mixed(root, "embeddings")
    from actionrec.embed import FileEmbedder

    embedder = FileEmbedder(root)
    try:
        found = embedder(file)
    except VideoError as error:
        raise InputError(f"{file}: it cannot be used ({error})") from None
    finally:
        embedder.close()
    return Asked(file, videos.space.point(found.vectors), None, found.middle_HWC)


def _file(root: Root, videos: Searched, name: str) -> str:
    try:
        found = videos_asked([name], root.config.storage)
    except GoneError:
        raise
    except InputError as error:
        if "://" in name or glob.has_magic(name) or os.path.exists(name):
            raise InputError(f"{error}; and no catalogued video with an embedding has that id") from None
        close = difflib.get_close_matches(name, videos.ids, 3)
        meant = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
        raise InputError(
            f"{name}: there is no such file, and no catalogued video with an embedding has that id{meant}"
        ) from None
    if len(found) > 1:
        raise InputError(f"{name}: these are {len(found):,} videos; search looks for one")
    return found[0]
