"""Near pairs: all of them, whatever the block or the method; which are kept; and what faiss's absence says."""

import sys

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.search import pairs
from actionrec.search.pairs import Pairs, near_pairs, usual_threshold
from actionrec.search.space import Points, distances

COLUMNS = np.repeat(np.arange(3), 16)


def unit(vectors_ND: np.ndarray, present_NS: np.ndarray) -> Points:
    parts = [vectors_ND[:, stream == COLUMNS] for stream in range(3)]
    parts = [each / np.linalg.norm(each, axis=1, keepdims=True) * present_NS[:, [n]] for n, each in enumerate(parts)]
    return Points(np.concatenate(parts, axis=1).astype(np.float32), present_NS, COLUMNS)


def made(videos: int, seed: int = 0) -> tuple[Points, np.ndarray, np.ndarray]:
    """Every third video is a near copy of another one; many lack a stream; groups of two, and three splits or none."""
    random = np.random.default_rng(seed)
    vectors_ND = random.normal(size=(videos, 48))
    copies = np.arange(0, videos, 3)
    vectors_ND[copies] = vectors_ND[random.integers(videos, size=len(copies))] + 0.1 * random.normal(
        size=(len(copies), 48)
    )
    present_NS = random.random((videos, 3)) > 0.25
    present_NS[:, 0] |= ~present_NS.any(axis=1)
    return unit(vectors_ND, present_NS), random.integers(videos // 2, size=videos), random.integers(-1, 3, size=videos)


def listed(found: Pairs) -> dict[tuple[int, int], tuple[float, bool]]:
    columns = (found.first.tolist(), found.second.tolist(), found.distance.tolist(), found.across_splits.tolist())
    return {(one, other): (near, across) for one, other, near, across in zip(*columns, strict=True)}


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("numbers", [1, 5000, 2**24])
def test_every_near_pair_of_different_groups_is_found_once(
    exact: bool, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "BLOCK_NUMBERS", numbers)
    points, group_N, split_N = made(400)
    found = near_pairs(points, group_N, split_N, 0.1, exact=exact)
    matrix = distances(points, points)
    expected = {
        (one, other): split_N[one] != split_N[other] and min(split_N[one], split_N[other]) >= 0
        for one, other in zip(*np.nonzero(np.triu(matrix <= 0.1, 1)), strict=True)
        if group_N[one] != group_N[other]
    }
    mine = listed(found)
    assert {pair: across for pair, (_, across) in mine.items()} == expected and len(expected) > 50
    assert (found.total, found.total_across) == (len(expected), sum(expected.values()))
    for (one, other), (near, _) in mine.items():
        assert near == pytest.approx(matrix[one, other], abs=1e-5)
    order = [(not across, near) for near, across in mine.values()]
    assert order == sorted(order)  # across splits first, then the nearest


def test_of_very_many_pairs_those_that_matter_are_kept_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "KEPT_PAIRS", 10)
    monkeypatch.setattr(pairs, "BLOCK_NUMBERS", 300)
    points, group_N, split_N = made(100)
    found, whole = near_pairs(points, group_N, split_N, 2.0, exact=True), distances(points, points)
    one, other = np.nonzero(np.triu(np.isfinite(whole), 1))
    apart = group_N[one] != group_N[other]
    across = apart & (split_N[one] != split_N[other]) & (np.minimum(split_N[one], split_N[other]) >= 0)
    assert (found.total, found.total_across, len(found.first)) == (apart.sum(), across.sum(), 10)
    np.testing.assert_allclose(found.distance, np.sort(whole[one, other][across])[:10], atol=1e-6)


def test_one_video_and_none_have_no_pair() -> None:
    points, group_N, split_N = made(50)
    for count in (0, 1):
        few = points.rows(slice(0, count))
        for exact in (True, False):
            assert near_pairs(few, group_N[:count], split_N[:count], 2.0, exact=exact).total == 0
        assert usual_threshold(few, group_N[:count]) == pairs.LIMITS[1]


def test_without_faiss_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    points, group_N, split_N = made(50)
    with pytest.raises(InputError, match=r"more than 50,000 videos.*pip install 'actionrec\[search\]'"):
        near_pairs(points, group_N, split_N, 0.1, exact=False)
    assert near_pairs(points, group_N, split_N, 0.1, exact=True).total > 0


@pytest.mark.parametrize(("noise", "expected"), [(3.0, 0.3), (0.8, 0.15), (0.05, 0.1)])
def test_the_usual_threshold_follows_how_near_unrelated_videos_lie(noise: float, expected: float) -> None:
    """Also where most videos have a copy in another group."""
    random = np.random.default_rng(0)
    centre_C = random.normal(size=(4, 48))
    own = centre_C[np.arange(300) % 4] + noise * random.normal(size=(300, 48))
    copies = own[:120] + 0.02 * noise * random.normal(size=(120, 48))
    vectors_ND = np.concatenate([own, copies])
    points = unit(vectors_ND, np.ones((420, 3), bool))
    found = usual_threshold(points, np.arange(420))
    assert found == pytest.approx(expected, abs=0.04) and pairs.LIMITS[0] <= found <= pairs.LIMITS[1]
    near = near_pairs(points, np.arange(420), np.zeros(420, np.int64), found, exact=True)
    assert {(n, 300 + n) for n in range(120)} <= listed(near).keys()
    if noise > 0.05:  # else copies and others of a class are as near as the lower limit
        assert near.total == 120
