"""What each verb does on a root: calls its stage, shows how far it is, and says what came of it."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.errors import ActionrecError, GoneError, InputError
from actionrec.show import console
from actionrec.show.words import counted

if TYPE_CHECKING:
    from actionrec.cluster.packing import TrialsProgress
    from actionrec.extraction.reuse import Taken
    from actionrec.storage.models import Model
    from actionrec.storage.parts import Reconciled
    from actionrec.storage.root import Root
    from actionrec.training.progress import TrainingListener, TrainingProgress


def synth(out: Path, spec: Any) -> None:
    from actionrec.media.synth import write_dataset

    with console.Display("clips") as display:
        display.stage(f"rendering {out}")
        made = write_dataset(out, spec, on_clip=display.update)
    console.out.print(f"{out}: {counted(made.clips, 'clip')}, {made.bytes / 1e6:.1f} MB")


def catalog(root: "Root") -> None:
    from actionrec.storage import sources

    found = sources.catalog(root)
    root.finish("catalog")
    console.warn(found.warnings)
    _catalogued(root, found.table, f"{found.new} new")


def import_features(root: "Root") -> None:
    from actionrec.storage import importing

    with console.Display("videos") as display:
        display.stage(f"importing {root.config.data.source}")
        found = importing.import_features(root, on_videos=display.update)
    root.finish("catalog")
    console.warn(found.warnings)
    _catalogued(root, found.table, f"{found.width} numbers a frame")


def _catalog_of_run(root: "Root", retry_failed: bool) -> None:
    """Videos, or features to import; what is finished needs neither."""
    from actionrec.storage import sources

    make = import_features if root.config.data.dataset == "features" else catalog
    try:
        make(root)
    except GoneError as gone:
        found = sources.kept(root, gone, retry_failed)
        console.warn(found.warnings)
        _catalogued(root, found.table, "kept")


def _catalogued(root: "Root", table: Any, note: str) -> None:
    from actionrec.catalog.evidence import caution
    from actionrec.schema import SPLITS
    from actionrec.show.classes import by_split

    console.warn(list(filter(None, [caution(table)])))
    labels, splits = table["label"].to_pylist(), table["split"].to_pylist()
    classes = len(set(labels) - {None})
    shares = ", ".join(f"{name} {splits.count(name)}" for name in SPLITS if name in splits)
    console.out.print(
        f"{root.store.url}/catalog.parquet: {counted(table.num_rows, 'video')} ({note}), "
        f"{counted(classes, 'class', 'classes')}, {shares}",
        markup=False,
    )
    if classes:
        console.grid(by_split(labels, splits))


def extract(root: "Root", retry_failed: bool, verbose: bool, reuse: str | None = None) -> None:
    from actionrec.extraction.extract import extract as compute

    started = time.monotonic()
    with console.Display("videos") as display:
        result = compute(
            root,
            retry_failed=retry_failed,
            reuse=reuse,
            verbose=verbose,
            on_progress=lambda now: display.update(now.done, now.videos, now.failed),
            on_stage=display.stage,
            on_plan=console.say,
            on_taking=display.update,
            on_reuse=_took,
        )
    _show(root, result, time.monotonic() - started)
    console.warn(result.leaks)
    _refuse_missing(root, result, "extract")
    root.finish("extract")
    share, limit = len(result.failed) / result.videos, root.config.extract.max_failed
    if share > limit:
        raise ActionrecError(
            f"{len(result.failed)} of {counted(result.videos, 'video')} failed, more than extract.max_failed={limit:g} "
            "allows; mend them and run extract --retry-failed, or raise the limit"
        )


def _took(found: "Taken") -> None:
    console.say(found.said)
    console.warn(found.warnings)


def _refuse_missing(root: "Root", result: "Reconciled", stage: str) -> None:
    if result.missing or result.repeated:
        raise ActionrecError(
            f"{root.store.url}: {len(result.missing)} videos are unaccounted for, {len(result.repeated)} stand twice; "
            f"the first is {(result.missing or result.repeated)[0]!r}; run the same command again, "
            f"or with --replace {stage} if that does not help"
        )


def _show(root: "Root", result: "Reconciled", seconds: float) -> None:
    from actionrec.storage import provenance
    from actionrec.storage.streams import STREAMS, extracted, random_networks

    url = root.store.url
    weights = provenance.weights(root, extracted(root.config))
    if random_networks(root.config, extracted(root.config)):
        weights = f"{weights}, as configured: expect no accuracy of what is random"
    unknown = f" ({result.no_decoder} of them with a codec that no decoder knows)" if result.no_decoder else ""
    silent = f" {result.no_audio} without audio{unknown}," if result.no_audio else ""
    facts = {
        "videos": f"{result.videos} catalogued, {result.ok} ok,{silent} "
        f"{len(result.failed)} failed, {len(result.missing)} missing",
        "weights": weights,
        "time": f"{seconds:.0f} s",
        "features": f"{url}/features",
    }
    console.summary("extract", facts, result.failed)
    if "://" not in url:
        stream = min(extracted(root.config), key=lambda name: not STREAMS[name].fused)  # the first with embeddings
        folder = f"{url}/features/{stream}"
        console.out.print(
            f"Open them with pandas:  import pandas; pandas.read_parquet({folder!r})\n"
            f"         or with duckdb:  import duckdb; duckdb.read_parquet({folder + '/*.parquet'!r})",
            markup=False,
        )


class _Show:
    """The display of a training, and its summary once it has come to an end."""

    def __init__(self, title: str) -> None:
        self.facts: dict[str, object] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        self.display = console.Display("epochs")
        self._title, self._started, self._network = title, time.monotonic(), ""

    def __enter__(self) -> "_Show":
        self.display.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.display.__exit__()
        if kind is None:
            console.summary(
                self._title, self.facts | {"time": f"{time.monotonic() - self._started:.0f} s"}, self.failures
            )

    def listener(self) -> "TrainingListener":
        from actionrec.training.progress import TrainingListener

        return TrainingListener(self.on_epoch, self.display.update, self.on_stage)

    def on_epoch(self, now: "TrainingProgress") -> None:
        if now.name != self._network:
            self._network = now.name
            self.display.stage(f"{now.name} ({now.networks_done + 1} of {now.networks})", "epochs")
        note = f"validation loss {now.val_loss:.3f}, top-1 {now.val_top1:.1%}"
        self.display.update(now.epoch, now.max_epochs, note=note)

    def on_stage(self, text: str) -> None:
        self.display.stage(text, "videos")

    def on_trials(self, now: "TrialsProgress") -> None:
        self.display.update(now.done, now.trials, now.failed, note=now.last)

    def on_trial_stage(self, text: str) -> None:
        self.display.stage(text, "trials")


def _refuse_untold(root: "Root") -> None:
    """InputError where a tool of `log` cannot be told of a training: before anything of it begins."""
    from actionrec.trackers.tools import refuse_missing

    refuse_missing(root.config.log, root.store.url)


def motion(root: "Root", verbose: bool) -> None:
    from actionrec.training.motion_cnn import train_motion

    _refuse_untold(root)

    with _Show("motion") as show:
        model, found = train_motion(root, verbose=verbose, listener=show.listener())
        show.facts["motion CNN"] = _best(model)
        show.facts["features"] = f"{root.output.url}/features/motion, {counted(found.ok, 'video')}"
        show.failures = found.failed
    _refuse_missing(root, found, "motion")
    root.finish("motion")


def rnn(root: "Root", streams: Sequence[str], verbose: bool) -> None:
    from actionrec.training.rnn import train_rnn, untrained

    _refuse_untold(root)
    with _Show("recurrent networks") as show:
        models = train_rnn(root, streams, verbose=verbose, listener=show.listener())
        for model in models:
            show.facts[f"{model.config['stream']}, seed {model.config['seed']}"] = _best(model)
        lacking = ", ".join(untrained(root))
        show.facts["embeddings"] = (
            f"not made, for these streams have no network yet: {lacking}; run `actionrec train rnn` for them"
            if lacking
            else f"{root.output.url}/embeddings/video.parquet"
        )
    root.finish("rnn")


def _best(model: "Model") -> str:
    best = model.history[model.config["best_epoch"]]
    return (
        f"epoch {best['epoch'] + 1} of {len(model.history)}, validation loss {best['val_loss']:.3f}, "
        f"top-1 {best['val_top1']:.1%}"
    )


def spatial(root: "Root", verbose: bool) -> None:
    from actionrec.training.finetune import train_spatial

    _refuse_untold(root)
    with _Show("frame CNN") as show:
        model = train_spatial(root, verbose=verbose, on_epoch=show.on_epoch, on_stage=show.on_stage)
        show.facts["trained"] = _best(model)
        for video_id, why in model.config.get("left_out", {}).items():
            reason, _, detail = why.partition(": ")
            show.failures[video_id] = (reason, detail)
    root.finish("finetune")


def fusion(root: "Root") -> None:
    from actionrec.fusion.fuse import fuse

    with _Show("SVM") as show:
        show.facts |= fuse(root, on_stage=show.display.stage).facts()
    root.finish("fusion")


def tune_rnn(root: "Root", verbose: bool) -> None:
    from actionrec.table1.sweep import tune_rnn as sweep

    _refuse_untold(root)
    with _Show("Table I") as show:
        found = sweep(root, verbose=verbose, on_progress=show.on_trials, on_stage=show.on_trial_stage)
        show.facts |= found.facts()
        show.failures = {name: ("trial", why) for name, why in found.failed.items()}
        show.facts["table"] = f"{root.output.url}/tables/table1.md"
    if found.failed:
        raise ActionrecError(
            f"{counted(len(found.failed), 'trial')} failed, which table1 says; run the same command to try again"
        )
    root.finish("tune")


def tune_svm(root: "Root", verbose: bool) -> None:
    from actionrec.fusion.search import tune_svm as search

    with _Show("search over the SVM") as show:
        found = search(root, verbose=verbose, on_progress=show.on_trials, on_stage=show.on_trial_stage)
        show.facts |= found.facts()
        show.facts["table"] = f"{root.output.url}/tables/svm.md"
    root.finish("svm")


def baseline(root: "Root", name: str, verbose: bool) -> None:
    from actionrec.table2.systems import chosen
    from actionrec.table2.table import is_evaluated

    names = chosen(name)
    if in_vain := [stage for stage in root.replaced if stage not in names]:
        raise InputError(f"--replace {in_vain[0]}: `actionrec baseline {name}` does not make it; leave it out")
    _baselines(root, names, verbose)
    root.finish("baseline")
    if is_evaluated(root):
        _table2(root)
    else:
        console.say("Table II follows with `actionrec evaluate`, once the proposed model has every seed")


def _baselines(root: "Root", names: Sequence[str], verbose: bool) -> None:
    from actionrec.table2.baselines import train_baselines

    _refuse_untold(root)
    with _Show("baselines") as show:
        train_baselines(root, names, verbose=verbose, listener=show.listener())
        show.facts["scores"] = f"{root.output.url}/baselines: {', '.join(names)}"


def _table2(root: "Root") -> None:
    from actionrec.table2.table import write_table2

    with _Show("Table II") as show:
        show.facts |= write_table2(root).facts()
        show.facts["table"] = f"{root.output.url}/tables/table2.md"


def evaluate(root: "Root") -> None:
    from actionrec.fusion.evaluate import evaluate as judge

    with _Show("evaluate") as show:
        show.facts |= judge(root, on_stage=show.display.stage).facts()
    _table2(root)
    root.finish("evaluate")


def anomaly(root: "Root", holdout: str | None, verbose: bool) -> None:
    from actionrec.anomaly import holdout as without
    from actionrec.anomaly.scores import fit_anomaly, holdout_all, score_anomaly
    from actionrec.training.motion_cnn import train_motion
    from actionrec.training.rnn import train_rnn

    _refuse_untold(root)
    with _Show("anomaly") as show:

        def retrain(held: "Root") -> None:
            if "motion" in held.config.streams:
                train_motion(held, verbose=verbose, listener=show.listener())
            train_rnn(held, verbose=verbose, listener=show.listener())

        if holdout is None:
            fit_anomaly(root, on_stage=show.on_stage)
            show.facts |= score_anomaly(root).facts()
        elif holdout == "all":
            show.facts |= without.facts(holdout_all(root, on_stage=show.on_stage))
        else:
            show.facts |= without.facts(without.holdout(root, holdout, retrain, on_stage=show.on_stage))
    root.finish("anomaly")


def refuse_unknown_classes(root: "Root") -> None:
    """InputError where anomaly.normal names a class that the catalog, if there is one, does not."""
    from actionrec.anomaly.detector import normal_classes
    from actionrec.storage.samples import class_labels

    if root.config.anomaly.normal and root.begun("catalog"):
        normal_classes(root, class_labels(root.catalog()))


def report(root: "Root") -> None:
    from actionrec.report.report import report as write

    with _Show("report") as show:
        show.facts |= write(root, on_stage=show.display.stage).facts()


def predict(root: "Root", videos: Sequence[str], form: str) -> None:
    """`form`: json, csv, or for people."""
    from actionrec.predict import Predictor
    from actionrec.show import predictions, rows
    from actionrec.storage.asked import videos_asked

    asked, failed = videos_asked(videos, root.config.storage), 0  # before networks are loaded, which takes long
    with console.err.status("loading the networks") as status, Predictor(root) as predictor:
        rows.begin(form, predictions.COLUMNS)
        for place, found in enumerate(predictor.each(asked), 1):
            status.update(f"{place} of {counted(len(asked), 'video')}")
            failed += found.error is not None
            said = found.to_json()
            if form in rows.FORMS:
                rows.row(form, said, predictions.cells(said, found.seconds))
            else:
                predictions.show(said, found.seconds)
        if form not in rows.FORMS and failed < len(asked):
            predictions.explain(predictor.about_probabilities)
    if failed:
        raise ActionrecError(f"{failed} of {counted(len(asked), 'video')} could not be judged; each says why above")


def search(root: "Root", video: str, top: int, form: str, out: str | None) -> None:
    """`form`: json, csv, or for people. `out`: where the page goes that is else the root's."""
    from actionrec.search.search import about, write_page
    from actionrec.search.search import search as look
    from actionrec.show import neighbors, rows

    if out is not None and not out.endswith(".html"):
        raise InputError(f"--out {out}: a page would be written there; name a file that ends in .html")
    with console.err.status("looking"):
        found = look(root, video, top)
    rows.begin(form, neighbors.COLUMNS)
    if form in rows.FORMS:
        for row in neighbors.rows(found.neighbors):
            rows.row(form, row, row)
    else:
        console.out.print(f"\nnear {found.asked.name}", markup=False)
        console.grid(neighbors.grid(found.neighbors))
        console.out.print(about(found.videos, found.compared), markup=False)
    if form in rows.FORMS and out is None:
        return
    try:
        with console.err.status("making the page"):
            page = write_page(root, found, out)
    except ActionrecError as error:
        if out is not None:
            raise
        console.warn([f"there is no page of these: {error}"])
    else:
        console.say(f"page: {page}")


def duplicates(root: "Root", threshold: float | None, form: str) -> None:
    """`form`: json, csv, or for people."""
    from actionrec.search.search import duplicates as find
    from actionrec.show import copies, rows

    with console.err.status("comparing"):
        found = find(root, threshold)
    pairs = found.rows()
    rows.begin(form, copies.COLUMNS)
    if form in rows.FORMS:
        for pair in pairs:
            rows.row(form, pair, copies.cells(pair))
    elif pairs:
        console.grid(copies.grid(pairs))
        if len(pairs) > copies.SHOWN:
            console.out.print(f"  and {len(pairs) - copies.SHOWN:,} more, which --csv lists\n")
    if form in rows.FORMS:
        console.say(" ".join(found.said()))
    else:
        console.out.print("\n".join(found.said()), markup=False)
    console.warn(found.warnings())


def upgrade(root: "Root") -> None:
    from actionrec.storage.upgrade import upgrade as rename

    with console.Display("parts") as display:
        display.stage("marks")
        found = rename(root, on_parts=display.update)
    if found.stages:
        said = f"upgraded; {found.parts:,} parts, and {', '.join(found.stages)} are as they were"
    elif found.removed:
        said = f"was upgraded before; {found.removed:,} left over from the earlier release, now removed"
    else:
        said = "nothing to upgrade"
    console.out.print(f"{root.store.url}: {said}", markup=False)


def _refuse_vain_options(root: "Root", retry_failed: bool) -> None:
    """InputError about an option of `run` that these settings leave without effect."""
    from actionrec.storage.stages import BASELINES, STAGES

    is_imported = root.config.data.dataset == "features"
    if retry_failed and is_imported:
        raise InputError("--retry-failed: these features are imported, so no video is extracted; leave it out")
    if root.replaced == ("tune",) and not root.config.tune.in_run:
        raise InputError("--replace tune: this run makes no sweep, for tune.in_run is off; use `actionrec tune rnn`")
    rows = root.config.table2.rows
    if unused := [stage for stage in root.replaced if stage in BASELINES and stage not in rows]:
        raise InputError(
            f"--replace {unused[0]}: this run does not train it, for table2.rows is {list(rows)}; "
            f"use `actionrec baseline {unused[0]} --replace {unused[0]}`"
        )
    if root.replaced and not any(STAGES[stage].made(each) for stage in root.replaced for each in root.configs):
        raise InputError(
            f"--replace {root.replaced[0]}: nothing makes it with streams={list(root.config.streams)} and these "
            "settings; leave --replace out"
        )


Step = tuple[str, Callable[[], None]]  # what a person calls it, and what it does


def _steps(root: "Root", retry_failed: bool, verbose: bool) -> tuple[list[Step], list[Step], list[Step]]:
    """Of `run` with these settings: the catalog, what may need Ray, and what does not."""
    from actionrec.storage.streams import wanted

    config = root.config
    videos, rows = config.data.dataset != "features", config.table2.rows
    learning: list[tuple[bool, str, Callable[[], None]]] = [
        (videos and config.finetune.blocks > 0, "train spatial", lambda: spatial(root, verbose)),
        (videos, "extract", lambda: extract(root, retry_failed, verbose)),
        ("motion" in wanted(config), "train motion", lambda: motion(root, verbose)),
        (config.tune.in_run, "tune rnn", lambda: tune_rnn(root, verbose)),
        (True, "train rnn", lambda: rnn(root, (), verbose)),
        (True, "tune svm", lambda: tune_svm(root, verbose)),
        (bool(rows), "baseline", lambda: _baselines(root, rows, verbose)),
    ]
    last: list[Step] = [
        ("train svm", lambda: fusion(root)),
        ("evaluate", lambda: evaluate(root)),
        ("anomaly", lambda: anomaly(root, None, verbose)),
        ("report", lambda: report(root)),
    ]
    first = "catalog" if videos else "import"
    return [(first, lambda: _catalog_of_run(root, retry_failed))], [each[1:] for each in learning if each[0]], last


def _take(steps: Sequence[Step], told: Callable[[str], None]) -> None:
    for name, work in steps:
        told(name)
        work()


def run(root: "Root", retry_failed: bool, verbose: bool) -> None:
    """Every step in one Ray session."""
    from actionrec.cluster.session import kept
    from actionrec.storage.stages import STAGES

    _refuse_vain_options(root, retry_failed)
    _refuse_untold(root)
    root = dataclasses.replace(root, command="run")
    first, learning, last = _steps(root, retry_failed, verbose)
    told = console.steps(len(first) + len(learning) + len(last))
    with kept():
        _take(first, told)
        refuse_unknown_classes(root)  # that is no news for the end
        _take(learning, told)
    _take(last, told)
    for verb in {row.verb for row in STAGES.values()}:
        root.finish(verb, "run")
