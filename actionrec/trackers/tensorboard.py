"""TensorBoard's event files, by tensorboardX, which comes with Ray Tune."""

import json
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

from actionrec.trackers.run import TrackedRun


class TensorBoard:
    """See run.Tool. Look with: tensorboard --logdir FOLDER."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        place = folder / run.key
        for former in place.glob("events.out.tfevents.*"):
            former.unlink()  # or epochs that are trained again would stand twice
        self._writer = SummaryWriter(str(place))
        self._writer.add_text("settings", f"```\n{json.dumps(run.settings, indent=1, default=str)}\n```")

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, number)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


tool = TensorBoard
