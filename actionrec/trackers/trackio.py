"""trackio: the Space that TRACKIO_SPACE_ID names, else a database in the folder."""

import os
from collections.abc import Mapping
from pathlib import Path

from actionrec.trackers.run import PROJECT, TrackedRun


class Trackio:
    """See run.Tool. Look with: TRACKIO_DIR=FOLDER trackio show."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder))  # read as it is imported
        import trackio

        self._trackio = trackio
        config = {**run.settings, "network": run.key}
        trackio.init(project=PROJECT, name=run.name, group=run.root, config=config, embed=False)

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self._trackio.log(dict(figures), step=number)

    def close(self) -> None:
        self._trackio.finish()


tool = Trackio
