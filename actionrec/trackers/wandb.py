"""Weights & Biases: online where somebody is logged in, else files in the folder that `wandb sync` sends later."""

import os
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_CONSOLE", "off")  # nothing that is printed goes there

import wandb

from actionrec.trackers.run import PROJECT, TrackedRun


class WeightsAndBiases:
    """See run.Tool."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            group=run.root,
            config={**run.settings, "network": run.key},
            dir=str(folder),
            mode=None if "WANDB_MODE" in os.environ or wandb.api.api_key else "offline",
            reinit="finish_previous",
        )

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=number)

    def close(self) -> None:
        self._run.finish()


tool = WeightsAndBiases
