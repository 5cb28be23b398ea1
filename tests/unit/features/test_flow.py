import contextlib
import io
import logging

import cv2
import numpy as np
import pytest
import torch

from actionrec.errors import InputError
from actionrec.features.flow import DisFlow, PtlFlow, correlate, load_ptlflow, mean_displacement_px


def texture(height, width, seed=0):
    """A smooth coloured picture with enough detail to track, uint8 RGB [H, W, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (height // 8, width // 8, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def moving_frames(total=3, height=96, width=128, step=(3, -2)):
    """Frames whose whole picture moves by `step` = (x, y) pixels from one to the next."""
    picture = texture(height + 64, width + 64)
    x, y = step
    return np.stack([picture[32 - y * k : 32 - y * k + height, 32 - x * k : 32 - x * k + width] for k in range(total)])


def test_dis_measures_a_known_shift_x_then_y():
    flow_px = DisFlow()(moving_frames(), batch=8)
    assert flow_px.shape == (2, 96, 128, 2) and flow_px.dtype == np.float32
    inside = flow_px[:, 16:-16, 16:-16]
    np.testing.assert_allclose(np.median(inside, axis=(1, 2)), [[3, -2]] * 2, atol=0.1)


def test_dis_does_not_depend_on_its_history():
    dis, frames = DisFlow(), moving_frames(4)
    assert (dis(frames, batch=1)[1:] == dis(frames[1:], batch=8)).all()


@pytest.mark.parametrize("size", [(16, 16), (17, 31)])
def test_dis_takes_the_smallest_and_odd_sizes(size):
    assert np.isfinite(DisFlow()(moving_frames(2, *size, step=(1, 1)), batch=1)).all()


class Brightness(torch.nn.Module):
    """Answers each pair with (mean blue of the first, mean red of the second): proves order, channels and scale."""

    def forward(self, inputs):
        images = inputs["images"]  # [pairs, 2, BGR, H, W]
        answer = torch.stack((images[:, 0, 0], images[:, 1, 2]), dim=1)
        return {"flows": answer[:, None]}


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_network_is_given_bgr_pairs_in_order_whatever_the_batch(batch):
    frames = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
    frames.flags.writeable = False
    flow_px = PtlFlow(Brightness())(frames, batch)
    assert flow_px.dtype == np.float32
    np.testing.assert_allclose(flow_px[..., 0], frames[:-1, ..., 2] / 255, rtol=1e-6)
    np.testing.assert_allclose(flow_px[..., 1], frames[1:, ..., 0] / 255, rtol=1e-6)


@pytest.mark.parametrize("flow_net", [DisFlow(), PtlFlow(Brightness())])
def test_one_frame_has_no_flow(flow_net):
    assert flow_net(moving_frames(1), batch=4).shape == (0, 96, 128, 2)


def test_a_network_that_does_not_answer_with_one_flow_is_refused():
    class TwoFlows(Brightness):
        def forward(self, inputs):
            flows = super().forward(inputs)["flows"]
            return {"flows": torch.cat((flows, flows), dim=1)}

    with pytest.raises(InputError, match=r"flow\.model"):
        PtlFlow(TwoFlows())(moving_frames(2), batch=1)


def test_correlation_by_definition():
    first, second = torch.randn(2, 2, 3, 6, 25, generator=torch.Generator().manual_seed(0))
    answer = correlate(first, second)
    padded = torch.nn.functional.pad(second, (20, 20, 20, 20))
    expected = [
        (first * padded[:, :, dy : dy + 6, dx : dx + 25]).mean(dim=1)
        for dy in range(0, 41, 2)
        for dx in range(0, 41, 2)
    ]
    torch.testing.assert_close(answer, torch.stack(expected, dim=1))


@pytest.fixture(scope="module")
def flownet2():
    """FlowNet2 with seeded weights: 162 million, 650 MB, so one for all tests here."""
    torch.manual_seed(0)
    return load_ptlflow("flownet2")


def stock_flow(network, pair):
    """What ptlflow's own documentation does: BGR images, IOAdapter, forward."""
    from ptlflow.utils.io_adapter import IOAdapter

    adapter = IOAdapter(network.output_stride, pair.shape[1:3])
    with torch.no_grad():
        flows = network.eval()(adapter.prepare_inputs([cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in pair]))
    return flows["flows"][0, 0].permute(1, 2, 0).numpy()


def test_flownet2_equals_stock_ptlflow(flownet2):
    pair = moving_frames(2, 240, 320)
    stock = stock_flow(flownet2, pair)  # before PtlFlow puts its correlation in
    flow_net = PtlFlow(flownet2)
    ours, swapped = flow_net(pair, 1)[0], flow_net(pair[..., ::-1], 1)[0]
    assert stock.shape == (240, 320, 2) and np.isfinite(stock).all()
    assert stock.std() > 0.1  # random weights, yet an answer that depends on the place
    np.testing.assert_allclose(ours, stock, atol=1e-3)  # measured 3e-5, over a spread of 1.3 px
    assert np.abs(swapped - stock).max() > 1e-2  # the same comparison fails for RGB taken as BGR


def test_an_unknown_model_names_the_key_and_its_neighbours():
    with pytest.raises(InputError, match=r"flow\.model.*'flownet3'.*flownet2"):
        load_ptlflow("flownet3")


def test_loading_is_quiet_and_leaves_the_log_as_it_was():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        load_ptlflow("rapidflow_it1")
    assert out.getvalue() == err.getvalue() == ""
    assert logging.getLogger("another").isEnabledFor(logging.WARNING)


def test_mean_displacement_is_the_mean_length():
    flow_px = np.zeros((2, 1, 2, 2), np.float32)
    flow_px[0, 0] = [[3, 4], [0, 0]]  # lengths 5 and 0
    flow_px[1, 0] = [[-5, 12], [0, -1]]  # 13 and 1
    assert mean_displacement_px(flow_px).tolist() == [2.5, 7.0]
    assert mean_displacement_px(flow_px[:0]).shape == (0,)
