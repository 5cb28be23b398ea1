"""The systems of Table II that run here, by name."""

from typing import cast

from actionrec.table2 import multi_stream, two_stream, video2vec
from actionrec.table2.systems import System

SYSTEMS: dict[str, System] = {each.NAME: cast("System", each) for each in (two_stream, multi_stream, video2vec)}
