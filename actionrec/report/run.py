"""What was run: data, weights, seeds, the command, the machine, versions, settings and stages. All of it folded."""

import platform
import re
import shlex
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from actionrec import __version__, config
from actionrec.cluster.cores import here
from actionrec.report.findings import Findings
from actionrec.show.page import Block
from actionrec.show.parts import Command, Part, Table
from actionrec.show.tables import Grid
from actionrec.storage import layout, provenance
from actionrec.storage.root import Root, record
from actionrec.storage.stages import STAGES, in_use

PACKAGES = ("ray", "torch", "timm", "ptlflow", "torchvggish", "scikit-learn", "pyarrow", "av")
MAKES_AGAIN = "Makes the same anew, under another root; of a root in a bucket, beside a copy of its config.yaml:"
GPUS = Path("/proc/driver/nvidia/gpus")  # NVIDIA's driver says here what it has; asking it needs no package


def run(findings: Findings) -> list[Block]:
    """What made these results, each piece behind its heading."""
    root = findings.root
    begun = [
        _made(row.name, record(root, row.name)) for row in STAGES.values() if row.recorded and root.begun(row.name)
    ]
    return [
        _folded("Data and weights", _table("What was run", ["", ""], _facts(root))),
        _folded("Command", *map(Command, commands(root)), text=MAKES_AGAIN),
        _folded("Machine and versions", _table("Versions", ["", ""], [*machine(), *_versions()])),
        _folded(
            "Settings that are not the paper's", _table("Settings", ["setting", "here", "default"], settings(root))
        ),
        _folded("Stages", _table("Stages", ["stage", "made from", "its fingerprint"], begun)),
    ]


def settings(root: Root) -> list[list[str]]:
    """Of each setting that is not the default: its key, its value and the default.

    Those of stages that have not begun and that this configuration does not make are left out: nothing goes by them.
    """
    own, usual = config.flatten(root.config), config.flatten(config.Config())
    stages = [row.name for row in STAGES.values() if row.made(root.config) or root.begun(row.name)]
    return [[key, str(own[key]), str(usual[key])] for key in in_use(stages, root.config) if own[key] != usual[key]]


def commands(root: Root) -> list[str]:
    """What to type to make the same from the same source under another root."""
    local = f"{root.store.url}/{layout.CONFIG}" if "://" not in root.store.url else layout.CONFIG
    return [shlex.join(["actionrec", "run", str(root.config.data.source), "--root", "OTHER", "--config", local])]


def machine() -> list[list[str]]:
    """The machine that made the page; the one that trained may have been another."""
    gpus = [_gpu(path.read_text(encoding="utf-8")) for path in sorted(GPUS.glob("*/information"))]
    said = [f"{platform.system()} {platform.machine()}, {here().usable} cores", *(gpus or ["no GPU"])]
    return [["page made on", ", ".join(said)]]


def _gpu(information: str) -> str:
    found = re.search(r"^Model:\s*(.+?)\s*$", information, re.MULTILINE)
    return found[1] if found else "a GPU of unknown model"


def _facts(root: Root) -> list[list[str]]:
    return [
        ["data", provenance.dataset(root)],
        ["source", str(root.config.data.source)],
        ["weights", provenance.weights(root)],
        ["streams", " + ".join(root.config.streams)],
        ["seeds", ", ".join(map(str, root.config.seeds))],
    ]


def _versions() -> list[list[str]]:
    """Of this package by itself: where a job's working directory is a copy of it, it is installed nowhere."""
    packages = [[name, metadata.version(name)] for name in PACKAGES]
    return [["Python", platform.python_version()], ["actionrec", __version__], *packages]


def _made(stage: str, found: Mapping[str, Any]) -> list[str]:
    """A row of the table of stages: which others one was made from, and by which name its files go."""
    return [stage, ", ".join(name for name in STAGES if name in found["inputs"]), found["fingerprint"]]


def _table(label: str, columns: list[str], rows: list[list[str]]) -> Table:
    return Table(Grid(columns, rows), label)


def _folded(heading: str, *parts: Part, text: str = "") -> Block:
    return Block(heading, [text] if text else [], parts=parts, folded=True)
