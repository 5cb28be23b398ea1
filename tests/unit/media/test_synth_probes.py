"""What a linear probe can and cannot tell apart in the synthetic data set: each pair of classes by its own factor only.

The probes read real files, encoded and decoded. Each sees one vector a clip:
  colour     mean red, green, blue over all pixels and frames
  flow       DIS optical flow at half size: mean dx, dy, |dx|, |dy| in each cell of a 4 x 3 grid, over the clip
  halves     mean dx, dy of the first half minus those of the second, over the picture
  sound      mean log-mel spectrum (64 bands, 25 ms windows every 10 ms); zeros where there is no track
Accuracy is cross-validated by group, both classes of a group held out together. The unit of the standard error is
the group, and it is taken under the hypothesis tested: if neither label is favoured, a group's deviation d from 50 %
is as likely -d, so SE^2 = sum(d^2) / G^2. Noise common to both classes gives d = 0 in every group, and SE = 0.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from actionrec.media.synth import CLASSES, ActionClass, SynthSpec, plan, write_dataset

SPEC = SynthSpec(groups=14, clips_per_group=1)  # two of the 14 have no sound to hear
ORDERS = [{"right_left", "left_right"}, {"up_down", "down_up"}]
OWN_STREAM = {"appearance": "colour", "motion": "flow", "sound": "sound", "order": "halves"}
MEANS = ("colour", "flow", "sound")
Features = dict[str, dict[str, NDArray[np.float64]]]  # stream -> class -> [groups, dimensions]


class Pair(NamedTuple):
    factor: str
    first: ActionClass
    second: ActionClass


def single_factor_pairs() -> list[Pair]:
    pairs = []
    for first, second in itertools.combinations(CLASSES, 2):
        factors = [name for name in ("appearance", "motion", "sound") if getattr(first, name) != getattr(second, name)]
        if len(factors) == 1:
            ordered = {first.motion, second.motion} in ORDERS
            pairs.append(Pair("order" if ordered else factors[0], first, second))
    return pairs


def name_of(case: Pair | str) -> str:
    return case if isinstance(case, str) else f"{case.factor}-{case.first.name}-{case.second.name}"


PAIRS = single_factor_pairs()
WRONG_STREAMS = [(pair, stream) for pair in PAIRS for stream in MEANS if OWN_STREAM[pair.factor] != stream]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Features:
    out = tmp_path_factory.mktemp("synth")
    write_dataset(out, SPEC, workers=2)
    rows: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    clips = list(plan(SPEC))
    with ThreadPoolExecutor(2) as pool:
        for clip, vectors in zip(clips, pool.map(lambda clip: clip_features(out / clip.path), clips), strict=True):
            for stream, vector in vectors.items():
                rows.setdefault(stream, {}).setdefault(clip.action.name, []).append(vector)
    return {stream: {name: np.stack(v) for name, v in of.items()} for stream, of in rows.items()}


def clip_features(path: Path) -> dict[str, NDArray[np.float64]]:
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    with av.open(str(path)) as file:
        sound = [b.to_ndarray().mean(0) for b in file.decode(audio=0)] if file.streams.audio else [np.zeros(32_000)]
    grey = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (160, 120), interpolation=cv2.INTER_AREA) for f in frames]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    # Every second pair of successive frames, the same ones in both halves: the two orders exchange the halves.
    half = len(grey) // 2
    starts = [start + step for start in (0, half) for step in range(0, half - 1, 2)]
    flow = np.stack([dis.calc(grey[k], grey[k + 1], None) for k in starts]).astype(float)
    cells = np.concatenate((flow, np.abs(flow)), axis=3).mean(0).reshape(3, 40, 4, 40, 4).mean((1, 3))
    first, second = np.split(flow.mean((1, 2)), 2)
    return {
        "colour": np.mean([frame.mean((0, 1)) for frame in frames[::3]], axis=0),
        "flow": cells.ravel(),
        "halves": first.mean(0) - second.mean(0),
        "sound": mean_log_mel(np.concatenate(sound)),
    }


def mean_log_mel(samples: NDArray[np.float64], rate_hz: int = 16_000) -> NDArray[np.float64]:
    windows = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160] * np.hanning(400)
    spectrum = np.abs(np.fft.rfft(windows, 512))
    edges_hz = 700 * (np.exp(np.linspace(*np.log1p(np.array((125, 7500)) / 700), 66)) - 1)
    bins_hz = np.fft.rfftfreq(512, 1 / rate_hz)
    bands = [np.interp(bins_hz, edges_hz[k : k + 3], (0, 1, 0)) for k in range(64)]
    return np.log(spectrum @ np.array(bands).T + 0.01).mean(0)


def probe(features: Features, stream: str, pair: Pair) -> tuple[float, float]:
    """(accuracy, its standard error under the hypothesis of 50 %), by group."""
    vectors = np.concatenate([features[stream][action.name] for action in pair[1:]])
    groups, labels = np.tile(np.arange(SPEC.groups), 2), np.repeat((0, 1), SPEC.groups)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    said = cross_val_predict(model, vectors, labels, groups=groups, cv=GroupKFold(5))
    by_group = (said == labels).reshape(2, SPEC.groups).mean(0)
    return by_group.mean(), float(np.sqrt(np.sum((by_group - 0.5) ** 2))) / SPEC.groups


def test_every_factor_has_two_pairs() -> None:
    factors = [pair.factor for pair in PAIRS]
    assert {factor: factors.count(factor) for factor in OWN_STREAM} == {
        "appearance": 2, "motion": 6, "sound": 2, "order": 2,
    }  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=name_of)
def test_the_right_stream_tells_a_pair_apart(features: Features, pair: Pair) -> None:
    accuracy, _ = probe(features, OWN_STREAM[pair.factor], pair)
    assert accuracy > 0.9


@pytest.mark.parametrize(("pair", "stream"), WRONG_STREAMS, ids=name_of)
def test_the_wrong_streams_do_not(features: Features, pair: Pair, stream: str) -> None:
    """An order pair defeats all three means."""
    accuracy, error = probe(features, stream, pair)
    assert abs(accuracy - 0.5) <= 2 * error + 1e-9
