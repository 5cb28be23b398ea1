"""The trained stages: the motion CNN with its features, and the recurrent networks with their video embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actionrec.distributed.embed import embed_videos
from actionrec.distributed.motion import embed_motion
from actionrec.distributed.subjects import RnnSubject, SequenceLoader, StackLoader, StackSubject
from actionrec.distributed.train import Progress, train
from actionrec.errors import InputError
from actionrec.storage import layout
from actionrec.storage.models import Model, finished, seeded
from actionrec.storage.parts import Reconciled
from actionrec.storage.root import Root, begin
from actionrec.storage.samples import made_with, motion_inputs, read_sequences, rnn_inputs, samples, store_of


@dataclass(frozen=True)
class Listener:
    """Who is told how far a training is; by default nobody."""

    on_epoch: Callable[[Progress], None] = lambda progress: None
    on_videos: Callable[[int, int, int], None] = lambda done, videos, failed: None
    on_stage: Callable[[str], None] = lambda text: None


def train_motion(root: Root, *, verbose: bool = False, listener: Listener = Listener()) -> tuple[Model, Reconciled]:
    """Train the motion CNN on the stored flow, then compute features/motion. A rerun goes on where the last one ended.

    One network serves all of `seeds`: its features are stored once.
    """
    found = samples(root, "flow")
    fingerprint = begin(root, "motion", motion_inputs(root))
    config = root.config
    size = config.flow.stored_height, config.flow.stored_width
    loader = StackLoader(config, root.store.url, *size, config.seeds[0], made_with(root, "flow"))
    folder = layout.model(layout.MOTION_CNN)
    subject = StackSubject(
        "motion CNN", folder, fingerprint, config.seeds[0], found.labels, found.of("train"), found.of("val"), loader
    )
    (model,) = train(
        root, "motion", [subject], verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage
    )
    return model, embed_motion(
        root, fingerprint, verbose=verbose, on_progress=listener.on_videos, on_stage=listener.on_stage
    )


def train_rnn(
    root: Root, streams: Sequence[str] = (), *, verbose: bool = False, listener: Listener = Listener()
) -> list[Model]:
    """Train a recurrent network for each of `streams` (default: all that are fused) and each seed.

    Once the networks of all fused streams are there, embeds every video. A video without a stream trains none of it.
    """
    if unknown := set(streams) - set(root.config.streams):
        raise InputError(f"--stream {min(unknown)}: it is not among streams={list(root.config.streams)}")
    chosen = tuple(streams) or root.config.streams
    for stream in chosen:
        samples(root, stream)  # refuses what makes no sense before anything is deleted or begun
    fingerprint = begin(root, "rnn", rnn_inputs(root))
    subjects = [_rnn(root, stream, seed, fingerprint) for stream in chosen for seed in root.config.seeds]
    trained = train(root, "rnn", subjects, verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage)
    if all(
        _is_finished(root, stream, seed, fingerprint) for stream in root.config.streams for seed in root.config.seeds
    ):
        embed_videos(root, fingerprint, verbose=verbose, on_progress=listener.on_videos, on_stage=listener.on_stage)
    return trained


def _rnn(root: Root, stream: str, seed: int, fingerprint: str) -> RnnSubject:
    found = samples(root, stream)
    store = store_of(root, stream)
    first = found.videos[0]
    features = made_with(root, stream)
    width = read_sequences(store, stream, first.part, [first.video_id], features)[first.video_id].shape[1]
    return RnnSubject(
        f"{layout.rnn(stream)}, seed {seed}",
        layout.model(layout.rnn(stream), root.further(seed)),
        seeded(fingerprint, seed),
        seed,
        found.labels,
        found.of("train"),
        found.of("val"),
        SequenceLoader(root.config, store.url, stream, width, features),
    )


def _is_finished(root: Root, stream: str, seed: int, fingerprint: str) -> bool:
    folder = layout.model(layout.rnn(stream), root.further(seed))
    return finished(root.output, folder, seeded(fingerprint, seed))
