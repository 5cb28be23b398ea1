"""Trained models under a root: safetensors and JSON, written whole, and refused unless they are what was recorded."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.journal import lines
from actionrec.storage.store import Store

WEIGHTS, CONFIG, LABELS = "model.safetensors", "config.json", "labels.json"
CHECKPOINT = "checkpoint.safetensors"  # of an unfinished training
FINGERPRINT_BYTES = 64  # before a checkpoint's own bytes: whose it is
LEFT_OUT = "left_out-"  # begins the name of a note about one video, beside the checkpoint


@dataclass(frozen=True)
class Model:
    """A trained model as it is stored."""

    tensors: dict[str, torch.Tensor]
    config: dict[str, Any]  # what builds it and what made it; holds "fingerprint" and "sha256"
    labels: list[str]  # of its outputs, in order; empty where it has none
    history: list[dict[str, Any]]  # one mapping an epoch


def seeded(fingerprint: str, seed: int) -> str:
    """The fingerprint of what a stage makes for one seed."""
    return f"{fingerprint}-{seed}"


def save(
    store: Store,
    folder: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    fingerprint: str,
    config: Mapping[str, Any],
    labels: Sequence[str] = (),
    history: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Store a finished model in `folder` ("models/NAME/"); config.json goes last and commits it."""
    data = safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    described = {**config, "fingerprint": fingerprint, "sha256": hashlib.sha256(data).hexdigest()}
    store.put(folder + WEIGHTS, data)
    store.put(folder + LABELS, _json(list(labels)))
    if history:  # an SVM has no epochs
        store.put(folder + layout.JOURNAL, lines(history))
    store.put(folder + layout.HISTORY, _json(list(history)))
    store.put(folder + CONFIG, _json(described))
    store.delete(folder + CHECKPOINT)
    for key in _left_out_keys(store, folder):
        store.delete(key)


def finished(store: Store, folder: str, fingerprint: str) -> bool:
    """Whether the model is there and complete. InputError where it was made from something else."""
    return store.exists(folder + CONFIG) and bool(_config(store, folder, fingerprint))


def put_checkpoint(store: Store, key: str, fingerprint: str, data: bytes) -> None:
    """Store an unfinished training, marked as that of `fingerprint`."""
    store.put(key, fingerprint.encode().ljust(FINGERPRINT_BYTES) + data)


def read_checkpoint(store: Store, key: str, fingerprint: str) -> bytes | None:
    """The bytes to go on from; None where there are none, or where they are another training's."""
    try:
        data = store.read(key)
    except FileNotFoundError:
        return None
    owner = data[:FINGERPRINT_BYTES].decode(errors="replace").strip()
    return data[FINGERPRINT_BYTES:] if owner == fingerprint else None


def leave_out(store: Store, folder: str, fingerprint: str, video_id: str, reason: str) -> None:
    """Note that an unfinished training could not use a video. The note outlives its writer; the first one counts."""
    name = hashlib.sha256(f"{fingerprint}/{video_id}".encode()).hexdigest()[:32]
    note = {"fingerprint": fingerprint, "video_id": video_id, "reason": reason}
    store.put_new(f"{folder}{LEFT_OUT}{name}.json", _json(note))


def left_out(store: Store, folder: str, fingerprint: str) -> dict[str, str]:
    """Video -> reason, of all that `leave_out` noted of this training."""
    notes = [_read_json(store, key) for key in _left_out_keys(store, folder)]
    return {note["video_id"]: note["reason"] for note in notes if note["fingerprint"] == fingerprint}


def _left_out_keys(store: Store, folder: str) -> list[str]:
    return sorted(key for key in store.sizes(folder) if key.startswith(folder + LEFT_OUT))


def load(store: Store, folder: str, fingerprint: str, remedy: str) -> Model:
    """The model in `folder`. InputError, ending with `remedy`, where it is missing, damaged or another's."""
    where = f"{store.url}/{folder}"
    try:
        config = _config(store, folder, fingerprint)
        data = store.read(folder + WEIGHTS)
        labels, history = _read_json(store, folder + LABELS), _read_json(store, folder + layout.HISTORY)
    except FileNotFoundError as error:
        raise InputError(f"{where}: there is no finished model here ({error}); {remedy}") from None
    if hashlib.sha256(data).hexdigest() != config["sha256"]:
        raise InputError(f"{where}{WEIGHTS}: its sha256 is not the one recorded, so it is not used; {remedy}")
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise InputError(f"{where}{WEIGHTS}: not a file of tensors ({error}); {remedy}") from None
    if not (isinstance(labels, list) and isinstance(history, list)):
        raise InputError(f"{where}{LABELS}: damaged; {remedy}")
    return Model(tensors, config, labels, history)


def _config(store: Store, folder: str, fingerprint: str) -> dict[str, Any]:
    config = _read_json(store, folder + CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("sha256"), str):
        raise InputError(f"{store.url}/{folder}{CONFIG}: damaged; delete the folder and train again")
    if config.get("fingerprint") != fingerprint:
        raise InputError(
            f"{store.url}/{folder}: this model was made with other settings or data (fingerprint "
            f"{config.get('fingerprint')!r}, not {fingerprint!r}); delete the folder and train again"
        )
    return config


def _read_json(store: Store, key: str) -> Any:
    try:
        return json.loads(store.read(key))
    except ValueError:
        raise InputError(f"{store.url}/{key}: damaged; delete its folder and train again") from None


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
