"""The rows of Table II, and which of them run here."""

import dataclasses

import pytest

from actionrec import config
from actionrec.errors import InputError
from actionrec.storage.stages import BASELINES, STAGES
from actionrec.storage.streams import STREAMS
from actionrec.table2.runnable import SYSTEMS
from actionrec.table2.systems import chosen, published


def test_the_rows_are_the_papers_in_its_order() -> None:
    assert [(row.system, row.paper_top1) for row in published()] == [
        ("Proposed model", 0.931),
        ("Two-stream fusion [1]", 0.88),
        ("Multi-stream [2]", 0.926),
        ("video2vec [8]", 0.875),
        ("C3D [9]", 0.904),
        ("I3D [10]", 0.98),
        ("ResNeXt-101 (64f) [11]", 0.945),
    ]
    assert [row.streams for row in published()][-1] == "Spatial" and published()[2].type == "2D CNN + RNN (LSTM)"


def test_what_runs_is_a_stage_a_section_and_a_row_of_the_table() -> None:
    sections = [item.name for item in dataclasses.fields(config.Baselines)]
    assert list(SYSTEMS) == list(BASELINES) == sections == [row.name for row in published()][1:4]
    assert {STAGES[name].verb for name in SYSTEMS} == {"baseline"}


@pytest.mark.parametrize("name", BASELINES)
def test_a_stage_needs_the_streams_that_its_system_reads(name: str) -> None:
    for streams in (("spatial", "motion", "audio"), ("spatial", "motion")):
        found = config.load([{"streams": list(streams)}])
        needed = {stage for stage in STAGES[name].needs(found) if stage in STREAMS}
        assert needed == set(SYSTEMS[name].streams(found))


def test_all_are_three_and_others_are_refused_by_what_they_are() -> None:
    assert chosen("all") == BASELINES and chosen("video2vec") == ("video2vec",)
    with pytest.raises(InputError, match=r"baseline c3d: C3D \[9\] does not run here yet; choose among two_stream"):
        chosen("c3d")
    with pytest.raises(InputError, match="baseline 2stream: there is no such system in Table II; choose among"):
        chosen("2stream")


@pytest.mark.parametrize("name", BASELINES)
def test_a_system_says_which_stream_it_lacks(name: str) -> None:
    with pytest.raises(InputError, match=f"baseline {name}: it needs the stream motion.*--set streams"):
        SYSTEMS[name].network_names(config.load([{"streams": ["spatial", "audio"]}]))
