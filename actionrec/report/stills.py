"""Stills of a root's videos for the report: frames, and what sampling took of a clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from actionrec import schema
from actionrec.blame import Blame, blame, sentence
from actionrec.config import Config
from actionrec.errors import ActionrecError, VideoError
from actionrec.features import sampling
from actionrec.media.decode import Segment
from actionrec.media.isolate import Decoder
from actionrec.storage.root import Root
from actionrec.storage.samples import made_with, read_rows, with_stream
from actionrec.storage.sources import source_folder
from actionrec.storage.store import open_store

CONSIDERED = 16  # parts of which the clip for the sampling picture is chosen


@dataclass(frozen=True)
class NoFrame:
    """Why nothing of a video can be shown, as a sentence."""

    why: str
    is_away: bool  # whether it is its file that cannot be had, which may be there another time


@dataclass(frozen=True)
class Sampled:
    """A clip's motion, and the moments that two ways of sampling take of it."""

    video_id: str
    pair_s: NDArray[np.float64]  # [P] when each pair's second frame is shown
    motion_px: NDArray[np.float64]  # [P]
    taken: Mapping[str, NDArray[np.int64]]  # "adaptive" and "constant": frame numbers
    taken_s: Mapping[str, NDArray[np.float64]]  # when these are shown


def frames_of(root: Root, wanted: Mapping[str, Sequence[int] | None]) -> dict[str, NDArray[np.uint8] | NoFrame]:
    """Of each video these frames [n, H, W, 3] RGB, or the middle one where None; or why there are none."""
    catalog = root.catalog()
    columns = (catalog[name].to_pylist() for name in ("video_id", "path", "start_s", "end_s"))
    files = {
        video_id: (path, None if start_s is None else Segment(start_s, end_s))
        for video_id, path, start_s, end_s in zip(*columns, strict=True)
    }
    found: dict[str, NDArray[np.uint8] | NoFrame] = {}
    with Decoder(root.config.clip, root.config.limits) as decoder:
        for video_id, frames in wanted.items():
            try:
                found[video_id] = _frames(root.config, decoder, *files.get(video_id, (None, None)), frames)
            except (VideoError, ActionrecError, OSError) as error:
                if blame(error) is not Blame.VIDEO:  # a report is made once: it would stay without the picture
                    raise error if isinstance(error, ActionrecError) else ActionrecError(sentence(error)) from None
                found[video_id] = _no_frame(video_id, error)
    return found


def _no_frame(video_id: str, error: Exception) -> NoFrame:
    is_gone = isinstance(error, FileNotFoundError)
    why = "its file is not there any more" if is_gone else " ".join(str(error).split())
    return NoFrame(f"{video_id}: no frame can be shown ({why})", not isinstance(error, VideoError))


def _frames(
    config: Config, decoder: Decoder, path: str | None, segment: Segment | None, frames: Sequence[int] | None
) -> NDArray[np.uint8]:
    if path is None:
        raise FileNotFoundError  # the catalog does not name it any more
    folder = source_folder(config.data).rstrip("/") + "/"
    data = open_store(folder, config.storage).read(path.removeprefix(folder))
    decoded = decoder.decode(data, segment)
    total = len(decoded.frames_THWC)
    chosen = [total // 2] if frames is None else [frame for frame in frames if frame < total]
    return decoded.frames_THWC[chosen].copy()


def sampled(root: Root) -> Sampled | None:
    """The clip of the first few parts in which the two ways differ most; None where no clip has two frames or more."""
    features = made_with(root, "flow")
    found = [
        _sampled(root.config, video_id, *(np.array(row[name], np.float64) for name in ("time_s", "motion_px")))
        for part, video_ids in sorted(with_stream(root, "flow").items())[:CONSIDERED]
        for video_id, row in read_rows(root.store, "flow", part, video_ids, schema.MOTION, features).items()
        if row["motion_px"]
    ]
    return max(found, key=lambda clip: len(np.setdiff1d(clip.taken["adaptive"], clip.taken["constant"])), default=None)


def _sampled(config: Config, video_id: str, pair_s: NDArray[np.float64], motion_px: NDArray[np.float64]) -> Sampled:
    times_s = [Fraction(0), *(Fraction(str(round(moment, 6))) for moment in pair_s.tolist())]
    duration_s = times_s[-1] + times_s[1]
    frames = sampling.budget(duration_s, len(times_s), config.sampling)
    segment_s = Fraction(str(config.sampling.segment_s))
    taken = {
        "adaptive": sampling.adaptive(times_s, duration_s, motion_px.tolist(), frames, segment_s),
        "constant": sampling.constant(len(times_s), frames),
    }
    shown_s = np.array([float(moment) for moment in times_s])
    return Sampled(video_id, pair_s, motion_px, taken, {name: shown_s[index] for name, index in taken.items()})
