"""Checkpoints of an unfinished training: tensors as safetensors, everything else as JSON beside them. Never pickle."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from actionrec.errors import InputError

REMEDY = "delete it to train from the start"


@dataclass(frozen=True)
class Epoch:
    """What came of one epoch: a row of history.json."""

    epoch: int
    train_loss: float  # the mean over all workers' samples, while the weights moved
    val_loss: float
    val_top1: float  # 0..1
    lr: float  # that the epoch was trained with
    samples: int
    seconds: float
    wait_s: float  # of `seconds`: waiting for data


@dataclass
class State:
    """All that a training remembers between epochs, the optimiser's and the network's own tensors left out."""

    seed: int
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_epoch: int = -1
    best_loss: float = math.inf
    bad_epochs: int = 0  # in a row without a better validation loss
    bad_since_drop: int = 0  # of the learning rate


def save(state: State, network: nn.Module, optimizer: torch.optim.Optimizer, kind: str) -> bytes:
    """The training at the end of an epoch. `kind` names the optimiser.

    No generator's state is in it: the loop seeds (seed, epoch, rank) anew at the start of every epoch.
    """
    moments = optimizer.state_dict()["state"]
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    tensors |= {f"optimizer/{i}/{key}": value for i, values in moments.items() for key, value in values.items()}
    counters = {
        name: getattr(state, name) for name in ("seed", "best_epoch", "best_loss", "bad_epochs", "bad_since_drop")
    }
    notes = counters | {
        "optimizer": kind,
        "lr": optimizer.param_groups[0]["lr"],
        "history": [dataclasses.asdict(epoch) for epoch in state.history],
    }
    # Clones: safetensors wants tensors that share no memory.
    independent = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(independent, {"training": json.dumps(notes)})


def restore(data: bytes, network: nn.Module, optimizer: torch.optim.Optimizer, kind: str, seed: int) -> State:
    """Fill network and optimiser from `save`'s bytes. InputError, and nothing filled, for any other bytes."""
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        notes = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["training"])
        state = State(
            **{name: notes[name] for name in ("seed", "best_epoch", "best_loss", "bad_epochs", "bad_since_drop")}
        )
        state.history = [Epoch(**row) for row in notes["history"]]
        lr, made_by = float(notes["lr"]), notes["optimizer"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the checkpoint is damaged or no checkpoint ({' '.join(str(error).split())}); {REMEDY}"
        ) from None
    if (state.seed, made_by) != (seed, kind):
        raise InputError(f"the checkpoint is of seed {state.seed} and {made_by}, not {seed} and {kind}; {REMEDY}")
    _fill(tensors, network, optimizer, lr)
    state.best = _below(tensors, "best/")
    return state


def _fill(tensors: dict[str, torch.Tensor], network: nn.Module, optimizer: torch.optim.Optimizer, lr: float) -> None:
    own, best, wanted = _below(tensors, "network/"), _below(tensors, "best/"), network.state_dict()
    for found in (own, best):
        if {n: t.shape for n, t in found.items()} != {n: t.shape for n, t in wanted.items()}:
            raise InputError(f"the checkpoint is of another network; {REMEDY}")
    state = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Any]] = {}
    state["state"] = moments
    for name, tensor in _below(tensors, "optimizer/").items():
        number, _, key = name.partition("/")
        if not number.isdigit() or int(number) >= len(parameters):
            raise InputError(f"the checkpoint is of another optimiser; {REMEDY}")
        if tensor.ndim and tensor.shape != parameters[int(number)].shape:
            raise InputError(f"the checkpoint is of another network; {REMEDY}")
        moments.setdefault(int(number), {})[key] = tensor
    network.load_state_dict(own)
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        group["lr"] = lr


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
