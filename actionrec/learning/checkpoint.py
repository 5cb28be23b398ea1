"""Checkpoints of an unfinished training: tensors as safetensors, everything else as JSON beside them. Never pickle.

The JSON stands in the file's own metadata, with a sha256 over itself and all tensors: safetensors has no checksum.
"""

import dataclasses
import hashlib
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
COUNTERS = ("seed", "best_epoch", "best_loss", "bad_epochs", "bad_since_drop")  # fields of State


@dataclass(frozen=True)
class Epoch:
    """What came of one epoch: a row of history.json and history.jsonl."""

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
    notes = {name: getattr(state, name) for name in COUNTERS} | {
        "optimizer": kind,
        "lr": optimizer.param_groups[0]["lr"],
        "trained": len(optimizer.param_groups[0]["params"]),  # parameters; frozen ones have no moments
        "history": [dataclasses.asdict(epoch) for epoch in state.history],
    }
    # Clones: safetensors wants tensors that share no memory.
    independent = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(notes)
    return safetensors.torch.save(independent, {"training": text, "sha256": _digest(text, independent)})


def restore(
    data: bytes, name: str, network: nn.Module, optimizer: torch.optim.Optimizer, kind: str, seed: int
) -> State:
    """Fill network and optimiser from `save`'s bytes. InputError naming `name`, and nothing filled, for any other."""
    tensors, notes = _read(data, name)
    state = State(**{each: notes[each] for each in COUNTERS}, history=[Epoch(**row) for row in notes["history"]])
    made_by = notes["optimizer"]
    if (state.seed, made_by) != (seed, kind):
        raise InputError(f"{name} is of seed {state.seed} and {made_by}, not {seed} and {kind}; {REMEDY}")
    _fill(tensors, name, network, optimizer, notes)
    state.best = _below(tensors, "best/")
    return state


def _read(data: bytes, name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the notes, as they were written: the sha256 vouches for both."""
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")  # of the header, whose metadata safetensors.torch.load drops
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        text, sha256 = metadata["training"], metadata["sha256"]
    except (SafetensorError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name} is damaged, or is no checkpoint ({reason}); {REMEDY}") from None
    if sha256 != _digest(text, tensors):
        raise InputError(f"{name} is damaged (its sha256 is not the one recorded); {REMEDY}")
    notes: dict[str, Any] = json.loads(text)
    return tensors, notes


def _digest(text: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fill(
    tensors: dict[str, torch.Tensor],
    name: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    notes: dict[str, Any],
) -> None:
    own, wanted = _below(tensors, "network/"), network.state_dict()
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in wanted.items()}:
        raise InputError(f"{name} is of another network; {REMEDY}")
    state = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if notes.get("trained") != len(parameters):
        raise InputError(f"{name} is of another network, or other layers of it were trained; {REMEDY}")
    moments: dict[int, dict[str, Any]] = {}
    state["state"] = moments
    for path, tensor in _below(tensors, "optimizer/").items():
        number, _, key = path.partition("/")
        if tensor.ndim and tensor.shape != parameters[int(number)].shape:
            raise InputError(f"{name} is of another network; {REMEDY}")
        moments.setdefault(int(number), {})[key] = tensor
    network.load_state_dict(own)
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        group["lr"] = notes["lr"]


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
