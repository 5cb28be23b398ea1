"""The systems of Table II on Ray: trained, scored, fused, resumed and replaced."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from actionrec.cluster.session import kept
from actionrec.learning.two_stream import evenly
from actionrec.storage import layout, models
from actionrec.storage.root import Root, open_root, record
from actionrec.storage.samples import made_with, read_sequences, samples
from actionrec.table2.baselines import read_judgements
from tests.tiny_features import clips, make_root
from tests.tiny_roots import actionrec, snapshot

QUICK = {"batch": 8, "max_epochs": 2, "lr": 0.05}
SETTINGS = {
    "seeds": [0, 1],
    "baselines": {
        "two_stream": QUICK | {"frames": 3},
        "multi_stream": QUICK | {"units": [8, 4]},
        "video2vec": QUICK | {"units": 8, "dimension": 5},
    },
}


@pytest.fixture(scope="module", autouse=True)
def one_session() -> Iterator[None]:
    with kept():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    made = make_root(tmp_path_factory.mktemp("baselines") / "root", settings=SETTINGS)
    made.save_config()
    assert actionrec("train", "motion", "--root", made.store.url) == 0
    assert actionrec("baseline", "all", "--root", made.store.url) == 0
    return open_root(made.store.url)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = actionrec(*arguments)
    return code, " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("two_stream", ["spatial", "motion", "mean", "svm"]),
        ("multi_stream", ["spatial", "motion", "audio", "mean", "free", "prior", "both"]),
        ("video2vec", ["nearest of fixed orthonormal vectors"]),
    ],
)
def test_each_system_judges_every_labelled_video_with_every_seed(root: Root, name: str, ways: list[str]) -> None:
    for seed in root.config.seeds:
        found = read_judgements(root, name, seed)
        assert found is not None and list(found) == ways
        for judgement in found.values():
            assert judgement.scores["test"].shape == (12, 3) and judgement.scores["val"].shape == (6, 3)
    silent = (
        np.isnan(read_judgements(root, "multi_stream", 0)["audio"].scores["test"]).any(axis=1)
        if name == "multi_stream"
        else None
    )
    assert silent is None or 0 < silent.sum() < 12


def test_two_streams_scores_are_those_of_its_networks_called_directly(root: Root) -> None:
    judged = read_judgements(root, "two_stream", 1)
    assert judged is not None
    fingerprint = models.seeded(record(root, "two_stream")["fingerprint"], 1)
    frames = models.load(root.output, layout.baseline_network("two_stream", "spatial", 1), fingerprint, "").tensors
    cnn = models.load(root.output, layout.model("motion_cnn"), record(root, "motion_cnn")["fingerprint"], "").tensors
    videos = [video for video in samples(root, "spatial").videos if video.split == "test"]
    for place, video in enumerate(videos):
        own = {}
        for stream in ("spatial", "motion"):
            part = read_sequences(root.store, stream, video.part, [video.video_id], made_with(root, stream))
            sequence = part[video.video_id]
            own[stream] = torch.from_numpy(sequence[evenly(len(sequence), 3)].copy())
        x = (own["spatial"] - frames["mean"]) / frames["scale"]
        spatial = (x @ frames["head.weight"].T + frames["head.bias"]).softmax(1).mean(0).numpy()
        motion = (own["motion"] @ cnn["head.weight"].T + cnn["head.bias"]).softmax(1).mean(0).numpy()
        np.testing.assert_allclose(judged["spatial"].scores["test"][place], spatial, atol=1e-6)
        np.testing.assert_allclose(judged["motion"].scores["test"][place], motion, atol=1e-6)
        np.testing.assert_allclose(judged["mean"].scores["test"][place], (spatial + motion) / 2, atol=1e-6)


def test_what_is_judged_starts_no_ray_and_writes_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("training.ray_train", "table2.scoring"):
        monkeypatch.setattr(f"actionrec.{module}.session", lambda verbose: pytest.fail("there is nothing to compute"))
    before = snapshot(Path(root.store.url))
    assert actionrec("baseline", "all", "--root", root.store.url) == 0
    assert snapshot(Path(root.store.url)) == before


def test_lost_scores_are_computed_again_to_the_bit_and_nothing_else_is(root: Root) -> None:
    before = snapshot(Path(root.store.url))
    path = Path(root.store.url, layout.baseline_scores("video2vec", 1))
    data = path.read_bytes()
    path.unlink()
    assert actionrec("baseline", "video2vec", "--root", root.store.url) == 0
    assert path.read_bytes() == data
    name = path.relative_to(root.store.url).as_posix()
    now = snapshot(Path(root.store.url))
    assert {key: value for key, value in now.items() if key != name} == {
        key: value for key, value in before.items() if key != name
    }


def test_a_replaced_system_leaves_all_others_and_all_streams(root: Root) -> None:
    before = snapshot(Path(root.store.url))
    changed = "baselines.two_stream.frames=2"
    assert actionrec("baseline", "two_stream", "--root", root.store.url, "--set", changed) == 2
    assert snapshot(Path(root.store.url)) == before
    given = ("--set", changed, "--replace", "two_stream")
    assert actionrec("baseline", "two_stream", "--root", root.store.url, *given) == 0
    now = snapshot(Path(root.store.url))
    differing = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    assert differing and all(
        name.startswith(("baselines/two_stream/", "stages/two_stream", "config")) for name in differing
    )


def test_a_refusal_of_one_system_deletes_and_stores_nothing_of_another(
    root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(Path(root.store.url))
    given = ("--replace", "two_stream", "--set", "baselines.video2vec.units=16")
    code, said = refusal(capsys, "baseline", "all", "--root", root.store.url, *given)
    assert code == 2 and "baselines.video2vec.units (it was 8, now 16)" in said
    assert snapshot(Path(root.store.url)) == before


def test_videos_that_are_extracted_later_are_judged_by_the_trained_networks(tmp_path: Path) -> None:
    """Test videos of a part without marks when the system was trained and judged; others would be learnt from."""
    videos = sorted(clips(), key=lambda clip: ("train", "val", "test").index(str(clip.split)))
    late = make_root(tmp_path / "root", videos, settings=SETTINGS | {"seeds": [0]})
    late.save_config()
    assert actionrec("train", "motion", "--root", late.store.url) == 0
    part = samples(late, "spatial").videos[-1].part
    keys = [key for key in late.store.sizes("features/") if key.endswith(f"-{part:06d}.parquet")]
    kept_aside = {key: late.store.read(key) for key in keys if "/plan/" not in key}
    for key in kept_aside:
        late.store.delete(key)
    assert actionrec("baseline", "video2vec", "--root", late.store.url) == 0
    networks = {name: stamp for name, stamp in snapshot(tmp_path / "root").items() if "encoder" in name}
    for key, data in kept_aside.items():
        late.store.put(key, data)
    assert read_judgements(open_root(late.store.url), "video2vec", 0) is None
    assert actionrec("baseline", "video2vec", "--root", late.store.url) == 0
    (judgement,) = read_judgements(open_root(late.store.url), "video2vec", 0).values()
    assert np.isfinite(judgement.scores["test"]).all()
    now = snapshot(tmp_path / "root")
    assert networks and all(now[name] == stamp for name, stamp in networks.items())


def test_what_would_have_no_effect_or_cannot_be_done_is_refused(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    url = root.store.url
    code, said = refusal(capsys, "baseline", "two_stream", "--root", url, "--replace", "video2vec")
    assert code == 2 and "--replace video2vec: `actionrec baseline two_stream` does not make it" in said
    code, said = refusal(capsys, "baseline", "i3d", "--root", url)
    assert code == 2 and "baseline i3d: I3D [10] does not run here yet; choose among two_stream" in said
    code, said = refusal(capsys, "baseline", "two_stream", "--root", url, "--set", "streams=[spatial,audio]")
    assert code == 2 and "it needs the stream motion" in said


def test_table_two_has_the_rows_once_the_proposed_model_is_judged(root: Root) -> None:
    for verb in (("train", "rnn"), ("tune", "svm"), ("train", "fusion"), ("evaluate",)):
        assert actionrec(*verb, "--root", root.store.url) == 0
    rows = pd.read_parquet(Path(root.store.url, "tables/table2.parquet"))
    assert rows["name"].value_counts()[["two_stream", "multi_stream", "video2vec"]].to_list() == [4, 7, 1]
    assert (
        rows.groupby("name")["chosen"].sum()[["proposed", "two_stream", "multi_stream", "video2vec"]].tolist()
        == [1] * 4
    )
