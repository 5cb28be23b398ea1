"""Videos unlike the normal ones score higher, whatever stands beside them and whatever streams they lack."""

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from actionrec.anomaly import autoencoder
from actionrec.anomaly.autoencoder import Autoencoder, VectorBatches, Vectors, neighbor_score, score, separation
from actionrec.config import Anomaly
from actionrec.errors import InputError

WIDTH = 24  # two streams of 12 numbers
SETTINGS = Anomaly(hidden=16, bottleneck=4, batch=16, max_epochs=40)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def blob(count: int, seed: int, offset: float = 0.0) -> Vectors:
    """Points that spread in three directions only; an offset leaves their plane."""
    plane = np.random.default_rng(7).normal(size=(3, WIDTH))
    away = np.random.default_rng(8).normal(size=WIDTH)
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 3)) @ plane + 0.1 * random.normal(size=(count, WIDTH)) + offset * away + 5
    return all_present(values)


def all_present(values: NDArray[np.floating]) -> Vectors:
    return Vectors(values.astype(np.float32), np.ones(values.shape, np.bool_))


def without_second_stream(vectors: Vectors, rows: slice, filler: float = 0.0) -> Vectors:
    values, present = vectors.values.copy(), vectors.present.copy()
    values[rows, WIDTH // 2 :], present[rows, WIDTH // 2 :] = filler, False
    return Vectors(values, present)


def trained(normal: Vectors | None = None, settings: Anomaly = SETTINGS, seed: int = 0) -> Autoencoder:
    return autoencoder.train(normal or blob(120, 1), blob(30, 2), settings, seed)[0]


def scores(network: Autoencoder, vectors: Vectors) -> NDArray[np.float64]:
    return score(network, vectors.values, vectors.present)


def test_a_blob_that_was_not_trained_on_scores_higher() -> None:
    network, fresh, strange = trained(), blob(40, 3), blob(40, 4, offset=1.0)
    assert separation(scores(network, strange), scores(network, fresh)).auroc > 0.9  # type: ignore[operator]
    near = [neighbor_score(network, blob(120, 1), each, 5) for each in (strange, fresh)]
    assert separation(*near).auroc > 0.9  # type: ignore[operator]


def test_training_lowers_the_error_of_normal_videos() -> None:
    network, fitted = autoencoder.train(blob(120, 1), blob(30, 2), SETTINGS, 0)
    assert fitted.history[fitted.best_epoch].val_loss < 0.5 * fitted.history[0].val_loss
    assert scores(network, blob(30, 2)).mean() == pytest.approx(fitted.history[fitted.best_epoch].val_loss, rel=1e-5)


def test_the_bottleneck_is_smaller_than_the_embedding() -> None:
    with pytest.raises(InputError, match=r"anomaly\.bottleneck is 24.* 24 numbers"):
        Autoencoder(WIDTH, 16, WIDTH)
    Autoencoder(WIDTH, 16, WIDTH - 1)


def test_inputs_are_standardised_as_scikit_learn_does_it() -> None:
    normal = blob(50, 1)
    normal.values[:, 3] = 0.1  # constant, and not exact in binary: its deviation is rounding, its scale must be 1
    network = trained(normal, Anomaly(hidden=4, bottleneck=2, max_epochs=1))
    expected = StandardScaler().fit_transform(normal.values.astype(np.float64))
    found = network.standardize(torch.from_numpy(normal.values), torch.from_numpy(normal.present)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert network.scale[3] == 1
    other = normal.values[:1] + 2
    shifted = network.standardize(torch.from_numpy(other), torch.ones(1, WIDTH, dtype=torch.bool))
    assert shifted[0, 3].item() == pytest.approx(2)


def test_the_error_is_the_mean_square_over_what_is_present() -> None:
    network = trained()
    video = without_second_stream(blob(1, 3), slice(None))
    standardised = network.standardize(torch.from_numpy(video.values), torch.from_numpy(video.present))
    assert torch.equal(standardised[0, WIDTH // 2 :], torch.zeros(WIDTH // 2))
    with torch.inference_mode():
        reconstruction = network.decoder(network.encoder(standardised))
    squares = (reconstruction - standardised).numpy()[0, : WIDTH // 2].astype(np.float64) ** 2
    assert scores(network, video)[0] == pytest.approx(squares.mean(), rel=1e-5)


def test_what_is_not_present_counts_for_nothing() -> None:
    """Neither in training nor in a score, nor as a neighbour; not even NaN."""
    found = []
    for filler in (0.0, 1e6, np.nan):
        normal = without_second_stream(blob(60, 1), slice(0, 20), filler)
        asked = without_second_stream(blob(10, 3), slice(0, 5), filler)
        network = trained(normal, Anomaly(hidden=8, bottleneck=3, max_epochs=5))
        found.append((scores(network, asked), neighbor_score(network, normal, asked, 5)))
    for mine, near in found[1:]:
        np.testing.assert_array_equal(mine, found[0][0])
        np.testing.assert_array_equal(near, found[0][1])
    assert np.isfinite(found[0][0]).all()


def test_a_stream_that_no_normal_video_has_says_nothing() -> None:
    normal = without_second_stream(blob(60, 1), slice(None))
    network = trained(normal)
    full = blob(5, 3)
    np.testing.assert_array_equal(scores(network, full), scores(network, without_second_stream(full, slice(None))))
    only_second = ~without_second_stream(full, slice(None)).present
    assert autoencoder.scorable(network, full.present).all()
    assert not autoencoder.scorable(network, only_second).any()


def test_a_score_does_not_depend_on_who_is_scored_beside() -> None:
    network, vectors = trained(), without_second_stream(blob(33, 3), slice(0, 10))
    together = scores(network, vectors)
    assert together.dtype == np.float64 and together.shape == (33,)
    alone = [scores(network, vectors.rows(np.arange(33) == row))[0] for row in range(33)]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[::-1], score(network, vectors.values[::-1], vectors.present[::-1]))


def test_scoring_does_not_drop_out() -> None:
    network = trained(settings=Anomaly(hidden=16, bottleneck=4, dropout=0.5, max_epochs=2))
    network.train()
    np.testing.assert_array_equal(scores(network, blob(5, 3)), scores(network, blob(5, 3)))


def test_training_follows_from_its_seed_and_leaves_the_callers_randomness_alone() -> None:
    settings = Anomaly(hidden=8, bottleneck=3, dropout=0.2, max_epochs=3)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = trained(settings=settings)
    assert torch.equal(torch.rand(1), expected)
    again, other = trained(settings=settings), trained(settings=settings, seed=1)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not torch.equal(first.encoder[0].weight, other.encoder[0].weight)  # type: ignore[arg-type]


def test_an_epoch_has_every_video_once_in_an_order_of_its_own() -> None:
    vectors = all_present(np.arange(10)[:, None] * np.ones((1, WIDTH)))
    batches = VectorBatches(vectors, vectors, 4, seed=3)

    def order(epoch: int) -> list[float]:
        return [value for batch in batches.training(epoch) for value in batch.inputs[0][:, 0].tolist()]

    assert sorted(order(0)) == list(range(10))
    assert order(0) == order(0) != order(1)
    assert [len(batch.target) for batch in batches.validation(0)] == [4, 4, 2]


def test_neighbor_scores_by_hand() -> None:
    network = Autoencoder(2, 2, 1)  # mean 0, scale 1
    normal = all_present(np.array([[0, 0], [3, 4], [6, 8]]))
    asked = all_present(np.array([[0, 0], [6, 8], [-3, -4]]))
    np.testing.assert_allclose(neighbor_score(network, normal, asked, 2), [2.5, 2.5, 7.5])
    np.testing.assert_allclose(neighbor_score(network, normal, asked, 100), [5, 5, 10])  # all three of them
    network.scale[:] = torch.tensor([3.0, 4.0])
    np.testing.assert_allclose(neighbor_score(network, normal, asked, 1), [0, 0, np.sqrt(2)])
    assert neighbor_score(network, normal, asked.rows(np.zeros(3, np.bool_)), 1).shape == (0,)


def test_separation_is_what_scikit_learn_says() -> None:
    unusual, usual = np.array([0.9, 0.4, 0.7]), np.array([0.1, 0.5, 0.3, 0.2])
    found = separation(unusual, usual)
    truth, values = [1, 1, 1, 0, 0, 0, 0], [*unusual, *usual]
    assert (found.n_unusual, found.n_usual) == (3, 4)
    assert found.auroc == roc_auc_score(truth, values) == pytest.approx(11 / 12)  # 11 of 12 pairs in order
    assert found.average_precision == average_precision_score(truth, values)
    empty = separation(unusual, usual[:0])
    assert (empty.n_unusual, empty.n_usual, empty.auroc, empty.average_precision) == (3, 0, None, None)
    assert separation(unusual[:0], usual).auroc is None


def test_a_reloaded_network_scores_the_same() -> None:
    network = trained()
    other = Autoencoder(WIDTH, SETTINGS.hidden, SETTINGS.bottleneck)
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    np.testing.assert_array_equal(scores(other, blob(9, 3)), scores(network, blob(9, 3)))
