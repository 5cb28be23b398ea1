"""One training loop for every network: the paper's recipe (V.D), told to nobody how or where it is run.

Notation: B samples in a batch. A sample of weight 0 is padding and counts for nothing.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from actionrec.config import Training, section_of
from actionrec.errors import ActionrecError
from actionrec.learning import checkpoint
from actionrec.learning.checkpoint import Epoch, State

LR_FACTOR = 0.1  # (V.D)
TINY = 1e-12  # a divisor where all samples are padding


@dataclass(frozen=True)
class Batch:
    """Samples, with the axis B first in every tensor."""

    inputs: tuple[torch.Tensor, ...]  # what the network takes, in order
    target: torch.Tensor  # int64 [B]; zeros where the objective has no use for it
    weight: torch.Tensor  # float32 [B]

    def to(self, device: str) -> "Batch":
        return Batch(tuple(each.to(device) for each in self.inputs), self.target.to(device), self.weight.to(device))


class TrainingData(Protocol):
    """Where batches come from. Epochs are asked for in order, and each is taken to its end."""

    def training(self, epoch: int) -> Iterable[Batch]:
        """Epoch counts from 0; the same epoch gives the same batches."""

    def validation(self, epoch: int) -> Iterable[Batch]: ...


@dataclass(frozen=True)
class Workers:
    """Who else takes part in the training; by default nobody."""

    rank: int = 0
    size: int = 1
    total: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor  # the sum of a tensor over all workers


@dataclass(frozen=True)
class Fitted:
    """A trained network: the tensors of the epoch with the lowest validation loss."""

    tensors: dict[str, torch.Tensor]
    history: list[Epoch]
    best_epoch: int


# A batch's losses [B] and whether each sample was right [B], 1 or 0.
Objective = Callable[[nn.Module, Batch], tuple[torch.Tensor, torch.Tensor]]


def classify(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the network's logits [B, C] (V.D)."""
    logits = network(*batch.inputs)
    return F.cross_entropy(logits, batch.target, reduction="none"), (logits.argmax(1) == batch.target).float()


def fit(
    network: nn.Module,
    data: TrainingData,
    training: Training,
    *,
    seed: int,
    objective: Objective = classify,
    replica: nn.Module | None = None,
    workers: Workers | None = None,
    device: str = "cpu",
    resume: bytes | None = None,
    resume_name: str = "the checkpoint",
    on_epoch: Callable[[Sequence[Epoch], Callable[[], bytes]], None] = lambda history, make_checkpoint: None,
) -> Fitted:
    """Train `network` until the validation loss has not fallen for `stop_epochs`, or to `max_epochs`.

    The learning rate falls by 10 after `plateau_epochs` epochs without a better validation loss, not below `lr_floor`.
    `replica` is DistributedDataParallel's wrapper of the network where there are several workers. `on_epoch` is given,
    after each epoch, all so far and a function that makes the bytes of a checkpoint, to be called before it returns;
    `resume` takes such bytes and goes on after that epoch: on a CPU, with as many workers, to the same weights.
    `resume_name` tells a person, in an error, where they lie. `network` is on `device` already, and is left with its
    last weights, not its best. Randomness is drawn from (seed, epoch, rank), so torch's global generator is reseeded
    at each epoch; see docs/decisions/0012-checkpoints-and-randomness.md.

    Raises InputError for bytes that are no checkpoint of this training, ActionrecError where a loss is not finite.
    """
    workers = workers or Workers()
    optimizer = _optimizer(network, training)
    state = State(seed)
    if resume is not None:
        state = checkpoint.restore(resume, resume_name, network, optimizer, training.optimizer, seed)
    while not _ended(state, training):
        epoch = len(state.history)
        torch.manual_seed(_seed_of(seed, epoch, workers.rank))
        done = _run_epoch(network, replica or network, data, optimizer, objective, workers, device, epoch)
        _refuse_divergence(done, training)
        _learn_from(done, state, network, optimizer, training)
        on_epoch(state.history, lambda: checkpoint.save(state, network, optimizer, training.optimizer))
    return Fitted(state.best, state.history, state.best_epoch)


def _optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The optimisers that V.D compares; only the first has a momentum to set."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if training.optimizer == "nag":
        return torch.optim.SGD(parameters, lr=training.lr, momentum=training.momentum, nesterov=training.momentum > 0)
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "rmsprop": torch.optim.RMSprop,
        "adadelta": torch.optim.Adadelta,
    }
    return kinds[training.optimizer](parameters, lr=training.lr)


def _ended(state: State, training: Training) -> bool:
    return len(state.history) >= training.max_epochs or state.bad_epochs >= training.stop_epochs


def _seed_of(seed: int, epoch: int, rank: int) -> int:
    digest = hashlib.sha256(f"{seed}/{epoch}/{rank}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _run_epoch(
    network: nn.Module,
    replica: nn.Module,
    data: TrainingData,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    workers: Workers,
    device: str,
    epoch: int,
) -> Epoch:
    started, clock = time.perf_counter(), _Clock()
    sums = torch.zeros(2, dtype=torch.float64, device=device)  # of weighted losses, and of weights
    replica.train()
    for batch in clock.waited(data.training(epoch)):
        sums += _step(replica, batch.to(device), optimizer, objective, workers)
    network.eval()
    val_sums = torch.zeros(3, dtype=torch.float64, device=device)  # of weighted losses, weighted hits, and weights
    with torch.inference_mode():
        for batch in clock.waited(data.validation(epoch)):
            on_device = batch.to(device)
            losses, hits = objective(network, on_device)
            weighted = torch.stack([losses, hits, torch.ones_like(losses)]) * on_device.weight
            val_sums += weighted.double().sum(1)
    total = workers.total(torch.cat([sums, val_sums])).tolist()
    train_loss, val_loss = _mean(total[0], total[1]), _mean(total[2], total[4])
    lr = float(optimizer.param_groups[0]["lr"])
    seconds = time.perf_counter() - started
    return Epoch(epoch, train_loss, val_loss, _mean(total[3], total[4]), lr, round(total[1]), seconds, clock.seconds)


def _step(
    replica: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, objective: Objective, workers: Workers
) -> torch.Tensor:
    """One update; returns [sum of this worker's weighted losses, sum of its weights], float64."""
    everybody = workers.total(batch.weight.sum())
    optimizer.zero_grad(set_to_none=True)
    losses, _ = objective(replica, batch)
    loss = (losses * batch.weight).sum()
    # The mean over all workers' samples. DistributedDataParallel averages gradients over workers: hence the size.
    (loss * workers.size / everybody.clamp(min=TINY)).backward()
    if everybody > 0:  # a momentum moves the weights even where the gradient is zero
        optimizer.step()
    return torch.stack([loss.detach(), batch.weight.sum()]).double()


def _mean(total: float, weight: float) -> float:
    return total / weight if weight else 0.0


def _refuse_divergence(done: Epoch, training: Training) -> None:
    """ActionrecError where a loss is not finite; the losses are totals, so all workers stop alike."""
    for name, loss in (("training", done.train_loss), ("validation", done.val_loss)):
        if not math.isfinite(loss):
            raise ActionrecError(
                f"the {name} loss became {loss} in epoch {done.epoch + 1}; lower {section_of(training)}.lr"
            )


def _learn_from(
    done: Epoch, state: State, network: nn.Module, optimizer: torch.optim.Optimizer, training: Training
) -> None:
    """Keep the best weights, count the epochs without a better one, and lower the learning rate."""
    state.history.append(done)
    if done.val_loss < state.best_loss:
        state.best = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        state.best_epoch, state.best_loss = done.epoch, done.val_loss
        state.bad_epochs = state.bad_since_drop = 0
        return
    state.bad_epochs += 1
    state.bad_since_drop += 1
    if state.bad_since_drop >= training.plateau_epochs:
        state.bad_since_drop = 0
        for group in optimizer.param_groups:
            group["lr"] = max(group["lr"] * LR_FACTOR, min(training.lr_floor, group["lr"]))


class _Clock:
    """Adds up the seconds spent waiting for batches."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def waited(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        iterator = iter(batches)
        while True:
            started = time.perf_counter()
            batch = next(iterator, None)
            self.seconds += time.perf_counter() - started
            if batch is None:
                return
            yield batch
