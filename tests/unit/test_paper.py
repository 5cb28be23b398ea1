"""What the paper says of its own method, statement by statement, held against the code.

D. Tkachenko, "Human action recognition using fusion of modern deep convolutional and recurrent neural networks", 2018.
Sections in brackets. Statements with tests of their own elsewhere are held here in their plainest form.
"""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from actionrec.config import Config, Motion, Rnn
from actionrec.features import frame_cnn, vggish
from actionrec.features.motion_cnn import EMBEDDING_WIDTH, MotionCNN
from actionrec.features.sampling import budget, sample
from actionrec.features.stacks import STACK_LENGTH, stack
from actionrec.learning import fusion, loop, search
from actionrec.learning.checkpoint import Epoch, State
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.rnn import SequenceClassifier
from actionrec.table1.architectures import BEST, HEADS, TABLE1

PAPER = Config()

# (IV.A) to (V.D): the values that the paper gives, at the knobs that hold them.
DEFAULTS = {
    "IV.A, InceptionResNetV2": (PAPER.frame.model, "inception_resnet_v2"),
    "V.B, its weights pre-trained on ImageNet": (PAPER.frame.weights, "pretrained"),
    "V.B, not fine-tuned, which gained nothing": (PAPER.finetune.blocks, 0),
    "V.C, frames of 299 x 299": (PAPER.frame.size, 299),
    "IV.B, FlowNet 2.0": (PAPER.flow.model, "flownet2"),
    "IV.D and V.B, VGGish pre-trained on AudioSet": (PAPER.audio.weights, "pretrained"),
    "III, three streams": (PAPER.streams, ("spatial", "motion", "audio")),
    "IV.F, adaptive sampling": (PAPER.sampling.method, "adaptive"),
    "V.C, the first 36 seconds": (PAPER.clip.max_s, 36.0),
    "V.C, sequences of at most 180": (PAPER.sampling.max_frames, 180),
    "V.C, 320 x 240 for the motion CNN": ((PAPER.flow.stored_width, PAPER.flow.stored_height), (320, 240)),
    "V.A, split 1 of UCF101": (PAPER.data.split, 1),
    "IV.E, a GRU": (PAPER.rnn.cell, "gru"),
    "IV.E, of 512 units": (PAPER.rnn.units, 512),
    "IV.E, two layers": (PAPER.rnn.layers, 2),
    "IV.E, bidirectional": (PAPER.rnn.bidirectional, True),
    "V.E, without attention, which lowered the accuracy": (PAPER.rnn.attention, False),
    "V.D, Nesterov's momentum": (PAPER.rnn.optimizer, "nag"),
    "V.D, a first learning rate of 1e-2": (PAPER.rnn.lr, 1e-2),
    "V.D, reduced after 5 epochs": (PAPER.rnn.plateau_epochs, 5),
    "V.D, by a factor of 10": (loop.LR_FACTOR, 0.1),
    "V.D, not below 1e-6": (PAPER.rnn.lr_floor, 1e-6),
    "V.D, ended after 10 epochs": (PAPER.rnn.stop_epochs, 10),
    "V.D, batches of 32": (PAPER.rnn.batch, 32),
    "V.D, a dropout of 0.5": (PAPER.rnn.dropout, 0.5),
    "V.D, Adam for the motion CNN": (PAPER.motion.optimizer, "adam"),
    "V.D, with Adam's published step of 1e-3": (PAPER.motion.lr, 1e-3),
    "V.D, and batches of 32 as well": (PAPER.motion.batch, 32),
    "V.D, an L2 weight of 1e-2 for the SVM": (PAPER.fusion.l2, 1e-2),
    "V.D, always among those tried": (search.PAPER_L2, 1e-2),
    "V.E, Table I on the spatial stream": (PAPER.tune.stream, "spatial"),
}


@pytest.mark.parametrize("statement", DEFAULTS)
def test_defaults(statement: str) -> None:
    found, said = DEFAULTS[statement]
    assert found == said


# Table I (V.E), typed from the page: the packaged file must say the same.
ROWS = """LSTM 256 76.24 93.49, LSTM 512 77.09 93.09, LSTM 1024 77.07 93.62, LSTM 2048 76.22 93.62, GRU 512 77.83 93.88,
GRU 1024 77.81 93.17, BiLSTM 512 77.36 93.41, BiLSTM 1024 75.93 93.49, BiGRU 512 77.33 93.46, BiGRU 1024 77.52 93.41,
S. LSTM 512 74.71 92.80, S. LSTM 1024 76.80 94.09, S. GRU 512 77.09 93.03, S. GRU 1024 77.22 93.25,
S. BiGRU 512 78.34 93.51, S. BiGRU 1024 77.15 93.17, S. BiLSTM 512 74.50 92.77, S. BiGRU 512 + attention 75.03 92.89,
S. BiGRU 512 + SVM 79.40 90.84"""


def test_table_one_has_these_rows_in_this_order() -> None:
    said = [" ".join(line.split()).rsplit(" ", 2) for line in ROWS.split(",")]
    assert [row.name for row in TABLE1] == [name for name, _, _ in said]
    for row, (_, top1, top5) in zip(TABLE1, said, strict=True):
        assert row.paper_top1 == pytest.approx(float(top1) / 100) and row.paper_top5 == pytest.approx(float(top5) / 100)


@pytest.mark.parametrize("row", TABLE1, ids=lambda row: row.name)
def test_a_row_is_the_network_that_its_name_says(row) -> None:  # type: ignore[no-untyped-def]
    """V.E: "S." is two stacked layers, "Bi" bidirectional, the units those of a single cell."""
    with torch.device("meta"):
        network = SequenceClassifier(row.of(Rnn()), 1536, 101)
    recurrent = network.recurrent
    assert type(recurrent) is (nn.LSTM if "LSTM" in row.name else nn.GRU)
    assert recurrent.num_layers == (2 if row.name.startswith("S. ") else 1)
    assert recurrent.bidirectional == ("Bi" in row.name)
    assert recurrent.hidden_size == int(row.name.split(" + ")[0].split()[-1])
    assert (network.attention is not None) == row.name.endswith("attention")


def test_the_best_row_is_the_network_of_the_whole() -> None:
    """IV.E, and (*) in Table I: 512 units in every cell, 1024 numbers of both directions."""
    assert BEST.name == "S. BiGRU 512" and BEST.of(Rnn()) == PAPER.rnn
    assert SequenceClassifier(PAPER.rnn, 8, 3).embedding_width == 1024


def test_the_attention_is_that_of_the_work_cited_after_the_input_layer() -> None:
    """V.E and [20], Vaswani et al.: several heads of d / h numbers, joined; decision 11 says why eight."""
    row = next(row for row in TABLE1 if row.attention)
    assert row.of(Rnn()) == dataclasses.replace(BEST.of(Rnn()), attention=True, heads=HEADS) and HEADS == 8
    with torch.device("meta"):
        network = SequenceClassifier(row.of(Rnn()), 1536, 101)
    assert network.attention is not None and network.recurrent.input_size == 1536
    shapes = {name: tuple(each.shape) for name, each in network.attention.named_parameters()}
    assert set(shapes) == {f"{name}.weight" for name in ("query", "key", "value", "join")}
    assert set(shapes.values()) == {(1536, 1536)}


def test_dropout_stands_before_the_input_between_layers_and_before_the_dense_layer() -> None:
    """V.D."""
    network = SequenceClassifier(PAPER.rnn, 8, 3)
    assert (network.dropout.p, network.recurrent.dropout) == (0.5, 0.5)
    seen: list[str] = []
    network.dropout.register_forward_hook(lambda *_: seen.append("dropout"))
    network.recurrent.register_forward_hook(lambda *_: seen.append("recurrent"))
    network.head.register_forward_hook(lambda *_: seen.append("dense"))
    network(torch.rand(2, 4, 8), torch.tensor([4, 2]))
    assert seen == ["dropout", "recurrent", "dropout", "dense"]


def test_the_learning_rate_falls_after_5_epochs_and_training_ends_after_10() -> None:
    """V.D."""
    network, state = nn.Linear(1, 1), State(0)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    rates = []
    for epoch in range(40):
        if loop._ended(state, PAPER.rnn):
            break
        loss = 1.0 if epoch else 0.5  # the first epoch is never bettered
        done = Epoch(epoch, 1.0, loss, 0.0, 0.0, 1, 0.0, 0.0)
        loop._learn_from(done, state, network, optimizer, PAPER.rnn)
        rates.append(optimizer.param_groups[0]["lr"])
    assert len(rates) == 11 and rates[:5] == [1e-2] * 5 and rates[5:10] == [pytest.approx(1e-3)] * 5


def test_the_loss_is_cross_entropy() -> None:
    """V.E."""
    network, x, target = nn.Linear(3, 4), torch.rand(5, 3), torch.tensor([0, 1, 2, 3, 0])
    losses, _ = loop.classify(network, loop.Batch((x,), target, torch.ones(5)))
    expected = -network(x).log_softmax(1)[torch.arange(5), target]
    torch.testing.assert_close(losses, expected)


def test_adams_published_parameters() -> None:
    """V.D: the defaults of [19]: 1e-3, 0.9, 0.999, 1e-8."""
    optimizer = loop._optimizer(nn.Linear(1, 1), Motion())
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.Adam)
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-3, (0.9, 0.999), 1e-8, 0)


def test_a_stack_is_the_x_and_y_of_ten_flows_in_turn() -> None:
    """III.B and [1]: W x H x 2L."""
    flow_px = np.random.default_rng(0).normal(size=(12, 3, 4, 2)).astype(np.float32)
    found = stack(flow_px, 2)
    assert STACK_LENGTH == 10 and found.shape == (20, 3, 4)
    np.testing.assert_array_equal(found[0], flow_px[2, :, :, 0])
    np.testing.assert_array_equal(found[19], flow_px[11, :, :, 1])


def test_the_motion_cnn() -> None:
    """IV.C, layer by layer: conv1 7x7x96 /2, 5x5x256 /2, three of 3x3x512, pools 3x3 /2, 4096, 2048 with dropout."""
    with torch.device("meta"):
        network = MotionCNN(240, 320, 101, PAPER.motion.dropout)
    convolutions = [each for each in network.convolutions if isinstance(each, nn.Conv2d)]
    assert [(each.kernel_size[0], each.out_channels, each.stride[0]) for each in convolutions] == [
        (7, 96, 2),
        (5, 256, 2),
        (3, 512, 1),
        (3, 512, 1),
        (3, 512, 1),
    ]
    kinds = [type(each).__name__ for each in network.convolutions if not isinstance(each, nn.ReLU)]
    assert kinds == ["Conv2d", "BatchNorm2d", "MaxPool2d", "Conv2d", "MaxPool2d", *["Conv2d"] * 3, "MaxPool2d"]
    pools = [each for each in network.convolutions if isinstance(each, nn.MaxPool2d)]
    assert {(each.kernel_size, each.stride) for each in pools} == {(3, 2)}
    dense = [each.out_features for each in network.hidden if isinstance(each, nn.Linear)]
    assert dense == [4096, 2048] and EMBEDDING_WIDTH == 2048
    assert sum(isinstance(each, nn.Dropout) for each in network.hidden) + 1 == 2 and network.dropout.p == 0.5


def test_the_frame_embedding_has_1536_numbers_and_the_sounds_128() -> None:
    """IV.A and IV.D."""
    with torch.device("meta"):
        assert frame_cnn.width(frame_cnn.build_frame_cnn(PAPER.frame.model)) == 1536
        assert [each for each in vggish.build_vggish().modules() if isinstance(each, nn.Linear)][-1].out_features == 128


def test_audio_examples_do_not_overlap() -> None:
    """III.C."""
    np.testing.assert_allclose(vggish.example_time_s(3), [0, 0.96, 1.92], rtol=1e-6)
    assert len(vggish.log_mel_examples(np.zeros(16_000 * 3, np.float32))) == 3


def test_the_budget_is_every_fifth_frame_of_25_a_second() -> None:
    """IV.F and V.C: 36 s at 25 frames a second are 900 frames, every fifth of which makes 180."""
    assert budget(Fraction(36), 900, PAPER.sampling) == 180
    assert budget(Fraction(4), 100, PAPER.sampling) == 20


def test_samples_are_in_proportion_to_the_mean_displacement() -> None:
    """IV.F: of 20 samples of a clip whose second half moves four times as fast 4 and 16 fall into the halves."""
    times_s = [Fraction(frame, 25) for frame in range(100)]
    motion_px = [1.0] * 49 + [4.0] * 50  # frame 0 shares the first pair
    frames = sample(PAPER.sampling, times_s, Fraction(4), motion_px)
    assert len(frames) == 20 and (frames < 50).sum() == 4


def test_the_fused_model_is_a_linear_svm_on_the_embeddings_side_by_side() -> None:
    """III.D, IV.G and V.D: min 0.01 |w|^2 + mean hinge loss, which no small step betters."""
    rng = np.random.default_rng(0)
    target = np.arange(60) % 2
    vectors = {
        stream: (rng.normal(size=(60, 3)) + target[:, None]).astype(np.float32) for stream in ("spatial", "audio")
    }
    present = {stream: np.ones(60, bool) for stream in vectors}
    train = Embeddings([str(n) for n in range(60)], vectors, present)
    model = fusion.fit_as(train, target, ["a", "b"], "svm", "none", "mask", PAPER.fusion, 0)
    both = np.hstack([*vectors.values(), np.ones((60, 1))]).astype(np.float64)
    sign = np.where(target == 1, 1.0, -1.0)

    def objective(weight: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(0.01 * weight @ weight + np.maximum(0, 1 - sign * (both @ weight)).mean())

    own = np.append(model.classifiers[0].weight[1], model.classifiers[0].bias[1])
    assert len(own) == 7
    steps = rng.normal(size=(200, 7)) * 0.05
    assert all(objective(own + step) >= objective(own) - 1e-5 for step in steps)


def test_ucf101_is_the_configuration_without_changes() -> None:
    """Every default is the paper's, so its experiment names nothing but the data."""
    import yaml

    text = Path(__file__).parents[2].joinpath("actionrec/configs/ucf101.yaml").read_text(encoding="utf-8")
    assert json.loads(json.dumps(yaml.safe_load(text))) == {"data": {"dataset": "ucf101", "split": 1}}
