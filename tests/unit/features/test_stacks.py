"""Index examples by hand: the flow numbered p has x = p and y = -p everywhere."""

import numpy as np
import pytest

from actionrec.features.stacks import stack, stack_starts, stacks_in


def numbered(pairs, height=2, width=3):
    flow_px = np.empty((pairs, height, width, 2), np.float32)
    flow_px[..., 0] = np.arange(pairs)[:, None, None]
    flow_px[..., 1] = -np.arange(pairs)[:, None, None]
    return flow_px


def test_starts_are_clamped_to_the_last_whole_stack():
    assert stack_starts(30, [0, 7, 20, 21, 30]).tolist() == [0, 7, 20, 20, 20]
    assert stack_starts(10, [0, 5, 10]).tolist() == [0, 0, 0]
    assert stack_starts(4, [0, 3, 4]).tolist() == [0, 0, 0]


@pytest.mark.parametrize("pairs", [0, 1, 9, 10, 11, 30])
def test_there_are_as_many_stacks_as_starts(pairs):
    assert stacks_in(pairs) == len(set(stack_starts(pairs, range(pairs + 1)).tolist()))


@pytest.mark.parametrize(
    ("pairs", "frame", "flows"),
    [
        (30, 7, range(7, 17)),
        (30, 30, range(20, 30)),  # the last frame has no flow of its own
        (10, 3, range(10)),
        (4, 2, [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]),
        (1, 1, [0] * 10),
    ],
)
def test_a_stack_holds_ten_flows_in_a_row(pairs, frame, flows):
    channels = stack(numbered(pairs), frame)
    assert channels.shape == (20, 2, 3) and channels.dtype == np.float32
    assert channels[0::2, 0, 0].tolist() == list(flows)
    assert channels[1::2, 1, 2].tolist() == [-flow for flow in flows]


def test_rows_and_columns_stay_in_place():
    flow_px = np.arange(12 * 2 * 3 * 2, dtype=np.float32).reshape(12, 2, 3, 2)
    assert (stack(flow_px, 1)[5] == flow_px[3, :, :, 1]).all()  # channel 5 = y of the third flow from 1


def test_one_frame_has_no_flow():
    assert (stack(np.empty((0, 2, 3, 2), np.float32), 0) == np.zeros((20, 2, 3))).all()
