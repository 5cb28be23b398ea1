"""Workers of extract whose machine is at fault, each in its own way. Workers import them from here, by name.

What must be remembered across their deaths, or counted, lies in the root's folder.
"""

import ctypes
import os
from pathlib import Path
from typing import Any

import torch

from actionrec.extraction.part import ExtractionJob, PartWorker
from tests.tiny_roots import clip_name

LOST = "CUDA error: an illegal memory access was encountered"
AT = clip_name(6)  # the video at which it happens
LOADS = "loads"  # a file that grows by a byte each time that a worker is made


def lost(*arguments: Any, **more: Any) -> Any:
    raise torch.AcceleratorError(LOST)


class Counted(PartWorker):
    def __init__(self, job: ExtractionJob, device: str) -> None:
        with open(Path(job.root_url, LOADS), "ab") as file:
            file.write(b".")
        self.load()
        super().__init__(job, device)

    def load(self) -> None:
        """What goes wrong while the networks are loaded."""


class LosesItsDevice(Counted):
    """Each time at that video. From then on nothing can be computed in that process any more."""

    def _compute(self, making: Any, loaded: Any, given_up: Any) -> Any:
        if loaded.video.video_id == AT and given_up is None and self.loses():
            self._streams._extractors = dict.fromkeys(self._streams._extractors, lost)
        return super()._compute(making, loaded, given_up)

    def loses(self) -> bool:
        return True


class LosesItsDeviceOnce(LosesItsDevice):
    def loses(self) -> bool:
        try:
            Path(self._job.root_url, "lost").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class DiesLoading(Counted):
    def load(self) -> None:
        os._exit(1)


class CrashesLoading(Counted):
    def load(self) -> None:
        ctypes.string_at(0)


class FindsNoDevice(Counted):
    def load(self) -> None:
        lost()
