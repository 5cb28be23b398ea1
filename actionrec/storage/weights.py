"""The networks' weights of one run, under the run's own root, where every worker reads the same bytes.

The driver calls `prepare` once: what ROOT/weights lacks is made there, see weights/recipes.py, as safetensors, and its
sha256 is recorded in a .json beside it, written last. Workers call `load`, which reads the bytes through the store,
holds them to that sha256 and fills a network with them, name by name. Nothing under the root is ever unpickled.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Literal

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from actionrec.config import Config
from actionrec.errors import InputError
from actionrec.features.vggish import PCA
from actionrec.storage import layout, models
from actionrec.storage.store import Store
from actionrec.storage.streams import STREAMS, wanted
from actionrec.weights.installed import InstalledFile, verified
from actionrec.weights.published import CacheState, state
from actionrec.weights.recipes import Recipe, Source, WeightsKind, frame
from actionrec.weights.tensors import Tensors, fill


@dataclass(frozen=True)
class WeightsRef:
    """Where a network's weights lie and what they must be. The sha256 belongs into fingerprints."""

    name: str
    key: str  # under the root
    sha256: str
    kind: WeightsKind
    description: str  # for tables and reports


@dataclass(frozen=True)
class Availability:
    """A published file that the config needs, and whether it can be had (for `actionrec doctor`)."""

    section: str  # of the configuration, that asks for it
    file_name: str
    state: CacheState | Literal["installed"]


def prepare(config: Config, store: Store, streams: Collection[str]) -> dict[str, WeightsRef]:
    """Make sure that the root holds the weights of those of `streams` that a network makes, and say where.

    What is there already is not made again. What is made by a fine-tuned network has that one's weights. Raises
    InputError: a network or checkpoint that does not exist, weights that cannot be downloaded or are not what was
    published, settings that contradict each other, or a network that is not tuned yet.
    """
    found = {}
    for stream in streams:
        if recipe := STREAMS[stream].recipe(config):
            is_tuned = "finetune" in STREAMS[stream].needs(config)
            found[stream] = _tuned(config, recipe, store) if is_tuned else _stored(recipe, store)
    return found


def prepare_untuned(config: Config, store: Store) -> WeightsRef:
    """What fine-tuning starts from: the frame CNN as `prepare` gives it where `finetune.blocks` is 0."""
    return _stored(frame(config), store)


def load(network: nn.Module, ref: WeightsRef, store: Store) -> Tensors:
    """Fill the network with the weights `ref` names; every tensor must be there, and none too many.

    Returns the tensors that belong to no layer: see `vggish.pca_of`. Raises InputError where the bytes are not those
    recorded; the file is then removed, so that the next run makes it anew.
    """
    try:
        tensors = safetensors.torch.load(_verified_bytes(ref, store))
    except SafetensorError as error:
        raise InputError(
            f"{store.url}/{ref.key}: not a file of tensors ({error}); restore it, or use --replace extract"
        ) from None
    beside = {name: tensors.pop(name) for name in PCA if name in tensors}
    fill(network, tensors, ref.key)
    return beside


def survey(config: Config) -> list[Availability]:
    """The published files that the config needs, none for random weights. Downloads nothing; takes seconds.

    InputError, as of `prepare`, for an installed package whose file is not the one published.
    """
    return [
        _available(row.section, source)
        for row in (STREAMS[name] for name in wanted(config))
        if (recipe := row.recipe(config))
        for source in recipe.sources()
    ]


def _available(section: str, source: Source) -> Availability:
    if isinstance(source, InstalledFile):
        verified(source)
        return Availability(section, source.file_name, "installed")
    return Availability(section, source.file_name, state(source))


TUNED_REMEDY = "restore it, or tune again with `actionrec run --replace finetune`"
TUNED = layout.model(layout.FRAME_CNN) + models.WEIGHTS


def _tuned(config: Config, start: Recipe, store: Store) -> WeightsRef:
    key = layout.model(layout.FRAME_CNN) + models.CONFIG
    if not store.exists(key):
        raise InputError(
            f"{store.url}: finetune.blocks={config.finetune.blocks} wants a fine-tuned frame CNN and there is none; "
            "run `actionrec train spatial` first"
        )
    try:
        sha256 = str(json.loads(store.read(key))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{store.url}/{key}: damaged ({error}); {TUNED_REMEDY}") from None
    description = f"{start.description}; its last {config.finetune.blocks} blocks fine-tuned on this root's videos"
    return WeightsRef(start.name, TUNED, sha256, start.kind, description)


def _stored(recipe: Recipe, store: Store) -> WeightsRef:
    key = layout.WEIGHTS + recipe.file_name
    recorded = _recorded(key, store)
    if recorded and store.exists(key):
        return recorded
    data = safetensors.torch.save(_independent(recipe.make()))
    if recorded and recorded.sha256 != _sha256(data):
        raise InputError(
            f"{store.url}/{key}: lost, and made anew it is not what was recorded; restore it, or use --replace extract"
        )
    if not store.put_new(key, data):  # another driver was first, or one was killed before it wrote the record
        if recipe.kind == "random":
            data = store.read(key)  # calibrated on another machine, the last digits may differ: the first one counts
        else:
            store.put(key, data)  # published weights are the same everywhere, so nothing else may stay there
    made = WeightsRef(recipe.name, key, _sha256(data), recipe.kind, recipe.description)
    store.put_new(_record_key(key), json.dumps(asdict(made), indent=1).encode())
    return _recorded(key, store) or made


def _recorded(key: str, store: Store) -> WeightsRef | None:
    record = _record_key(key)
    if not store.exists(record):
        return None
    try:
        return WeightsRef(**json.loads(store.read(record)))
    except (ValueError, TypeError) as error:
        raise InputError(f"{store.url}/{record}: not a record of weights ({error}); delete it and run again") from None


def _record_key(key: str) -> str:
    return key.removesuffix(".safetensors") + ".json"


def _verified_bytes(ref: WeightsRef, store: Store) -> bytes:
    for _ in range(2):  # the second look tells a damaged transfer from a damaged file
        try:
            data = store.read(ref.key)
        except FileNotFoundError:
            remedy = TUNED_REMEDY if ref.key == TUNED else "run extract again"
            raise InputError(f"{store.url}/{ref.key}: the weights are missing; {remedy}") from None
        if _sha256(data) == ref.sha256:
            return data
    if ref.key == TUNED:  # hours of work, which another copy may restore: not ours to remove
        raise InputError(f"{store.url}/{ref.key}: its sha256 is not the one recorded; {TUNED_REMEDY}")
    store.delete(ref.key)
    raise InputError(f"{store.url}/{ref.key}: its sha256 is not the one recorded; it was removed, so run again")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _independent(tensors: Tensors) -> Tensors:
    """Copies that share no memory, as safetensors wants them."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
