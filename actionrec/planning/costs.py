"""What a step of each stream costs. Counting builds the networks, which takes seconds: what is known is looked up.

A row is what `Stream.cost` counts, which a test holds it to; whatever has no row is counted.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from actionrec.config import Config
from actionrec.features.cost import Cost
from actionrec.storage.streams import STREAMS

# Of each stream the keys of the configuration that its cost depends on, and what was counted for some of their values.
KNOWN: Mapping[str, tuple[tuple[str, ...], Mapping[tuple[Any, ...], Cost]]] = {
    "flow": (
        ("flow.model", "clip.width", "clip.height", "flow.stored_width", "flow.stored_height"),
        {
            ("flownet2", 320, 240, 320, 240): Cost(0, 82.6, stored_bytes=4200.0),
            ("dis", 320, 240, 320, 240): Cost(0, core_s=1 / 300, stored_bytes=4200.0),
            ("dis", 160, 120, 64, 48): Cost(0, core_s=1 / 1200, stored_bytes=168.0),
        },
    ),
    "spatial": (
        ("frame.model", "frame.size"),
        {
            ("inception_resnet_v2", 299): Cost(1536, 26.308516032),
            ("inception_resnet_v2", 139): Cost(1536, 4.518236352),
            ("tf_efficientnet_lite0", 224): Cost(1280, 0.767815104),
            ("tf_efficientnet_lite0", 128): Cost(1280, 0.250715136),
            ("resnet50", 224): Cost(2048, 8.174272512),
            ("vit_base_patch16_clip_224", 224): Cost(768, 35.126120448),
        },
    ),
    "motion": (
        ("flow.stored_width", "flow.stored_height", "motion.hidden"),
        {
            (320, 240, 4096): Cost(2048, 8.978911232),
            (160, 120, 4096): Cost(2048, 2.316603392),
            (64, 48, 512): Cost(2048, 0.34965504),
        },
    ),
    "audio": (("audio.model",), {("vggish",): Cost(128, 1.727791104), ("logmel",): Cost(128, core_s=0.003)}),
}


def cost(stream: str, config: Config) -> Cost:
    """Of one step of the stream with these settings."""
    keys, rows = KNOWN.get(stream, ((), {}))
    return rows.get(tuple(_value(config, key) for key in keys)) or STREAMS[stream].cost(config)


def _value(config: Config, key: str) -> Any:
    return reduce(getattr, key.split("."), config)
