"""The training loop: V.D's recipe by hand-computed schedules, torch's optimisers and two workers as the oracles."""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actionrec.config import Config, Training
from actionrec.errors import ActionrecError, InputError
from actionrec.learning import loop
from actionrec.learning.loop import Batch, Fitted, Workers, fit

OPTIMIZERS = ["nag", "adam", "rmsprop", "adadelta"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@dataclass
class Batches:
    """The same batches every epoch; `log` says what was asked for and what was taken to its end."""

    train: Sequence[Batch]
    val: Sequence[Batch]
    log: list[tuple[str, int, str]] = field(default_factory=list)

    def training(self, epoch: int) -> Iterator[Batch]:
        return self._take("train", epoch, self.train)

    def validation(self, epoch: int) -> Iterator[Batch]:
        return self._take("val", epoch, self.val)

    def _take(self, split: str, epoch: int, batches: Sequence[Batch]) -> Iterator[Batch]:
        self.log.append((split, epoch, "begin"))
        yield from batches
        self.log.append((split, epoch, "end"))


def blobs(count: int, seed: int, weight: float = 1.0) -> Batch:
    """Three classes of points in 4 dimensions, far apart."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(count) % 3
    points = torch.randn(count, 4, generator=generator) + 4 * F.one_hot(target, 4)
    return Batch((points,), target, torch.full((count,), weight))


def linear(seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))


def data() -> Batches:
    return Batches([blobs(8, 1), blobs(8, 2), blobs(5, 3)], [blobs(8, 4), blobs(3, 5)])


def join(*batches: Batch) -> Batch:
    inputs = torch.cat([batch.inputs[0] for batch in batches])
    target, weight = torch.cat([b.target for b in batches]), torch.cat([b.weight for b in batches])
    return Batch((inputs,), target, weight)


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float = 0.0) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=atol, msg=name)


# --- The schedule -----------------------------------------------------------------------------------------------------


@dataclass
class Scripted(Batches):
    """Validation losses from a script; beyond its end, the last one."""

    script: Sequence[float] = ()

    def validation(self, epoch: int) -> Iterator[Batch]:
        loss = self.script[min(epoch, len(self.script) - 1)]
        yield Batch((torch.tensor([loss]),), torch.zeros(1, dtype=torch.int64), torch.ones(1))


def scripted(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    return loop.classify(network, batch) if network.training else (batch.inputs[0], torch.zeros(1))


def run(script: Sequence[float], training: Training, **more: Any) -> Fitted:
    return fit(linear(), Scripted([blobs(8, 1)], [], script=script), training, seed=0, objective=scripted, **more)


def test_paper_schedule_on_a_loss_that_never_falls() -> None:
    fitted = run([1.0], Training())
    # Epoch 0 is the best; epochs 1-5 are bad, then the rate falls; after the tenth bad one, epoch 10, it ends.
    assert [epoch.lr for epoch in fitted.history] == pytest.approx([1e-2] * 6 + [1e-3] * 5)
    assert fitted.best_epoch == 0


def test_better_epoch_restarts_both_counters_and_the_floor_holds() -> None:
    training = Training(lr=1.0, plateau_epochs=2, stop_epochs=7, lr_floor=0.05)
    #               better    bad   better  bad, the rate falls after every second one, and training ends at the 7th
    fitted = run([5.0, 4.0, 4.0, 4.0, 3.0, 3.5], training)
    assert [epoch.lr for epoch in fitted.history] == pytest.approx([1.0] * 4 + [0.1] * 3 + [0.05] * 5)
    assert fitted.best_epoch == 4


def test_four_bad_epochs_between_better_ones_change_nothing() -> None:
    script = [9.0, 9, 9, 9, 9, 8, 8, 8, 8, 8, 7, 7, 7, 7, 7]
    fitted = run(script, Training(max_epochs=15))
    assert [epoch.lr for epoch in fitted.history] == [1e-2] * 15
    assert fitted.best_epoch == 10


def test_rate_below_the_floor_is_not_raised() -> None:
    fitted = run([1.0], Training(lr=1e-7, plateau_epochs=1, stop_epochs=3))
    assert [epoch.lr for epoch in fitted.history] == [1e-7] * 4


def test_rate_that_falls_is_the_optimisers() -> None:
    """With the rate at 0 after the first bad epoch, the weights stand still."""
    network, seen = linear(), []
    training = Training(plateau_epochs=1, lr=1e-2, lr_floor=0.0, momentum=0.0, max_epochs=200, stop_epochs=200)
    fit(
        network,
        Scripted([blobs(8, 1)], [], script=[1.0]),
        training,
        seed=0,
        objective=scripted,
        on_epoch=lambda history, save: seen.append(network[0].weight.detach().clone()),
    )
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[50], seen[199])


def test_max_epochs_ends_training() -> None:
    assert len(run(list(range(9, 0, -1)), Training(max_epochs=4)).history) == 4


def test_weights_of_the_best_epoch_are_kept() -> None:
    network, seen = linear(), []
    fitted = fit(
        network,
        Scripted([blobs(8, 1)], [], script=[3.0, 1.0, 2.0, 1.0, 5.0]),
        Training(max_epochs=5),
        seed=0,
        objective=scripted,
        on_epoch=lambda history, save: seen.append(copy.deepcopy(network.state_dict())),
    )
    assert fitted.best_epoch == 1
    assert_same(fitted.tensors, seen[1])
    assert not torch.equal(seen[1]["0.weight"], seen[2]["0.weight"])


# --- The updates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_are_torchs(optimizer: Any) -> None:
    batches, mine, theirs = data(), linear(), linear()
    fitted = fit(mine, batches, Training(optimizer=optimizer, lr=0.01, max_epochs=3), seed=0)
    assert fitted.best_epoch == 2

    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "nag": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, 0.01),
        "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01),
        "adadelta": lambda p: torch.optim.Adadelta(p, 0.01),
    }
    oracle = kinds[optimizer](theirs.parameters())
    for _ in range(3):
        for batch in batches.train:
            oracle.zero_grad()
            F.cross_entropy(theirs(*batch.inputs), batch.target).backward()
            oracle.step()
    assert_same(mine.state_dict(), theirs.state_dict(), atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_samples_of_weight_0_change_nothing(optimizer: Any) -> None:
    training = Training(optimizer=optimizer, lr=0.01, max_epochs=3)
    plain = fit(linear(), data(), training, seed=0)
    padding, clean = blobs(6, 99, weight=0.0), data()
    train = [join(clean.train[0], padding), padding, *clean.train[1:], padding]
    val = [padding, clean.val[0], join(padding, clean.val[1])]
    padded = fit(linear(), Batches(train, val), training, seed=0)
    assert_same(plain.tensors, padded.tensors, atol=1e-6)
    for a, b in zip(plain.history, padded.history, strict=True):
        assert (a.train_loss, a.val_loss, a.val_top1) == pytest.approx((b.train_loss, b.val_loss, b.val_top1))
        assert a.samples == b.samples == 21


def test_only_padding_divides_by_no_zero() -> None:
    network, padding = linear(), blobs(4, 0, weight=0.0)
    before = copy.deepcopy(network.state_dict())
    fitted = fit(network, Batches([padding], [padding]), Training(max_epochs=2), seed=0)
    assert (fitted.history[0].train_loss, fitted.history[0].val_loss, fitted.history[0].samples) == (0.0, 0.0, 0)
    assert_same(network.state_dict(), before)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_losses_and_top1_are_weighted_means_over_all_batches() -> None:
    network = linear()
    a, b = blobs(6, 1), blobs(2, 2, weight=3.0)
    with torch.no_grad():
        logits = [network(*batch.inputs) for batch in (a, b)]
    losses = [F.cross_entropy(z, batch.target, reduction="sum").item() for z, batch in zip(logits, (a, b), strict=True)]
    hits = [(z.argmax(1) == batch.target).sum().item() for z, batch in zip(logits, (a, b), strict=True)]
    assert hits[0] / 6 != hits[1] / 2

    done = fit(network, Batches([a, b], [a, b]), Training(lr=1e-8, max_epochs=1), seed=0).history[0]
    assert done.train_loss == pytest.approx((losses[0] + 3 * losses[1]) / 12, rel=1e-5)
    assert done.val_loss == pytest.approx((losses[0] + 3 * losses[1]) / 12, rel=1e-5)
    assert done.val_top1 == pytest.approx((hits[0] + 3 * hits[1]) / 12)


def test_learns_what_is_separable() -> None:
    fitted = fit(linear(dropout=0.5), data(), Training(max_epochs=40), seed=0)
    assert fitted.history[fitted.best_epoch].val_top1 == 1.0
    assert fitted.history[-1].train_loss < 0.5 * fitted.history[0].train_loss


def test_own_objective() -> None:
    """An autoencoder by mean squared error, whose hit is a small error."""

    def reconstruct(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        errors = (network(*batch.inputs) - batch.inputs[0]).square().mean(1)
        return errors, (errors < 0.5).float()

    torch.manual_seed(0)
    fitted = fit(nn.Linear(4, 4), data(), Training(max_epochs=60), seed=0, objective=reconstruct)
    assert fitted.history[-1].val_loss < 0.1 < 1 < fitted.history[0].val_loss
    assert fitted.history[-1].val_top1 == 1.0


# --- Several workers --------------------------------------------------------------------------------------------------


class Group:
    """Threads that sum their tensors, as torch.distributed would."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size, timeout=20)
        self._tensors: list[torch.Tensor] = [torch.zeros(0)] * size

    def workers(self, rank: int) -> Workers:
        def total(tensor: torch.Tensor) -> torch.Tensor:
            self._tensors[rank] = tensor.clone()
            self._barrier.wait()
            summed = torch.stack(self._tensors).sum(0)
            self._barrier.wait()
            return summed

        return Workers(rank, self.size, total)

    def fit(self, shares: Sequence[Batches], training: Training) -> list[Fitted | Exception]:
        """Each share trained by a worker; as DistributedDataParallel does, gradients are averaged over workers."""

        def work(rank: int) -> Fitted | Exception:
            workers, network = self.workers(rank), networks[rank]
            for parameter in network.parameters():
                parameter.register_hook(lambda gradient: workers.total(gradient) / self.size)
            try:
                return fit(network, shares[rank], training, seed=0, workers=workers)
            except ActionrecError as error:
                return error

        networks = [linear() for _ in range(self.size)]
        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(work, range(self.size)))


def rows(batch: Batch, chosen: slice, padding: int = 0) -> Batch:
    return join(Batch((batch.inputs[0][chosen],), batch.target[chosen], batch.weight[chosen]), blobs(padding, 7, 0.0))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_workers_with_unequal_shares_equal_one(optimizer: Any) -> None:
    training = Training(optimizer=optimizer, lr=0.01, max_epochs=4)
    whole = data()
    first = Batches([rows(b, slice(0, 4)) for b in whole.train], [rows(b, slice(0, 3)) for b in whole.val])
    # The second has 4, 4 and 1 samples, and in validation 5 and none at all.
    second = Batches([rows(b, slice(4, None), 3) for b in whole.train], [rows(b, slice(3, None), 1) for b in whole.val])

    alone = fit(linear(), whole, training, seed=0)
    for fitted in Group(2).fit([first, second], training):
        assert isinstance(fitted, Fitted)
        assert_same(fitted.tensors, alone.tensors, atol=1e-5)
        for a, b in zip(fitted.history, alone.history, strict=True):
            assert (a.train_loss, a.val_loss, a.val_top1) == pytest.approx((b.train_loss, b.val_loss, b.val_top1))
            assert a.samples == b.samples == 21


def test_worker_whose_batch_is_all_padding_takes_the_others_step() -> None:
    whole, nothing = data(), blobs(2, 8, weight=0.0)
    idle = Batches([nothing] * 3, [nothing] * 2)
    alone = fit(linear(), data(), Training(max_epochs=3), seed=0)
    for fitted in Group(2).fit([whole, idle], Training(max_epochs=3)):
        assert isinstance(fitted, Fitted)
        assert_same(fitted.tensors, alone.tensors, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_workers_nan_stops_all_alike(split: str) -> None:
    broken = data()
    poisoned = Batch((torch.full((2, 4), float("nan")),), torch.zeros(2, dtype=torch.int64), torch.ones(2))
    setattr(broken, split, [poisoned] * len(getattr(broken, split)))
    errors = Group(2).fit([data(), broken], Training(max_epochs=3))
    assert all(isinstance(error, ActionrecError) for error in errors)
    assert str(errors[0]) == str(errors[1])


# --- Failures, randomness, the order of things ------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops_with_one_sentence(bad: float) -> None:
    told: list[int] = []
    with pytest.raises(ActionrecError) as caught:
        run([2.0, bad], Training(max_epochs=9), on_epoch=lambda history, save: told.append(history[-1].epoch))
    sentence = str(caught.value)
    assert not isinstance(caught.value, InputError)
    assert "validation loss" in sentence and "epoch 2" in sentence
    assert "\n" not in sentence and not sentence.endswith(".")
    assert told == [0]  # an epoch that went wrong gets no checkpoint


@pytest.mark.parametrize("section", ["motion", "rnn", "finetune", "anomaly"])
def test_remedy_is_a_key_of_the_configuration(section: str) -> None:
    with pytest.raises(ActionrecError) as caught:
        run([float("nan")], getattr(Config(), section))
    assert str(caught.value).endswith(f"; lower {section}.lr")


def test_diverging_training_names_the_training_loss() -> None:
    def explode(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        losses = network(*batch.inputs).square().sum(1)
        return losses, losses

    with pytest.raises(ActionrecError, match=r"the training loss became (nan|inf) in epoch"):
        fit(nn.Linear(4, 4), data(), Training(lr=10.0), seed=0, objective=explode)


def test_randomness_comes_from_seed_and_rank_alone() -> None:
    def trained(seed: int, rank: int) -> torch.Tensor:
        network = linear(dropout=0.5)
        torch.manual_seed(torch.randint(1000, (1,)).item())  # whatever was drawn before
        workers = Workers(rank, 2, lambda tensor: tensor)
        return fit(network, data(), Training(max_epochs=2), seed=seed, workers=workers).tensors["0.weight"]

    first = trained(0, 0)
    assert torch.equal(first, trained(0, 0))
    assert not torch.equal(first, trained(1, 0))
    assert not torch.equal(first, trained(0, 1))


def test_epochs_draw_differently() -> None:
    masks: list[torch.Tensor] = []
    network = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    network[1].register_forward_hook(lambda module, args, output: masks.append(output == 0))
    fit(network, Batches([blobs(30, 1)], []), Training(lr=1e-8, max_epochs=2), seed=0)
    assert not torch.equal(masks[0], masks[1])


def test_epochs_are_taken_in_order_and_to_their_end() -> None:
    batches = data()
    fit(linear(), batches, Training(max_epochs=3), seed=0)
    assert batches.log == [(s, e, m) for e in range(3) for s in ("train", "val") for m in ("begin", "end")]


def test_modes_and_replica() -> None:
    """Training goes through the replica in training mode, validation through the network itself in eval mode."""

    class Replica(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert self.training and self.network.training
            calls.append("replica")
            out: torch.Tensor = self.network(x)
            return out

    calls: list[str] = []
    network = linear()
    network.register_forward_hook(lambda module, args, output: calls.append("train" if module.training else "eval"))
    fit(network, data(), Training(max_epochs=2), seed=0, replica=Replica(network))
    assert calls == 2 * (3 * ["replica", "train"] + 2 * ["eval"])


def test_waiting_is_the_time_inside_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Slow(Batches):
        def _take(self, split: str, epoch: int, batches: Sequence[Batch]) -> Iterator[Batch]:
            nonlocal now
            for batch in batches:
                now += 2.0
                yield batch
            now += 1.0  # finding out that there are no more

    def objective(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal now
        now += 10.0
        return loop.classify(network, batch)

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
    clean = data()
    done = fit(linear(), Slow(clean.train, clean.val), Training(max_epochs=1), seed=0, objective=objective).history[0]
    assert (done.wait_s, done.seconds) == (5 * 2.0 + 2 * 1.0, 5 * 2.0 + 2 * 1.0 + 5 * 10.0)
