"""The search over the fused SVM's settings on Ray Tune: a trial is a subset of streams, a normalisation and a seed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from actionrec.cluster.board import why
from actionrec.cluster.packing import NOTE, TRIAL, OnTrials, run_trials, tell
from actionrec.cluster.session import session
from actionrec.config import Config
from actionrec.errors import ActionrecError
from actionrec.fusion.attempts import Attempt, Svm, all_paths, read_attempts, write_attempts, write_svm
from actionrec.learning import search
from actionrec.learning.search import Setting
from actionrec.show.words import counted
from actionrec.storage import layout
from actionrec.storage.embeddings import SplitEmbeddings, split_embeddings
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, begin, made_from
from actionrec.storage.samples import class_labels
from actionrec.storage.store import open_store


class _SvmTrial(NamedTuple):
    """The settings that differ in their L2 weight alone."""

    settings: tuple[Setting, ...]
    seed: int

    @property
    def name(self) -> str:
        return f"{' + '.join(self.settings[0].streams)}, {self.settings[0].normalization}, seed {self.seed}"

    @property
    def key(self) -> str:
        return layout.svm_trial(self.settings[0].streams, self.settings[0].normalization, self.seed)


def tune_svm(
    root: Root,
    *,
    verbose: bool = False,
    on_progress: OnTrials = lambda progress: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> Svm:
    """Fit every setting on train, try it on validation, and write tables/svm, which fusion goes by.

    Starts no Ray where all is tried. InputError where embeddings are missing or teach nothing; ActionrecError where
    trials died, of which a rerun makes those that are missing.
    """
    # refuses before anything is deleted or begun
    sides = {seed: split_embeddings(root, seed) for seed in root.config.seeds}
    fingerprint = begin(root, "svm", made_from(root, "embeddings"))
    trials = [_SvmTrial(tuple(path), seed) for seed in root.config.seeds for path in all_paths(root)]
    waiting = [
        trial for trial in trials if read_attempts(root.output, trial.key, seeded(fingerprint, trial.seed)) is None
    ]
    if waiting:
        on_stage("Ray")
        with session(verbose) as cluster:
            on_stage(counted(len(waiting), "trial"))
            results = run_trials(
                _run,
                [trial.name for trial in waiting],
                cluster,
                root.config,
                on_progress,
                shared={
                    "trials": waiting,
                    "sides": sides,
                    "labels": class_labels(root.catalog()),
                    "config": root.config,
                    "output_url": root.output.url,
                    "fingerprint": fingerprint,
                },
            )
        if died := [why(result.error) for result in results.values() if result.error is not None]:
            raise ActionrecError(
                f"{root.output.url}: {len(died)} of {counted(len(waiting), 'trial')} died ({died[0]}); "
                "run the same command again"
            )
    on_stage("tables")
    return write_svm(root)


def _run(
    place: dict[str, Any],
    trials: Sequence[_SvmTrial],
    sides: Mapping[int, Mapping[str, SplitEmbeddings]],
    labels: Sequence[str],
    config: Config,
    output_url: str,
    fingerprint: str,
) -> None:
    """A trial, in a process of Ray Tune's."""
    trial = trials[place[TRIAL]]
    train, val = (sides[trial.seed][split] for split in ("train", "val"))
    tried = search.attempts(
        trial.settings, train.embeddings, train.target, val.embeddings, val.target, labels, config.fusion, trial.seed
    )
    attempts = [
        Attempt(setting.l2, top1, not model.warnings)
        for setting, (model, top1) in zip(trial.settings, tried, strict=True)
    ]
    best = max(attempts, key=lambda each: each.val_top1)
    tell({NOTE: f"best of {len(attempts)} weights: {best.l2:g}, validation top-1 {best.val_top1:.1%}"})
    write_attempts(open_store(output_url, config.storage), trial.key, seeded(fingerprint, trial.seed), attempts)
