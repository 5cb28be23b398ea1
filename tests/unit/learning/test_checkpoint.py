"""An interrupted training ends as if nothing had happened; bytes that are not its own are refused."""

import copy
import dataclasses
import io
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from actionrec.config import Rnn, Training
from actionrec.errors import InputError
from actionrec.learning import checkpoint
from actionrec.learning.checkpoint import Epoch
from actionrec.learning.loop import Batch, Fitted, classify, fit
from actionrec.learning.rnn import SequenceClassifier

OPTIMIZERS = ["nag", "adam", "rmsprop", "adadelta"]
EPOCHS = 7


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Sequences:
    """Other batches every epoch, the same for the same epoch. Labels are noise: validation soon gets no better."""

    def __init__(self, first: int = 0) -> None:
        self.next = first

    def training(self, epoch: int) -> Iterator[Batch]:
        assert epoch == self.next  # one stream: no epoch is skipped, none asked for twice
        return self._batches(1 + epoch)

    def validation(self, epoch: int) -> Iterator[Batch]:
        self.next = epoch + 1
        return self._batches(0)

    def _batches(self, seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(3):
            x_BLE = torch.randn(4, 5, 6, generator=generator)
            lengths = torch.randint(1, 6, (4,), generator=generator)
            yield Batch((x_BLE, lengths), torch.randint(3, (4,), generator=generator), torch.ones(4))


class Normed(nn.Module):
    """BatchNorm, whose statistics are no parameters, dropout, and a layer that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.layers = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))

    def forward(self, x_BLE: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(self.frozen(x_BLE).mean(1))
        return logits


def build(kind: str = "rnn", seed: int = 0, width: int = 6) -> nn.Module:
    torch.manual_seed(seed)
    return SequenceClassifier(Rnn(units=4), width, 3) if kind == "rnn" else Normed()


def training(optimizer: Any = "nag", **more: Any) -> Training:
    """The rate falls within these few epochs."""
    settings = {
        "lr": 1.0 if optimizer == "adadelta" else 0.05,
        "plateau_epochs": 1,
        "stop_epochs": 20,
        "max_epochs": EPOCHS,
    }
    return Training(optimizer=optimizer, **(settings | more))


def trained(network: nn.Module, settings: Training, **more: Any) -> tuple[Fitted, list[bytes]]:
    """What came of it, and the checkpoint of every epoch."""
    kept: list[bytes] = []
    fitted = fit(network, Sequences(), settings, seed=3, on_epoch=lambda history, save: kept.append(save()), **more)
    return fitted, kept


def timeless(history: list[Epoch]) -> list[Epoch]:
    return [dataclasses.replace(epoch, seconds=0.0, wait_s=0.0) for epoch in history]


def assert_identical(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("kind", ["rnn", "normed"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_interrupted_training_ends_bit_for_bit_like_an_uninterrupted_one(optimizer: str, kind: str) -> None:
    network = build(kind)
    whole, kept = trained(network, training(optimizer))
    assert len({epoch.lr for epoch in whole.history}) > 1  # the interruptions lie on both sides of a fall

    for done in (1, 3, 4, EPOCHS - 1):
        other = build(kind, seed=99)  # a new process knows nothing
        torch.rand(17)
        resumed = fit(other, Sequences(done), training(optimizer), seed=3, resume=kept[done - 1])
        assert_identical(resumed.tensors, whole.tensors)
        assert_identical(other.state_dict(), network.state_dict())
        assert timeless(resumed.history) == timeless(whole.history)
        assert resumed.history[:done] == whole.history[:done]
        assert resumed.best_epoch == whole.best_epoch


def test_counters_go_on() -> None:
    """The rate falls after every third bad epoch, wherever between them the interruption was."""

    def never_better(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        losses, hits = classify(network, batch)
        return (losses, hits) if network.training else (torch.ones_like(losses), hits)

    settings = training(plateau_epochs=3, stop_epochs=8, max_epochs=50)
    whole, kept = trained(build(), settings, objective=never_better)
    assert [epoch.lr for epoch in whole.history] == pytest.approx([0.05] * 4 + [0.005] * 3 + [0.0005] * 2)
    for done in range(1, len(whole.history)):
        more: dict[str, Any] = {"seed": 3, "objective": never_better, "resume": kept[done - 1]}
        resumed = fit(build(seed=9), Sequences(done), settings, **more)
        assert timeless(resumed.history) == timeless(whole.history)


def test_training_interrupted_twice() -> None:
    whole, kept = trained(build(), training("adam"))
    again: list[bytes] = []
    fit(
        build(seed=8),
        Sequences(2),
        training("adam", max_epochs=5),
        seed=3,
        resume=kept[1],
        on_epoch=lambda history, save: again.append(save()),
    )
    resumed = fit(build(seed=9), Sequences(5), training("adam"), seed=3, resume=again[-1])
    assert_identical(resumed.tensors, whole.tensors)
    assert timeless(resumed.history) == timeless(whole.history)


@pytest.mark.parametrize("settings", [training(max_epochs=3), training(stop_epochs=2, plateau_epochs=1, max_epochs=50)])
def test_ended_training_returns_at_once(settings: Training) -> None:
    whole, kept = trained(build(), settings)
    assert len(whole.history) < 50
    again = fit(build(seed=9), Sequences(first=-1), settings, seed=3, resume=kept[-1])  # any batch asked for would fail
    assert_identical(again.tensors, whole.tensors)
    assert (again.history, again.best_epoch) == (whole.history, whole.best_epoch)


def test_momentum_of_0_leaves_nothing_to_keep() -> None:
    settings = training(momentum=0.0)
    whole, kept = trained(build(), settings)
    resumed = fit(build(seed=9), Sequences(2), settings, seed=3, resume=kept[1])
    assert_identical(resumed.tensors, whole.tensors)


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good() -> bytes:
    torch.set_num_threads(1)
    return trained(build(), training("adam", max_epochs=2))[1][-1]


def refusal(data: bytes, *, network: nn.Module | None = None, optimizer: Any = "adam", seed: int = 3) -> str:
    """The sentence; nothing may have been filled before it."""
    network = network or build(seed=5)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(InputError) as caught:
        fit(network, Sequences(2), training(optimizer), seed=seed, resume=data, resume_name="models/x")
    assert_identical(network.state_dict(), before)
    sentence = str(caught.value)
    assert sentence.startswith("models/x is ") and sentence.endswith(checkpoint.REMEDY) and "\n" not in sentence
    return sentence


def test_checkpoint_is_plain_safetensors(good: bytes) -> None:
    names = safetensors.torch.load(good).keys()
    assert {name.partition("/")[0] for name in names} == {"network", "best", "optimizer"}
    fit(build(seed=5), Sequences(2), training("adam"), seed=3, resume=good)


def test_every_flipped_byte_is_noticed(good: bytes) -> None:
    header = int.from_bytes(good[:8], "little") + 8
    positions = [*range(0, header, 13), *range(header, len(good), 97), len(good) - 1]
    for position in positions:
        damaged = bytearray(good)
        damaged[position] ^= 1
        assert "damaged" in refusal(bytes(damaged)), position


def test_another_type_of_the_same_bytes_is_noticed(good: bytes) -> None:
    changed = good.replace(b'"dtype":"F32"', b'"dtype":"I32"')
    assert len(changed) == len(good) and changed != good
    assert "damaged" in refusal(changed)


def test_every_length_but_the_whole_is_refused(good: bytes) -> None:
    for length in (0, 1, 8, 100, len(good) // 2, len(good) - 1):
        assert "damaged" in refusal(good[:length])
    assert "damaged" in refusal(good + b"\0")


def test_pickles_are_not_opened() -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return exec, ("raise SystemExit('a pickle was opened')",)

    buffer = io.BytesIO()
    torch.save(build().state_dict(), buffer)
    for data in (pickle.dumps(Trap()), buffer.getvalue()):
        assert "damaged, or is no checkpoint" in refusal(data)


def test_tensors_that_are_no_checkpoint_are_refused() -> None:
    tensors = dict(build().state_dict())
    assert "is no checkpoint" in refusal(safetensors.torch.save(tensors))
    assert "is no checkpoint" in refusal(safetensors.torch.save(tensors, {"training": "[" * 100_000}))


@pytest.mark.parametrize("network", [lambda: build(width=7), lambda: build("normed")], ids=["shapes", "names"])
def test_another_network_is_refused(good: bytes, network: Any) -> None:
    assert "of another network" in refusal(good, network=network())


@pytest.mark.parametrize(("made", "asked"), [((0, 4), (4,)), ((4,), (0, 4)), ((0,), (4,))])
def test_same_network_with_other_layers_trained_is_refused(made: tuple[int, ...], asked: tuple[int, ...]) -> None:
    """The optimiser's tensors would go to other layers than they came from, or to some only."""

    def frozen(layers: tuple[int, ...]) -> nn.Module:
        network = build("normed")
        for layer in layers:
            network.get_submodule(f"layers.{layer}").requires_grad_(False)
        return network

    (kept,) = trained(frozen(made), training("adam", max_epochs=1))[1]
    assert "of another network" in refusal(kept, network=frozen(asked))


@pytest.mark.parametrize("optimizer", ["nag", "rmsprop", "adadelta"])
def test_another_optimizer_is_refused(good: bytes, optimizer: str) -> None:
    assert "adam" in refusal(good, optimizer=optimizer) and optimizer in refusal(good, optimizer=optimizer)


def test_another_seed_is_refused(good: bytes) -> None:
    assert "seed 3" in refusal(good, seed=4)
