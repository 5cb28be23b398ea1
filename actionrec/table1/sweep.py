"""The sweep over Table I on Ray Tune: one trial a network and seed, packed on cores or GPUs, each resumed by itself.

Outcomes lie under the root, one file a trial: a rerun runs what is not done. Ray's own experiment state is not used to
go on from, for it is a pickle; see docs/decisions/0020-sweep.md.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch

from actionrec.cluster.board import why
from actionrec.cluster.packing import NOTE, TRIAL, OnTrials, gpu_share, halving, run_trials, tell
from actionrec.cluster.session import Cluster, session
from actionrec.errors import InputError
from actionrec.learning.checkpoint import Epoch
from actionrec.learning.rnn import parameters
from actionrec.show.words import counted
from actionrec.storage import layout
from actionrec.storage.models import seeded
from actionrec.storage.root import Root, begin
from actionrec.storage.samples import samples, tune_inputs
from actionrec.storage.streams import STREAMS, imported, wanted
from actionrec.table1.architectures import Architecture, chosen
from actionrec.table1.outcomes import BASELINE, Outcome, read_outcome, write_outcome
from actionrec.table1.table import Table1, write_table1
from actionrec.table1.trial import Held, Sweep, Trial, average, hold, prepare
from actionrec.trackers.run import TrackedRun
from actionrec.trackers.tracking import Tracking


def tune_rnn(
    root: Root,
    *,
    verbose: bool = False,
    on_progress: OnTrials = lambda progress: None,
    on_stage: Callable[[str], None] = lambda text: None,
) -> Table1:
    """Run every trial of tune.rows and seeds that has not ended yet, and write tables/table1.

    Trials that failed are tried again by a rerun. Where all have ended nothing is computed, and no features are read.
    """
    rows = chosen(root.config.tune.rows)
    _refuse_unmade(root)
    samples(root, root.config.tune.stream)  # refuses what makes no sense before anything is deleted or begun
    inputs = tune_inputs(root)
    fingerprint = begin(root, "tune", inputs)
    sweep = prepare(root, fingerprint)
    waiting = [trial for trial in _trials(rows, root.config.seeds) if not _ended(sweep, trial)]
    first = root.config.seeds[0]
    baseline = read_outcome(sweep.store(), BASELINE, first, seeded(fingerprint, first))
    held = hold(root, sweep) if waiting or baseline is None else {}
    if waiting:
        on_stage("Ray")
        with session(verbose) as cluster:
            on_stage(counted(len(waiting), "trial"))
            _sweep(sweep, _smallest_first(sweep, held, waiting), held, cluster, on_progress)
    on_stage("tables")
    return write_table1(root, fingerprint, baseline or average(sweep, held))


def _refuse_unmade(root: Root) -> None:
    """InputError where the stream of the sweep is not there, and no verb would make it with these settings."""
    stream, asked = root.config.tune.stream, root.config.streams
    if stream in wanted(root.config) or root.begun(stream):
        return
    if imported(root.config):
        raise InputError(f"tune.stream={stream}: features were imported as {', '.join(asked)} alone; name one of these")
    then = "" if STREAMS[stream].decoded else f" and `actionrec train {STREAMS[stream].verb}`"
    raise InputError(
        f"tune.stream={stream}: there are no such features here, and streams={list(asked)} does not ask for them; run "
        f"`actionrec extract --set tune.stream={stream} --set tune.in_run=true`{then} first, or name a stream that is "
        "there"
    )


def _trials(rows: Sequence[Architecture], seeds: Sequence[int]) -> list[Trial]:
    """A network serves its own row, and the row that puts another classifier on it."""
    served: dict[Architecture, list[Architecture]] = {}
    for row in rows:
        served.setdefault(row.trained_as(), []).append(row)
    networks = [tuple(dict.fromkeys([network, *members])) for network, members in served.items()]
    return [Trial(members, seed) for seed in seeds for members in networks]


def _ended(sweep: Sweep, trial: Trial) -> bool:
    fingerprint = seeded(sweep.fingerprint, trial.seed)
    found = [read_outcome(sweep.store(), row.name, trial.seed, fingerprint) for row in trial.rows]
    return all(each is not None and each.status != "failed" for each in found)


def _smallest_first(sweep: Sweep, held: Held, waiting: Sequence[Trial]) -> list[Trial]:
    """So that most rows are there early."""
    width, classes = sweep.width(held), len(sweep.labels)
    return sorted(waiting, key=lambda trial: parameters(trial.rows[0].of(sweep.config.rnn), width, classes))


def _sweep(sweep: Sweep, waiting: Sequence[Trial], held: Held, cluster: Cluster, on_progress: OnTrials) -> None:
    """Run the trials. Each stores its own outcome; those that could not are stored here, as failed or stopped."""
    gpus = gpu_share(sweep.config, cluster)
    with Tracking(sweep.config.log, sweep.store()) as tracking:
        results = run_trials(
            _run,
            [trial.name for trial in waiting],
            cluster,
            sweep.config,
            on_progress,
            on_done=lambda place: _show(sweep, waiting[place], tracking),
            gpus=gpus,
            scheduler=halving(sweep.config.tune, sweep.config.rnn.max_epochs),
            shared={"sweep": sweep, "trials": list(waiting), "held": held, "device": "cuda" if gpus else "cpu"},
        )
    for place, result in results.items():
        if not _ended(sweep, waiting[place]):
            _store_unfinished(sweep, waiting[place], result)


def _show(sweep: Sweep, trial: Trial, tracking: Tracking) -> None:
    """Tell the tools of `log` of a finished trial: several run at once, and a tool is shown one run after another."""
    row = trial.rows[0]
    outcome = read_outcome(sweep.store(), row.name, trial.seed, seeded(sweep.fingerprint, trial.seed))
    if outcome is not None:
        key = layout.trial(row.name, trial.seed).removesuffix(".json")
        settings = dataclasses.asdict(row.of(sweep.config.rnn)) | {"seed": trial.seed, "parameters": outcome.parameters}
        tracking.told(TrackedRun(key, trial.name, sweep.output_url, settings), outcome.history)


def _run(settings: dict[str, Any], sweep: Sweep, trials: list[Trial], held: Held, device: str) -> None:
    """A trial, in a process of Ray Tune's. `held` lies in the node's shared memory and is read where it lies."""
    from actionrec.table1.trial import run

    torch.set_num_threads(1)

    def report(epoch: Epoch) -> None:
        done = epoch.epoch + 1
        note = f"epoch {done}, validation loss {epoch.val_loss:.3f}"
        tell({"val_loss": epoch.val_loss, "val_top1": epoch.val_top1, "epochs": done, NOTE: note})

    run(sweep, trials[settings[TRIAL]], held, device, report)


def _store_unfinished(sweep: Sweep, trial: Trial, result: Any) -> None:
    """A trial that died is a row marked failed; one that the scheduler stopped is a row that says so."""
    epochs = int((result.metrics or {}).get("epochs", 0))
    status, reason = "stopped", f"after {epochs} epochs"
    if result.error is not None:
        status, reason = "failed", why(result.error)
    for row in trial.rows:
        fingerprint = seeded(sweep.fingerprint, trial.seed)
        write_outcome(sweep.store(), Outcome(fingerprint, row.name, trial.seed, status, reason))
