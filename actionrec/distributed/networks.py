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
from actionrec.storage.root import Root, begin, made_from, record
from actionrec.storage.samples import learnt_inputs, made_with, read_sequences, samples, store_of
from actionrec.storage.streams import wanted


@dataclass(frozen=True)
class Listener:
    """Who is told how far a training is; by default nobody."""

    on_epoch: Callable[[Progress], None] = lambda progress: None
    on_videos: Callable[[int, int, int], None] = lambda done, videos, failed: None
    on_stage: Callable[[str], None] = lambda text: None


def train_motion(root: Root, *, verbose: bool = False, listener: Listener = Listener()) -> tuple[Model, Reconciled]:
    """Train the motion CNN on the stored flow, then compute features/motion. A rerun goes on where the last one ended.

    One network serves all of `seeds`: its features are stored once. InputError where `streams` has no use for it.
    """
    config = root.config
    if "motion" not in wanted(config):
        raise InputError(f"streams={list(config.streams)} has no use for a motion CNN; add motion with --set streams=")
    found, decoded = samples(root, "flow"), made_from(root, "flow", "spatial")
    network = begin(root, "motion_cnn", learnt_inputs(root, "flow"))
    fingerprint = begin(root, "motion", made_from(root, "motion_cnn") | decoded)
    size = config.flow.stored_height, config.flow.stored_width
    loader = StackLoader(config, root.store.url, *size, config.seeds[0], made_with(root, "flow"))
    subject = StackSubject(
        "motion_cnn",
        "motion CNN",
        layout.model(layout.MOTION_CNN),
        network,
        config.seeds[0],
        found.labels,
        found.of("train"),
        found.of("val"),
        loader,
    )
    (model,) = train(root, [subject], verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage)
    return model, embed_motion(
        root, fingerprint, verbose=verbose, on_progress=listener.on_videos, on_stage=listener.on_stage
    )


def train_rnn(
    root: Root, streams: Sequence[str] = (), *, verbose: bool = False, listener: Listener = Listener()
) -> list[Model]:
    """Train a recurrent network for each of `streams` (default: all that are fused) and each seed.

    Only these are replaced, if any are to be. Once the networks of all fused streams are there, embeds every video. A
    video without a stream trains none of it.
    """
    if unknown := set(streams) - set(root.config.streams):
        raise InputError(f"--stream {min(unknown)}: it is not among streams={list(root.config.streams)}")
    chosen = tuple(streams) or root.config.streams
    for stream in chosen:
        samples(root, stream)  # refuses what makes no sense before anything is deleted or begun
    root = root.sparing([layout.rnn(stream) for stream in root.config.streams if stream not in chosen])
    made = {stream: begin(root, layout.rnn(stream), learnt_inputs(root, stream)) for stream in chosen}
    subjects = [_rnn(root, stream, seed, made[stream]) for stream in chosen for seed in root.config.seeds]
    trained = train(root, subjects, verbose=verbose, on_progress=listener.on_epoch, on_stage=listener.on_stage)
    networks = [layout.rnn(stream) for stream in root.config.streams]
    if all(_is_finished(root, network, seed) for network in networks for seed in root.config.seeds):
        fingerprint = begin(root, "embeddings", made_from(root, *networks))
        embed_videos(root, fingerprint, verbose=verbose, on_progress=listener.on_videos, on_stage=listener.on_stage)
    return trained


def _rnn(root: Root, stream: str, seed: int, fingerprint: str) -> RnnSubject:
    found = samples(root, stream)
    store = store_of(root, stream)
    first = found.videos[0]
    features = made_with(root, stream)
    width = read_sequences(store, stream, first.part, [first.video_id], features)[first.video_id].shape[1]
    network = layout.rnn(stream)
    return RnnSubject(
        network,
        f"{network}, seed {seed}",
        layout.model(network, root.further(seed)),
        seeded(fingerprint, seed),
        seed,
        found.labels,
        found.of("train"),
        found.of("val"),
        SequenceLoader(root.config, store.url, stream, width, features),
    )


def _is_finished(root: Root, network: str, seed: int) -> bool:
    if not root.begun(network):
        return False
    folder = layout.model(network, root.further(seed))
    return finished(root.output, folder, seeded(record(root, network)["fingerprint"], seed))
