"""Roots that releases of before have made, as tests/roots keeps them.

v0.1 was made by `actionrec run`: sixteen clips of half a second, spatial and audio, with everything learnt from them.
v0.1-motion by that and `anomaly --holdout c`: twelve clips and a file that is no video, all three streams, a fine-tuned
frame CNN and one row of Table I. Both are without weights, videos and report, the latter without large networks, too,
and without what its motion CNN made while the class was held out. Their settings are in their config.yaml.
"""

import zipfile
from pathlib import Path

RELEASES = ("v0.1", "v0.1-motion")


def unpack(release: str, root: Path) -> Path:
    """That release's root as `root`, which is returned."""
    with zipfile.ZipFile(Path(__file__).parent / "roots" / f"{release}.zip") as archive:
        archive.extractall(root)
    return root
