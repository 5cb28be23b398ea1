"""Distances against a plain loop, and what must hold of videos that lack a stream."""

import numpy as np
import pytest

from actionrec.learning.embeddings import Embeddings
from actionrec.search.space import Space, distances, nearest, space_of

WIDTHS = {"spatial": 6, "audio": 4}


def embeddings(videos: int = 30, seed: int = 0, silent: float = 0.4) -> Embeddings:
    random = np.random.default_rng(seed)
    present = {stream: random.random(videos) >= (silent if stream == "audio" else 0.1) for stream in WIDTHS}
    vectors = {
        stream: np.where(present[stream][:, None], 100 * place + random.normal(size=(videos, width)), 0)
        for place, (stream, width) in enumerate(WIDTHS.items())
    }
    return Embeddings([f"v{n}" for n in range(videos)], {s: v.astype(np.float32) for s, v in vectors.items()}, present)


def by_hand(found: Embeddings, space: Space, one: int, other: int) -> float:
    """1 - the mean cosine of the streams that both have."""
    cosines = []
    for stream in WIDTHS:
        if found.present[stream][one] and found.present[stream][other]:
            a, b = (
                (found.vectors[stream][n].astype(float) - space.mean[stream]) / space.scale[stream]
                for n in (one, other)
            )
            cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return 1 - float(np.mean(cosines)) if cosines else np.inf


def test_a_distance_is_that_of_the_streams_that_both_have() -> None:
    found = embeddings()
    space = space_of(found, np.arange(20))
    points = space.points(found)
    matrix = distances(points, points)
    expected = [[by_hand(found, space, one, other) for other in range(30)] for one in range(30)]
    np.testing.assert_allclose(matrix, expected, atol=1e-5)
    assert np.isinf(matrix).any() and np.isfinite(matrix).any()


def test_only_training_videos_set_the_scale_and_a_constant_number_is_scaled_by_one() -> None:
    found = embeddings(silent=0.0)
    found.vectors["audio"][:, 1] = 7.0
    space = space_of(found, np.arange(10))
    known = found.vectors["audio"][:10][found.present["audio"][:10]]
    np.testing.assert_allclose(space.mean["audio"], known.mean(0), rtol=1e-5)
    assert space.scale["audio"][1] == 1 and np.isfinite(space.points(found).unit_ND).all()


def test_a_video_alone_is_where_it_is_among_others() -> None:
    found = embeddings()
    space = space_of(found, np.arange(20))
    for place in range(30):
        alone = space.point({stream: v for stream, v in found.video(place).items() if v is not None})
        np.testing.assert_array_equal(alone.unit_ND[0], space.points(found).unit_ND[place])


def test_the_nearest_come_first_and_of_equals_the_first_one() -> None:
    found = embeddings(silent=0.0)
    for vectors_ND in found.vectors.values():
        vectors_ND[[5, 9, 20]] = vectors_ND[2]
    for present_N in found.present.values():
        present_N[:] = True
    space = space_of(found, np.arange(20))
    points = space.points(found)
    places, distance_N = nearest(points.rows(np.array([9])), points, 6)
    assert places[:4].tolist() == [2, 5, 9, 20] and distance_N[:4] == pytest.approx(0, abs=1e-6)
    assert (np.diff(distance_N) >= 0).all() and len(places) == 6
    assert len(nearest(points.rows(np.array([9])), points, 1000)[0]) == 30
