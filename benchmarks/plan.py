"""What `actionrec plan` says of the demo, before it, beside what the demo takes: python benchmarks/plan.py

Two forecasts: from the stated defaults alone, and from the rates of 60 other clips that were extracted before. What the
demo takes is the sum of what its stages say; rendering its clips and asking about a new one are no part of a run.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from actionrec import config
from actionrec.cluster.session import cores
from actionrec.planning.forecast import Forecast, Node, cluster_of, forecast
from actionrec.planning.rates import assumed, measured
from actionrec.storage.root import open_root

VIDEOS, SECONDS = 200, 2.0
# The stages of a forecast, and the headings under which the demo says what they took.
HEADINGS = {
    "extract": ["extract"],
    "train motion": ["motion"],
    "tune rnn": ["Table I"],
    "train rnn": ["recurrent networks"],
    "baseline": ["baselines"],
    "tune svm, train svm, evaluate, report": [
        "search over the SVM",
        "SVM",
        "evaluate",
        "Table II",
        "anomaly",
        "report",
    ],
}


def actionrec(*arguments: object) -> str:
    """What a command printed."""
    command = [sys.executable, "-m", "actionrec.cli", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def taken_s(said: str) -> dict[str, float]:
    """Heading -> its seconds."""
    found, heading = {}, ""
    for line in said.splitlines():
        if line and not line.startswith(" "):
            heading = line
        elif match := re.fullmatch(r"  time +([0-9]+) s", line):
            found[heading] = float(match[1])
    return found


def main() -> None:
    settings = config.load([config.read_layer("demo")])
    cluster = cluster_of(["local=1"], {"local": Node(cores())})
    with tempfile.TemporaryDirectory(prefix="actionrec-plan-") as folder:
        few = Path(folder, "few")
        actionrec("synth", few / "videos", "--groups", 3, "--seed", 7)
        actionrec("catalog", few / "videos", "--root", few / "root", "--config", "demo")
        actionrec("extract", "--root", few / "root")
        base = assumed(settings, 0.0)
        forecasts: list[Forecast] = [
            forecast(VIDEOS, SECONDS, cluster, settings, rates)
            for rates in (base, measured(open_root(str(few / "root")), base))
        ]
        real = taken_s(actionrec("demo", "--root", Path(folder, "demo")))
    print(f"{VIDEOS} videos of {SECONDS:g} s on {cluster.cores} cores, seconds:")
    print(f"{'stage':<38}{'defaults':>10}{'measured':>10}{'real':>10}")
    for stages in zip(*(each.stages for each in forecasts), strict=True):
        took = sum(real[heading] for heading in HEADINGS[stages[0].name])
        print(f"{stages[0].name:<38}" + "".join(f"{stage.hours * 3600:>10.0f}" for stage in stages) + f"{took:>10.0f}")
    whole = sum(real.values())
    print(f"{'all':<38}" + "".join(f"{each.hours * 3600:>10.0f}" for each in forecasts) + f"{whole:>10.0f}")
    print("forecast / real: " + " and ".join(f"{each.hours * 3600 / whole:.2f}" for each in forecasts))


if __name__ == "__main__":
    main()
