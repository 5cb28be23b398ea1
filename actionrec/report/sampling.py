"""One clip: how it moves, and which frames adaptive and constant sampling take of it."""

import numpy as np
from numpy.typing import NDArray

from actionrec.report import stills
from actionrec.report.findings import IMPORTED, Findings
from actionrec.show import plots
from actionrec.show.gallery import Gallery, Thumbnail, shrunk
from actionrec.show.page import Block
from actionrec.show.parts import Drawing

THUMBNAILS = 12  # of each way


def sampling(findings: Findings) -> list[Block]:
    """The motion of the clip in which both ways differ most, and a strip of frames for each way, or for both."""
    root = findings.root
    if not findings.has_videos:
        return [Block(text=[IMPORTED])]
    if not root.begun("flow"):
        return []
    if (clip := stills.sampled(root)) is None:
        return [Block(text=["No video has two frames or more."])]
    text = [
        f"{clip.video_id}: its mean displacement from frame to frame, and the {len(clip.taken['adaptive']):,} frames "
        "that adaptive sampling takes where it moves, beside a constant step. This run's sampling was "
        f"{root.config.sampling.method}."
    ]
    alt = "Motion over time, with the moments that each method of sampling took"
    drawing = Drawing(plots.motion("sampling", clip.pair_s, clip.motion_px, clip.taken_s), alt, width="half")
    blocks = [Block(text=text, parts=[drawing])]
    is_equal = np.array_equal(clip.taken["adaptive"], clip.taken["constant"])
    if is_equal:
        blocks.append(
            Block(text=["Both take the same frames of it: it moves as much in each second. So do all clips looked at."])
        )
    ways = {"Adaptive and constant alike": "adaptive"} if is_equal else {"Adaptive": "adaptive", "Constant": "constant"}
    return [*blocks, *(_frames(findings, clip, heading, way) for heading, way in ways.items())]


def _frames(findings: Findings, clip: stills.Sampled, heading: str, way: str) -> Block:
    places = _spread(clip.taken[way])
    found = stills.frames_of(findings.root, {clip.video_id: clip.taken[way][places].tolist()})[clip.video_id]
    if isinstance(found, stills.NoFrame):
        if found.is_away:
            findings.lacking.add(clip.video_id)
        return Block(heading, [found.why])
    moments_s = clip.taken_s[way][places]
    strip = [Thumbnail(shrunk(frame), f"{moment:.2f} s") for frame, moment in zip(found, moments_s, strict=True)]
    return Block(heading, parts=[Gallery(strip, small=True)])


def _spread(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the frames are shown: evenly many of them."""
    return np.unique(np.linspace(0, len(frames) - 1, min(THUMBNAILS, len(frames))).astype(np.int64))
