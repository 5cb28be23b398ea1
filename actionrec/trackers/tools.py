"""The tools that `log` may name, and what each wants."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass

from actionrec.errors import InputError


@dataclass(frozen=True)
class Kind:
    """One tool. Its file here has its name."""

    module: str  # what it is to Python
    server: tuple[str, ...] = ()  # environment variables: one of them names or opens a server that keeps all


KINDS = {
    "tensorboard": Kind("tensorboardX"),
    "mlflow": Kind("mlflow", ("MLFLOW_TRACKING_URI",)),
    "wandb": Kind("wandb", ("WANDB_API_KEY",)),
    "trackio": Kind("trackio", ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")),
}
COPIED = "tensorboard"  # whose files are copied to a root that is no folder


def refuse_missing(names: Sequence[str], root_url: str) -> None:
    """InputError where a tool is not installed, or would keep its files where nobody finds them."""
    for name in names:
        kind = KINDS[name]
        if importlib.util.find_spec(kind.module) is None:
            raise InputError(
                f"log: {name} is not installed; run `.venv/bin/pip install {kind.module}`, or leave it out of log"
            )
        is_folder = "://" not in root_url
        if not is_folder and name != COPIED and not any(map(os.environ.get, kind.server)):
            raise InputError(
                f"log: {name} keeps files, and {root_url} is no folder for them; set "
                f"{' or '.join(kind.server)} to have them kept elsewhere, or leave it out of log"
            )
