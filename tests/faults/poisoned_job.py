"""jobs/extract.py with one video, the fourth, that kills its worker whenever it is computed."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from actionrec.cli import main
from actionrec.distributed import extract
from tests.tiny_roots import clip_name

POISON = clip_name(6)


class PoisonedActor(extract._PartActor):
    """Defined in __main__, so that it travels to the workers by value."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        compute = self._worker._compute

        def poisoned(loaded: Any, crashes: int) -> Any:
            result = compute(loaded, crashes)
            if loaded.video.video_id == POISON and result["spatial"].error is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        self._worker._compute = poisoned  # type: ignore[method-assign]


if __name__ == "__main__":
    extract._PartActor = PoisonedActor  # type: ignore[misc]
    main(["extract", *sys.argv[1:]])
