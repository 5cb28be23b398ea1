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


class PoisonedWorker(extract.PartWorker):
    """Defined in __main__, so that it travels to the workers by value."""

    def _compute(self, loaded: Any, crashes: int) -> Any:
        result = super()._compute(loaded, crashes)
        if loaded.video.video_id == POISON and result["spatial"].error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


if __name__ == "__main__":
    extract.PartWorker = PoisonedWorker  # type: ignore[misc]
    main(["extract", *sys.argv[1:]])
