"""MLflow: the server that MLFLOW_TRACKING_URI names, else a database in the folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

# A server that is down is given up within the time that a tool is given, and not after minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow

from actionrec.trackers.run import PROJECT, TrackedRun

LONGEST = 500  # characters of a parameter


class MLflow:
    """See run.Tool. Look with: mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            folder.mkdir(parents=True, exist_ok=True)
            mlflow.set_tracking_uri(f"sqlite:///{quote(str(folder / 'mlflow.db'))}")
            if mlflow.get_experiment_by_name(PROJECT) is None:
                mlflow.create_experiment(PROJECT, (folder / "artifacts").as_uri())
        mlflow.set_experiment(PROJECT)
        mlflow.start_run(run_name=run.name, tags={"root": run.root, "network": run.key})
        mlflow.log_params({name: str(value)[:LONGEST] for name, value in run.settings.items()})

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        mlflow.log_metrics(dict(figures), step=number)

    def close(self) -> None:
        mlflow.end_run()


tool = MLflow
