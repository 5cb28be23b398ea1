"""The motion CNN: its layers at any size, and how stored flow becomes its input."""

from typing import Any

import numpy as np
import pytest
import torch

from actionrec.features import flow_codec, motion_cnn
from actionrec.features.motion_cnn import (
    MotionCNN,
    MotionEmbedder,
    flip,
    middle_stack,
    stack_levels,
    to_px,
    training_stack,
)
from actionrec.features.stacks import stack, stack_starts

HEIGHT, WIDTH, BOUND = 16, 20, 20.0


def row(pairs: int) -> dict[str, Any]:
    flow_px = np.random.default_rng(pairs).normal(0, 4, (pairs, HEIGHT, WIDTH, 2)).astype(np.float32)
    frames = flow_codec.encode(flow_px, bound_px=BOUND, quality=95, stored_width=WIDTH, stored_height=HEIGHT)
    return {"flow": frames, "bound_px": BOUND, "height": HEIGHT, "width": WIDTH}


def network(height: int = HEIGHT, width: int = WIDTH) -> MotionCNN:
    torch.manual_seed(0)
    return MotionCNN(height, width, 3, 0.5).eval()


@pytest.mark.parametrize(("height", "width", "inputs"), [(16, 20, 512), (60, 80, 512 * 6), (17, 33, 512 * 2)])
def test_it_takes_flow_of_any_size(height: int, width: int, inputs: int) -> None:
    built = network(height, width)
    stacks = torch.randn(2, 20, height, width)
    assert built.hidden[0].in_features == inputs
    assert built.embed(stacks).shape == (2, 2048) and built(stacks).shape == (2, 3)
    built.train()(stacks).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in built.parameters())


def test_the_first_dense_layer_alone_has_the_width_that_is_asked_for() -> None:
    wide, narrow = (MotionCNN(HEIGHT, WIDTH, 3, 0.5, hidden) for hidden in (4096, 64))
    changed = {k for k, v in wide.state_dict().items() if v.shape != narrow.state_dict()[k].shape}
    assert changed == {"hidden.0.weight", "hidden.0.bias", "hidden.3.weight"}
    assert narrow.embed(torch.randn(2, 20, HEIGHT, WIDTH)).shape == (2, 2048)


@pytest.mark.parametrize("pairs", [0, 1, 7, 10, 25])
@pytest.mark.parametrize("frame", [0, 3, 24])
def test_a_stack_is_that_of_the_decoded_flow(pairs: int, frame: int) -> None:
    clip = row(pairs)
    flow_px = flow_codec.decode(clip["flow"], BOUND, HEIGHT, WIDTH)
    levels = stack_levels(clip, frame).astype(np.float32) * np.float32(BOUND / flow_codec.LEVELS)
    np.testing.assert_allclose(levels, stack(flow_px, frame), atol=1e-6)


def test_pixels_have_no_mean_flow_left() -> None:
    levels = torch.from_numpy(stack_levels(row(12), 0))[None]
    px = to_px(levels, torch.tensor([BOUND]))
    torch.testing.assert_close(px.mean((2, 3)), torch.zeros(1, 20), atol=1e-5, rtol=0)
    expected = levels[0, 3].float() * BOUND / 127
    torch.testing.assert_close(px[0, 3], expected - expected.mean())


def test_a_mirror_turns_the_sign_of_x_and_keeps_y() -> None:
    levels = stack_levels(row(12), 0)
    mirrored = flip(levels)
    assert (mirrored[0::2] == -levels[0::2, :, ::-1]).all() and (mirrored[1::2] == levels[1::2, :, ::-1]).all()
    assert (flip(mirrored) == levels).all()


def test_training_stacks_vary_and_follow_from_their_generator() -> None:
    clip = row(25)
    drawn = [training_stack(clip, np.random.default_rng(seed), mirror=True).tobytes() for seed in range(12)]
    assert drawn[3] == training_stack(clip, np.random.default_rng(3), mirror=True).tobytes()
    assert len(set(drawn)) > 4  # the frames of the last second share a stack, as they do when they are embedded
    assert middle_stack(clip).tobytes() == stack_levels(clip, 7).tobytes()


def test_an_embedding_does_not_depend_on_the_batch() -> None:
    clip = row(25)
    whole = MotionEmbedder(network(), batch=16)(clip, [0, 5, 20])
    assert whole.shape == (3, 2048) and whole.dtype == np.float32
    alone = MotionEmbedder(network(), batch=1)(clip, [0, 5, 20])
    np.testing.assert_allclose(alone, whole, atol=1e-5)


@pytest.mark.parametrize("pairs", [1, 10, 14, 25])
def test_a_training_stack_begins_anywhere_with_equal_chance(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last start came up as often as all frames of the clip's last ten flows together."""
    starts: list[int] = []
    stack = np.zeros((20, 1, 1), np.int8)

    def note(row: dict[str, Any], frame_index: int) -> np.ndarray[Any, np.dtype[np.int8]]:
        starts.append(int(stack_starts(pairs, [frame_index])[0]))
        return stack

    monkeypatch.setattr(motion_cnn, "stack_levels", note)
    rng = np.random.default_rng(0)
    for _ in range(4000):
        training_stack({"flow": [b""] * pairs}, rng, mirror=False)
    count = max(1, pairs - 9)
    found = np.bincount(starts, minlength=count)
    assert len(found) == count and np.abs(found / 4000 - 1 / count).max() < 4 * (0.25 / 4000) ** 0.5
