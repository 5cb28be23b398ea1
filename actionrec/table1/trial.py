"""One trial of the sweep: a row of Table I trained with one seed by learning's own loop, then judged once.

A trial trains in its own process, on features that its node holds once; see docs/decisions/0020-sweep.md.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from actionrec.config import Config
from actionrec.learning import metrics, search
from actionrec.learning.checkpoint import Epoch
from actionrec.learning.embeddings import Embeddings
from actionrec.learning.loop import Workers, fit
from actionrec.learning.rnn import SequenceClassifier, parameters
from actionrec.storage import layout, models
from actionrec.storage.journal import Journal
from actionrec.storage.root import Root
from actionrec.storage.samples import Sample, made_with, read_sequences, samples, store_of
from actionrec.storage.store import Store, open_store
from actionrec.table1.architectures import Architecture
from actionrec.table1.outcomes import BASELINE, Outcome, write_outcome
from actionrec.training.batches import BatchPlan, DirectData
from actionrec.training.rnn import RnnSpec
from actionrec.training.sequences import SequenceLoader

Held = Mapping[str, NDArray[np.float32]]  # video_id -> [L, E]
JUDGED_AT_ONCE = 64  # videos


@dataclass(frozen=True)
class HeldLoader(SequenceLoader):
    """A stream's sequences, all of them in memory."""

    held: Held

    def load(self, samples: Sequence[Sample], epoch: int, training: bool) -> list[NDArray[np.float32]]:
        return [self.held[sample.video_id] for sample in samples]


@dataclass(frozen=True)
class Trial:
    """A network to be trained, and the rows that it serves: its own, and that of the SVM on its embeddings."""

    rows: tuple[Architecture, ...]  # the first one is trained
    seed: int

    @property
    def name(self) -> str:
        return f"{self.rows[0].name}, seed {self.seed}"


@dataclass(frozen=True)
class Sweep:
    """What all trials share. Travels to workers, so it holds names and numbers only."""

    config: Config
    output_url: str
    fingerprint: str
    labels: Sequence[str]
    videos: Mapping[str, Sequence[Sample]]  # by split

    def width(self, held: Held) -> int:
        width: int = next(iter(held.values())).shape[1]
        return width

    def targets(self, split: str) -> NDArray[np.int64]:
        return np.array([video.target for video in self.videos[split]], np.int64)

    def store(self) -> Store:
        return open_store(self.output_url, self.config.storage)


def prepare(root: Root, fingerprint: str) -> Sweep:
    """The sweep of a root's stream."""
    found = samples(root, root.config.tune.stream)
    videos = {split: found.of(split) for split in ("train", "val", "test")}
    return Sweep(root.config, root.output.url, fingerprint, found.labels, videos)


def hold(root: Root, sweep: Sweep) -> Held:
    """The features of all videos that a sweep trains on, chooses by or judges."""
    return read_held(root, root.config.tune.stream, list(itertools.chain.from_iterable(sweep.videos.values())))


def read_held(root: Root, stream: str, videos: Sequence[Sample]) -> Held:
    """A stream's sequences of these videos."""
    by_part: dict[int, list[str]] = {}
    for video in videos:
        by_part.setdefault(video.part, []).append(video.video_id)
    store, features = store_of(root, stream), made_with(root, stream)
    found = (read_sequences(store, stream, part, ids, features) for part, ids in by_part.items())
    return {video_id: sequence for of_part in found for video_id, sequence in of_part.items()}


def run(
    sweep: Sweep, trial: Trial, held: Held, device: str, on_epoch: Callable[[Epoch], None] = lambda epoch: None
) -> list[Outcome]:
    """Train, judge, and store the outcome of each of the trial's rows. Goes on from the trial's last checkpoint.

    ActionrecError where the loss is not finite, or a checkpoint is none.
    """
    row, config, store = trial.rows[0], sweep.config, sweep.store()
    settings = dataclasses.replace(config, rnn=row.of(config.rnn))
    width = sweep.width(held)
    loader = HeldLoader(settings, "", config.tune.stream, width, "", held)
    spec = RnnSpec(
        "tune", trial.name, "", "", trial.seed, sweep.labels, sweep.videos["train"], sweep.videos["val"], loader
    )
    plan = BatchPlan(loader, spec.train, spec.val, trial.seed, settings.rnn.batch, settings.rnn.shuffle_batches)
    data = DirectData(plan, device)
    torch.manual_seed(trial.seed)
    network = spec.build().to(device)
    spec.prepare(network, data, Workers())
    fingerprint, key = models.seeded(sweep.fingerprint, trial.seed), layout.trial(row.name, trial.seed, "safetensors")
    journal = Journal(store, layout.trial(row.name, trial.seed, "jsonl"))
    fitted = fit(
        network,
        data,
        settings.rnn,
        seed=trial.seed,
        device=device,
        resume=models.read_checkpoint(store, key, fingerprint),
        resume_name=f"{store.url}/{key}",
        on_epoch=_Saver(store, key, fingerprint, config.train.checkpoint_s, journal, on_epoch),
    )
    network.load_state_dict(fitted.tensors)
    history = tuple(dataclasses.asdict(epoch) for epoch in fitted.history)
    journal.end(fitted.history)
    outcomes = []
    for each in trial.rows:
        judge = _svm if each.svm else _softmax
        val_rank, test_rank = judge(sweep, network.eval(), loader, device, trial.seed)
        outcome = Outcome(
            fingerprint,
            each.name,
            trial.seed,
            "done",
            parameters=parameters(settings.rnn, width, len(sweep.labels)),
            best_epoch=fitted.best_epoch,
            history=history,
            val_rank=tuple(val_rank.tolist()),
            test_rank=tuple(test_rank.tolist()),
        )
        outcomes.append(outcome)
    for outcome in reversed(outcomes):  # the trained row's own goes last, as it takes the checkpoint away
        write_outcome(store, outcome)
    return outcomes


@dataclass
class _Saver:
    """Writes an epoch down, stores a checkpoint at most once in `every_s` seconds, and tells who listens."""

    store: Store
    key: str
    fingerprint: str
    every_s: float
    journal: Journal
    on_epoch: Callable[[Epoch], None]
    last_s: float = dataclasses.field(default_factory=time.monotonic)

    def __call__(self, history: Sequence[Epoch], make_checkpoint: Callable[[], bytes]) -> None:
        self.journal(history)
        if time.monotonic() - self.last_s >= self.every_s:
            models.put_checkpoint(self.store, self.key, self.fingerprint, make_checkpoint())
            self.last_s = time.monotonic()
        self.on_epoch(history[-1])


SplitRanks = tuple[NDArray[np.int64], NDArray[np.int64]]  # of validation and test videos


def _softmax(sweep: Sweep, network: SequenceClassifier, loader: HeldLoader, device: str, seed: int) -> SplitRanks:
    """By the network's own dense layer."""
    val, test = (
        metrics.ranks(_forward(network, loader, sweep.videos[split], device).astype(np.float64), sweep.targets(split))
        for split in ("val", "test")
    )
    return val, test


def _svm(sweep: Sweep, network: SequenceClassifier, loader: HeldLoader, device: str, seed: int) -> SplitRanks:
    """By the linear SVM on the network's video embeddings."""
    return _by_svm(sweep, lambda videos: _forward(network.embed, loader, videos, device), seed)


def average(sweep: Sweep, held: Held) -> Outcome:
    """Store the outcome of the linear SVM on each video's mean over time, beside which the networks stand."""
    seed = sweep.config.seeds[0]
    ranks = _by_svm(sweep, lambda videos: np.stack([held[video.video_id].mean(axis=0) for video in videos]), seed)
    val_rank, test_rank = (tuple(each.tolist()) for each in ranks)
    fingerprint = models.seeded(sweep.fingerprint, seed)
    outcome = Outcome(fingerprint, BASELINE, seed, "done", val_rank=val_rank, test_rank=test_rank)
    write_outcome(sweep.store(), outcome)
    return outcome


def _by_svm(sweep: Sweep, vectors_of: Callable[[Sequence[Sample]], NDArray[np.float32]], seed: int) -> SplitRanks:
    """By fusion's linear SVM on one vector a video; its normalisation and L2 weight are chosen on validation."""
    stream, of = sweep.config.tune.stream, {}
    for split, videos in sweep.videos.items():
        ids = [video.video_id for video in videos]
        of[split] = Embeddings(ids, {stream: vectors_of(videos)}, {stream: np.ones(len(ids), dtype=bool)})
    targets = {split: sweep.targets(split) for split in of}
    top1, models = {}, {}
    fusion = sweep.config.fusion
    for settings in search.paths([stream], fusion, sweep.config.tune.l2):
        tried = search.attempts(
            settings, of["train"], targets["train"], of["val"], targets["val"], sweep.labels, fusion, seed
        )
        for setting, (model, value) in zip(settings, tried, strict=True):
            models[setting], top1[setting] = model, value
    model = models[search.best(top1)]
    val, test = (metrics.ranks(model.decisions(of[split]), targets[split]) for split in ("val", "test"))
    return val, test


def _forward(
    function: Callable[..., torch.Tensor], loader: HeldLoader, videos: Sequence[Sample], device: str
) -> NDArray[np.float32]:
    found = []
    with torch.inference_mode():
        for start in range(0, len(videos), JUDGED_AT_ONCE):
            arrays = loader.collate(loader.load(videos[start : start + JUDGED_AT_ONCE], 0, False))
            x_BLE, lengths_B = (torch.from_numpy(arrays[name]).to(device) for name in ("x", "lengths"))
            found.append(function(x_BLE, lengths_B).float().cpu().numpy())
    return np.concatenate(found)
