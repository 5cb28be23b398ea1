"""video2vec, held against torch.nn run on each unpadded sequence, and its loss against hand-computed values."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from actionrec.config import Training
from actionrec.errors import InputError
from actionrec.learning.loop import Batch, fit
from actionrec.learning.video2vec import Encoder, Video2vec, cosines, max_margin, orthonormal, ranked
from tests.held import CLASSES, Overfit, Sequences, longer, noise, tensors, twenty

WIDTHS = {"spatial": 6, "motion": 3}
UNITS, DIMENSION = 8, 5
LENGTHS = {"spatial": [5, 1, 0, 2], "motion": [3, 0, 4, 6]}  # the second and the third video lack a stream


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def build(dropout: float = 0.5, units: int = UNITS) -> Video2vec:
    torch.manual_seed(0)
    network = Video2vec(WIDTHS, units, orthonormal(CLASSES, DIMENSION, 0), dropout).eval()
    for encoder in network.encoders.values():
        encoder.get_buffer("mean").fill_(0.5)
        encoder.get_buffer("scale").fill_(2.0)
    return network


def sequences() -> dict[str, Sequences]:
    return {stream: noise(lengths, WIDTHS[stream]) for stream, lengths in LENGTHS.items()}


def inputs(given: dict[str, Sequences]) -> list[torch.Tensor]:
    return [tensor for stream in WIDTHS for tensor in tensors(given[stream])]


def state(encoder: nn.Module, sequence: np.ndarray) -> torch.Tensor:
    """By a GRU of torch's own, of one sequence alone."""
    assert isinstance(encoder, Encoder)
    if not len(sequence):
        return torch.zeros(UNITS)
    plain = nn.GRU(sequence.shape[1], UNITS)
    plain.load_state_dict(encoder.recurrent.state_dict())
    outputs, _ = plain((torch.from_numpy(sequence) - 0.5) / 2.0)
    return outputs[-1]


# --- The loss ---------------------------------------------------------------------------------------------------------


def test_loss_by_hand() -> None:
    """Video 0: 0.3 - 0.5 + 0.4 = 0.2, and 0.1 is far enough away. Video 1 is beaten by both: 0.3 + 0.2, 0.3 + 0.9."""
    cosines_BC = torch.tensor([[0.5, 0.4, 0.1], [0.2, 0.9, 0.0]], requires_grad=True)
    losses = max_margin(cosines_BC, torch.tensor([0, 2]), 0.3)
    torch.testing.assert_close(losses, torch.tensor([0.2, 1.7]))
    losses.sum().backward()
    torch.testing.assert_close(cosines_BC.grad, torch.tensor([[-1.0, 1.0, 0.0], [1.0, 1.0, -2.0]]))


@given(st.integers(1, 6), st.floats(0, 1), st.integers(0, 1000))
def test_loss_is_zero_where_and_only_where_each_wrong_class_is_a_margin_away(
    classes: int, margin: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    cosines_BC = 2 * torch.rand(3, classes, generator=generator) - 1
    target_B = torch.randint(classes, (3,), generator=generator)
    for loss, cosines_C, target in zip(
        max_margin(cosines_BC, target_B, margin).tolist(), cosines_BC, target_B.tolist(), strict=True
    ):
        gaps = [margin - (cosines_C[target] - cosines_C[wrong]).item() for wrong in range(classes) if wrong != target]
        assert loss == pytest.approx(sum(max(0.0, gap) for gap in gaps), abs=1e-5)


def test_objective_is_the_loss_and_whether_the_nearest_class_is_right() -> None:
    cosines_BC = torch.tensor([[0.5, 0.4, 0.1], [0.2, 0.9, 0.0]])
    batch = Batch((cosines_BC,), torch.tensor([0, 2]), torch.ones(2))
    losses, hits = ranked(0.3)(nn.Identity(), batch)
    torch.testing.assert_close(losses, torch.tensor([0.2, 1.7]))
    assert hits.tolist() == [1.0, 0.0]


# --- The network ------------------------------------------------------------------------------------------------------


def test_cosines_by_hand() -> None:
    found = cosines(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.5], [-3.0, -4.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8, -1.0]]))


def test_vector_is_the_dense_layer_on_torchs_last_states_and_zeros_for_what_is_lacking() -> None:
    network, given = build(), sequences()
    vectors_BD = network.embed(*inputs(given))
    for video, vector_D in enumerate(vectors_BD):
        states = torch.cat([state(network.encoders[stream], given[stream][video]) for stream in WIDTHS])
        torch.testing.assert_close(vector_D, network.dense(states), rtol=0, atol=1e-6)
    expected = F.cosine_similarity(vectors_BD[:, None], network.class_vectors[None], dim=2)
    torch.testing.assert_close(network(*inputs(given)), expected, rtol=0, atol=1e-6)


def test_learns_by_every_parameter_and_by_no_class_vector() -> None:
    network = build().train()
    max_margin(network(*inputs(sequences())), torch.tensor([0, 1, 2, 3]), 0.5).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert "class_vectors" in network.state_dict()
    assert not network.class_vectors.requires_grad


def test_a_stream_that_the_whole_batch_lacks_moves_no_weight_of_its_encoder() -> None:
    """And yet has a gradient, of zeros: a worker that met nothing else would keep the others waiting."""
    network, given = build(), sequences()
    given["motion"] = noise([0, 0, 0, 0], WIDTHS["motion"])
    network(*inputs(given))[:, 0].sum().backward()
    for name, parameter in network.encoders["motion"].named_parameters():
        assert parameter.grad is not None and not parameter.grad.any(), name
    assert all(parameter.grad.any() for parameter in network.encoders["spatial"].parameters())


@pytest.mark.parametrize("garbage", [0.0, 1e30, float("nan")])
def test_padding_changes_no_bit_and_no_gradient(garbage: float) -> None:
    (spatial, s), (motion, m) = (tensors(each) for each in sequences().values())
    plain, padded = build(), build()
    expected = plain(spatial, s, motion, m)
    found = padded(longer(spatial, s, 9, garbage), s, longer(motion, m, 5, garbage), m)
    assert torch.equal(found, expected)
    found[:, 0].sum().backward()
    expected[:, 0].sum().backward()
    for a, b in zip(padded.parameters(), plain.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        torch.testing.assert_close(a.grad, b.grad)


def test_neighbours_in_the_batch_change_no_more_than_rounding() -> None:
    network, given = build(), sequences()
    together = network(*inputs(given))
    for video in range(4):
        alone = network(*inputs({stream: [given[stream][video]] for stream in WIDTHS}))
        torch.testing.assert_close(alone[0], together[video], rtol=0, atol=1e-6)


def test_dropout_acts_in_training_only_and_on_input_and_states() -> None:
    network, x = build(), inputs(sequences())
    assert torch.equal(network(*x), network(*x))
    network.train()
    passed: list[torch.Tensor] = []
    for dropout in (network.dropout, *(encoder.get_submodule("dropout") for encoder in network.encoders.values())):
        dropout.register_forward_hook(lambda module, args, output: passed.append(output))
    network(*x)
    spatial, motion, states = passed
    assert (spatial.shape[2], motion.shape[2], states.shape[1]) == (6, 3, 2 * UNITS)
    assert all(0.2 < (each == 0).float().mean() < 0.9 for each in passed)


def test_learns_twenty_videos_by_heart() -> None:
    spatial, target = twenty(WIDTHS["spatial"], seed=1)
    motion, _ = twenty(WIDTHS["motion"], seed=2)
    batch = Batch((*tensors(spatial), *tensors(motion)), target, torch.ones(20))
    training = Training(optimizer="adam", lr=0.01, max_epochs=80)
    fitted = fit(build(0.0, units=32), Overfit(batch), training, seed=0, objective=ranked(0.3))
    assert fitted.history[fitted.best_epoch].val_top1 == 1.0
    assert fitted.history[-1].val_loss < 0.05 < 0.5 < fitted.history[0].train_loss


# --- Class vectors that say nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "dimension"), [(1, 1), (4, 4), (101, 300)])
def test_vectors_are_orthonormal(classes: int, dimension: int) -> None:
    vectors_CD = orthonormal(classes, dimension, 3)
    assert vectors_CD.dtype == np.float32 and vectors_CD.shape == (classes, dimension)
    np.testing.assert_allclose(vectors_CD @ vectors_CD.T, np.eye(classes), atol=1e-6)


def test_a_seed_gives_its_vectors() -> None:
    np.testing.assert_array_equal(orthonormal(4, 6, 0), orthonormal(4, 6, 0))
    assert not np.allclose(orthonormal(4, 6, 0), orthonormal(4, 6, 1))


def test_the_sign_is_that_of_what_was_drawn() -> None:
    """The first vector is the first direction drawn, at length 1."""
    drawn = np.random.default_rng(0).normal(size=(6, 4))[:, 0]
    np.testing.assert_allclose(orthonormal(4, 6, 0)[0], drawn / np.linalg.norm(drawn), atol=1e-6)


def test_no_room_for_so_many_classes() -> None:
    with pytest.raises(InputError, match=r"^5 classes have no orthonormal vectors of 4 numbers; give them 5 or more$"):
        orthonormal(5, 4, 0)
