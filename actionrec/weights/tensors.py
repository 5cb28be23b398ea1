"""A network's tensors, by name: all of them, and none too many."""

import torch
from torch import nn

from actionrec.errors import InputError

Tensors = dict[str, torch.Tensor]


def fill(network: nn.Module, tensors: Tensors, origin: str) -> None:
    """Load every tensor into the network. InputError, naming `origin`, unless names and shapes agree exactly."""
    try:
        network.load_state_dict(tensors, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(f"{origin}: these weights belong to another network ({one_line(error)})") from None


def one_line(error: Exception) -> str:
    """What an exception says, in a line of at most 200 letters."""
    return " ".join(str(error).split())[:200]
