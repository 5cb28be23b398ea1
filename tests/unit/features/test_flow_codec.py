import cv2
import numpy as np
import pytest

from actionrec.errors import InputError, Reason, VideoError
from actionrec.features.flow_codec import decode, encode, levels, resize


def smooth_flow(pairs=3, height=48, width=64, largest_px=5.0, seed=0):
    """Flow that looks like flow: coarse noise, enlarged."""
    rng = np.random.default_rng(seed)
    flow_px = np.stack([cv2.resize(rng.normal(size=(4, 5, 2)), (width, height)) for _ in range(pairs)])
    return (flow_px * (largest_px / np.abs(flow_px).max())).astype(np.float32)


def restored(flow_px, bound_px=20.0, quality=90, width=None, height=None):
    """The flow after it was stored and read again."""
    width, height = width or flow_px.shape[2], height or flow_px.shape[1]
    frames = encode(flow_px, bound_px=bound_px, quality=quality, stored_width=width, stored_height=height)
    assert sum(map(len, frames)) <= flow_px.nbytes / 4
    return decode(frames, bound_px, height, width)


@pytest.mark.parametrize("bound_px", [5.0, 20.0])
def test_what_is_stored_comes_back_within_a_step(bound_px):
    flow_px = smooth_flow()
    error_px = np.abs(restored(flow_px, bound_px) - flow_px)
    assert error_px.mean() < bound_px / 127 and error_px.max() < 8 * bound_px / 127


def test_x_and_y_and_their_signs_keep_their_places():
    flow_px = np.zeros((1, 16, 24, 2), np.float32)
    flow_px[..., 0], flow_px[..., 1] = 3.0, -1.5
    back_px = restored(flow_px, bound_px=3.0)
    assert back_px.shape == flow_px.shape and back_px.dtype == np.float32
    np.testing.assert_allclose(back_px, flow_px, atol=3 / 127)


@pytest.mark.parametrize("quality", [1, 50, 90, 100])
def test_a_still_clip_decodes_to_exactly_zero(quality):
    assert not restored(np.zeros((2, 30, 44, 2), np.float32), quality=quality).any()


def test_what_is_faster_than_the_bound_is_clipped():
    fast = smooth_flow(largest_px=50.0)
    back_px = restored(fast, bound_px=20.0)
    np.testing.assert_allclose(back_px, np.clip(fast, -20, 20), atol=4)
    assert np.abs(back_px).max() <= 20.0


def test_a_pair_is_stored_alike_alone_and_in_a_batch():
    flow_px = smooth_flow()
    np.testing.assert_array_equal(restored(flow_px)[1:2], restored(flow_px[1:2]))


def test_a_smaller_size_averages_and_keeps_pixels_of_the_clip():
    flow_px = smooth_flow(height=48, width=64)
    means = flow_px.reshape(3, 24, 2, 32, 2, 2).mean((2, 4))
    np.testing.assert_allclose(resize(flow_px, 32, 24), means, atol=1e-5)
    assert np.abs(restored(flow_px, 5.0, width=32, height=24) - means).mean() < 2 * 5.0 / 127


def test_a_clip_of_one_frame_has_nothing_to_store():
    assert restored(np.empty((0, 16, 24, 2), np.float32)).shape == (0, 16, 24, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_flow_that_is_not_finite_fails_the_video(value):
    flow_px = smooth_flow()
    flow_px[1, 2, 3, 0] = value
    with pytest.raises(VideoError) as caught:
        restored(flow_px)
    assert caught.value.reason is Reason.NON_FINITE


def jpeg(height, width):
    return cv2.imencode(".jpg", np.full((height, width), 128, np.uint8))[1].tobytes()


def bomb():
    """A JPEG whose header promises 65,535 x 65,535."""
    data, at = jpeg(32, 24), jpeg(32, 24).index(b"\xff\xc0")
    return data[: at + 5] + b"\xff\xff\xff\xff" + data[at + 9 :]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (jpeg(16, 24), "24x32 but is 24x16"),
        (jpeg(32, 32), "24x32 but is 32x32"),
        (bomb(), "65535x65535"),
        (b"", "no JPEG"),
        (b"text", "no JPEG"),
        (jpeg(32, 24)[:30], "no JPEG"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9, "no JPEG"),
        (cv2.imencode(".png", np.zeros((32, 24), np.uint8))[1].tobytes(), "no JPEG"),
        (jpeg(32, 24)[: jpeg(32, 24).index(b"\xff\xda")], "damaged"),
    ],
)
def test_bytes_that_no_encoder_wrote_are_refused(data, complaint):
    with pytest.raises(InputError, match=complaint):
        decode([data], 1.0, 16, 24)


@pytest.mark.parametrize(
    ("bound_px", "height", "width"),
    [(0.0, 16, 24), (np.nan, 16, 24), (1.0, 0, 24), (1.0, 16, -1), (1.0, 2**31 - 1, 2**31 - 1), (1.0, 5000, 24)],
)
def test_impossible_bounds_and_sizes_are_refused(bound_px, height, width):
    with pytest.raises(InputError, match="extract it again"):
        decode([jpeg(32, 24)], bound_px, height, width)


def test_a_size_that_would_fill_the_memory_is_refused_before_anything_is_allocated():
    for frames in ([], [jpeg(32, 24)] * 1000):
        with pytest.raises(InputError, match="has the size"):
            levels(frames, 2**31 - 1, 2**31 - 1)
    with pytest.raises(InputError, match="4096x8192 but is 24x32"):
        levels([jpeg(32, 24)] * 10**6, 4096, 4096)  # 33 TB, by headers alone


def test_a_jpeg_that_was_cut_for_want_of_memory_is_not_stored(monkeypatch):
    whole = cv2.imencode(".jpg", np.full((32, 24), 128, np.uint8))[1]
    for data in (whole[: len(whole) // 2], ()):  # what OpenCV returns then
        monkeypatch.setattr(cv2, "imencode", lambda *arguments, data=data: (False, data))
        with pytest.raises(MemoryError, match="JPEG of 24x32"):
            encode(np.zeros((1, 16, 24, 2), np.float32), bound_px=20, quality=90, stored_width=24, stored_height=16)
