"""What a forecast promises: more work takes longer, more machines less, and every rate says where it comes from."""

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from torch import nn

from actionrec import config
from actionrec.errors import InputError
from actionrec.features.sampling import budget
from actionrec.learning.rnn import SequenceClassifier
from actionrec.learning.stacked_lstm import StackedLstm
from actionrec.planning import rates
from actionrec.planning.baselines import networks
from actionrec.planning.forecast import NODES, Forecast, Node, PlannedCluster, cluster_of, forecast, parameters, work
from actionrec.storage.root import open_root
from actionrec.table1.architectures import TABLE1
from tests.tiny_features import make_root

PAPER = config.load([])
GPUS = cluster_of(["g6.2xlarge=4"], NODES)
PAPER_RATES = rates.assumed(PAPER, 10.0)


def planned(videos: int = 1000, seconds: float = 10.0, cluster: PlannedCluster = GPUS) -> Forecast:
    return forecast(videos, seconds, cluster, PAPER, PAPER_RATES)


def test_nodes_add_up() -> None:
    assert cluster_of(["a=2", "b=3"], {"a": Node(8, 1, 10), "b": Node(4)}) == PlannedCluster(28, 2, 20)


@pytest.mark.parametrize(
    "text", ["g6.2xlarge", "g6.2xlarge=", "g6.2xlarge=0", "g6.2xlarge=-1", "g6.2xlarge=1.5", "x=1", "=1"]
)
def test_a_node_that_is_not_known_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(InputError, match=r"TYPE=COUNT.*g5\.2xlarge"):
        cluster_of([text], NODES)


@pytest.mark.parametrize("seconds", [0.04, 0.5, 2.0, 7.2, 36.0, 500.0])
def test_a_video_has_as_many_samples_as_sampling_takes(seconds: float) -> None:
    from fractions import Fraction

    seen = min(Fraction(str(seconds)), 36)
    made = work(seconds, PAPER)
    assert made.samples == budget(seen, max(1, int(seen * 25)), PAPER.sampling)
    assert made.pairs == made.frames - 1


@pytest.mark.parametrize(
    "row", [row for row in TABLE1 if not row.attention and row.units < 1024], ids=lambda row: row.name
)
def test_parameters_are_those_of_the_network(row: object) -> None:
    network = SequenceClassifier(row.of(PAPER.rnn), 96, 5)  # type: ignore[attr-defined]
    assert isinstance(network.recurrent, nn.RNNBase)
    assert parameters(row, 96) == sum(each.numel() for each in network.recurrent.parameters())  # type: ignore[arg-type]


def test_twice_the_videos_take_twice_the_time_but_for_the_start_and_twice_the_bytes() -> None:
    none, one, two = planned(1), planned(100_001), planned(200_001)
    assert two.hours - none.hours == pytest.approx(2 * (one.hours - none.hours), rel=0.01)
    assert sum(two.bytes_of.values()) == pytest.approx(2 * sum(one.bytes_of.values()), rel=0.01)


def test_longer_videos_take_longer_up_to_the_clip_that_is_seen() -> None:
    hours = [planned(seconds=seconds).hours for seconds in (2, 10, 36, 90)]
    assert hours[0] < hours[1] < hours[2] == hours[3]


def test_more_machines_take_less_time_and_no_fewer_gpu_hours() -> None:
    few, many = planned(20_000), planned(20_000, cluster=cluster_of(["g6.2xlarge=16"], NODES))
    assert many.hours < few.hours
    assert sum(s.gpu_h for s in many.stages) >= sum(s.gpu_h for s in few.stages) > 0


def test_without_gpus_there_are_no_gpu_hours() -> None:
    found = forecast(100, 2, PlannedCluster(2, 0, 0), PAPER, rates.assumed(PAPER, 0))
    assert found.hours > 0 and not any(stage.gpu_h for stage in found.stages)


def test_flow_is_what_costs_and_dis_is_not() -> None:
    quick = config.load([{"flow": {"model": "dis"}}])
    assert rates.assumed(quick, 10).step_s["flow"] < PAPER_RATES.step_s["flow"]
    assert "82.60 of flow" in PAPER_RATES.sources[0] and "of flow" not in rates.assumed(quick, 10).sources[0]


def test_counted_operations_are_the_published_ones() -> None:
    assert PAPER_RATES.costs["spatial"].gflop == pytest.approx(26.3, abs=0.1)  # InceptionResNetV2 at 299
    assert {name: cost.width for name, cost in PAPER_RATES.costs.items()} == {
        "flow": 0, "spatial": 1536, "motion": 2048, "audio": 128,
    }  # fmt: skip


def test_sound_without_a_network_costs_a_core_and_no_operations() -> None:
    assumed = rates.assumed(config.load([{"audio": {"model": "logmel"}}]), 10)
    assert (assumed.costs["audio"].width, assumed.costs["audio"].gflop) == (128, 0)
    assert assumed.step_s["audio"] == rates.assumed(config.load([{"audio": {"model": "logmel"}}]), 1000).step_s["audio"]
    assert "of audio" not in assumed.sources[0] and "of audio" in PAPER_RATES.sources[0]


def test_the_objects_are_those_that_a_run_writes() -> None:
    whole = planned(160)
    for streams, method, fewer in ((["spatial", "audio"], "adaptive", 1), (["spatial"], "uniform", 3)):
        chosen = config.load([{"streams": streams, "sampling": {"method": method}}])
        found = forecast(160, 10, GPUS, chosen, PAPER_RATES)
        assert whole.objects - found.objects == 20 * fewer  # a stream has a file and its mark for each of ten parts
        assert found.hours < whole.hours


def test_a_root_without_features_measures_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is measured here; run extract"):
        rates.measured(open_root(str(tmp_path / "new")), PAPER_RATES)
    make_root(tmp_path / "root")
    with pytest.raises(InputError, match="nothing is measured; leave --root out"):  # made without decoding anything
        rates.measured(open_root(str(tmp_path / "root")), PAPER_RATES)


def test_every_assumption_is_a_sentence_that_is_shown() -> None:
    said = planned().assumptions
    assert set(PAPER_RATES.sources) < set(said)
    assert planned().stages[0].name == "extract"
    assert [row[0] for row in planned().times().rows][-1] == "all"
    assert dataclasses.asdict(planned())["objects"] > 0


def test_times_are_in_words_and_money_stands_beside_them() -> None:
    found = planned()
    assert found.times().columns == ["stage", "time", "GPU time", "what bounds it"]
    priced = found.times(per_hour=3.92)
    assert priced.columns == ["stage", "time", "GPU time", "cost", "what bounds it"]
    costs = [float(row[3].replace(",", "")) for row in priced.rows]
    assert costs[-1] == pytest.approx(3.92 * found.hours, abs=0.01) == pytest.approx(sum(costs[:-1]), abs=0.04)
    assert dict(found.sizes().rows)["audio"].endswith(" MB")  # a few of them, and not 0.00 GB


def test_the_systems_of_table_two_are_forecast_where_they_are_trained_and_else_said_not_to_be() -> None:
    without = planned(10_000)
    assert any("Table II are not counted" in said for said in without.assumptions)
    asked = config.load([{"table2": {"rows": ["two_stream", "multi_stream", "video2vec"]}}])
    found = forecast(10_000, 10.0, GPUS, asked, PAPER_RATES)
    [stage] = [each for each in found.stages if each.name == "baseline"]
    assert stage.hours > 0 and stage.why == "5 networks of 3 systems"
    assert found.hours == pytest.approx(without.hours + stage.hours)
    assert not any("Table II" in said for said in found.assumptions)


def test_the_systems_weights_are_those_of_their_networks() -> None:
    widths, units = {"spatial": 96, "motion": 80, "audio": 16}, (24, 12)
    knobs = config.load([{"baselines": {"multi_stream": {"units": list(units)}, "video2vec": {"units": 32}}}])
    [(_, spatial), _, _] = networks("multi_stream", knobs, widths, 5)
    layers = StackedLstm(96, units, 5, 0.0).layers
    assert spatial == {"spatial": sum(each.numel() for each in layers.parameters())}
    [(_, both)] = networks("video2vec", knobs, widths, 5)
    encoder = nn.GRU(80, 32)
    assert both["motion"] == sum(each.numel() for each in encoder.parameters())
    [(_, frames)] = networks("two_stream", knobs, widths, 5)
    assert frames == {"spatial": 96 * 5}


def tables(frames: dict[str, int], sizes: dict[str, int | None], start_s: float | None = None) -> tuple[Any, Any]:
    """A catalog and a status table."""
    starts = pa.array([start_s] * len(sizes), pa.float64())
    catalog = pa.table({"video_id": list(sizes), "bytes": pa.array(sizes.values(), pa.int64()), "start_s": starts})
    return catalog, pa.table({"video_id": list(frames), "frames_decoded": list(frames.values())})


@pytest.mark.parametrize(
    ("frames", "sizes", "start_s", "mean_s", "told"),
    [
        ({"a": 50, "b": 100}, {"a": 10, "b": 20}, None, 3.0, "2 decoded videos, 3 s on average"),
        ({"a": 50}, {"a": 1000, "b": 3000}, None, 4.0, "2 s on average at 25 frames/s, and 4 s of all 2, by their"),
        ({"a": 50}, {"a": 1000, "b": None}, None, 2.0, "1 decoded video, 2 s"),
        ({"a": 50}, {"a": 1000, "b": 3000}, 1.5, 2.0, "1 decoded video, 2 s"),
    ],
)
def test_lengths_are_those_of_the_root(
    frames: dict[str, int], sizes: dict[str, int | None], start_s: float | None, mean_s: float, told: str
) -> None:
    found_s, said = rates.mean_video_s(*tables(frames, sizes, start_s))
    assert found_s == mean_s and told in said
