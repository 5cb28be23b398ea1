"""The command line: one function per verb, which parses, calls, shows. Heavy imports wait until a verb needs them."""

import atexit
import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from actionrec import __version__, config, verbs
from actionrec.errors import ActionrecError, InputError
from actionrec.show import console

if TYPE_CHECKING:
    from actionrec.storage.root import Root

# What `--help` shows, in the order of the work.
PANELS = {
    "Look ahead": ("doctor", "plan"),
    "All at once": ("demo", "run"),
    "Videos and their features": ("synth", "catalog", "import", "extract"),
    "Learn": ("train", "tune", "baseline"),
    "Judge and show": ("evaluate", "anomaly", "report"),
    "Ask": ("predict", "search", "duplicates"),
    "Upkeep": ("upgrade", "version"),
}


class InOrder(typer.core.TyperGroup):
    """The verbs as PANELS has them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own context
        places = {name: panel for panel, names in PANELS.items() for name in names}
        for name, command in self.commands.items():
            command.rich_help_panel = places[name]  # type: ignore[attr-defined]  # every command here is one of typer's
        return sorted(self.commands, key=list(places).index)


HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(cls=InOrder, context_settings=HELP, no_args_is_help=True, pretty_exceptions_enable=False)

train = typer.Typer(no_args_is_help=True, help="Train one kind of network; a rerun goes on where the last one ended.")
app.add_typer(train, name="train")
tune = typer.Typer(no_args_is_help=True, help="Compare settings, each choice made on validation.")
app.add_typer(tune, name="tune")

RootOption = Annotated[str, typer.Option("--root", help="Where results go: a folder, or s3://bucket/prefix.")]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="A named configuration (demo, fight, ucf101, ucf101_vgg14) or a YAML file."),
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One setting: a.b=c. May be repeated.")]
ReplaceOption = Annotated[
    list[str] | None,
    typer.Option("--replace", help="Delete this stage and all that is made from it first. May be repeated."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Ray's own log, and tracebacks.")]
SourceArgument = Annotated[
    str | None,
    typer.Argument(help="A folder, a CSV, a folder of UCF101 or HMDB51, or a file of features; local or s3://."),
]
DatasetOption = Annotated[str | None, typer.Option(help="folder, csv, ucf101, hmdb51 or features.")]
SplitOption = Annotated[int | None, typer.Option(help="Which of the official splits of UCF101 or HMDB51.")]
StreamOption = Annotated[
    list[str] | None, typer.Option("--stream", help="One of those in streams; default: all. May be repeated.")
]
HoldoutOption = Annotated[
    str | None, typer.Option("--holdout", help="Train everything again without this class; or: all, which keeps it.")
]
NodesOption = Annotated[
    list[str] | None,
    typer.Option("--nodes", help="TYPE=COUNT, such as g6.2xlarge=4; local=1: this machine's cores. Repeats."),
]
PriceOption = Annotated[
    list[str] | None,
    typer.Option("--price", help="TYPE=PER_HOUR, what a node of a type costs, such as g6.2xlarge=0.98. Repeats."),
]
ReuseOption = Annotated[
    str | None, typer.Option("--reuse", help="Another root, whose streams of the same videos are taken over.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: a JSON object a line, and nothing else.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="For programs: a CSV with a header, and nothing else.")]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try the failed videos again.")]

DATASET_OF = {".csv": "csv", ".tsv": "csv", ".npz": "features", ".parquet": "features"}  # where --dataset does not say
DEMO_SYNTH, DEMO_NEW = "videos", "new"  # under the demo's root


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 cannot finish or too many failures, 2 bad input, 130/143 interrupted."""
    if arguments is None:  # the process is this command's alone
        _spare_collecting()
    given = list(sys.argv[1:] if arguments is None else arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        app(given, prog_name="actionrec")
    except ActionrecError as error:
        _explain(str(error), given)
        sys.exit(error.exit_code)
    except _Interrupted as interruption:
        _end_interrupted(interruption)
    except Exception as error:  # noqa: BLE001 - a person gets a sentence even for what nobody foresaw
        if isinstance(error.__cause__, _Interrupted):  # Ray's native code turns a signal into a SystemError
            _end_interrupted(error.__cause__)
        _explain(f"{type(error).__name__}: {' '.join(str(error).split())} (--verbose shows where)", given)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.out.print(__version__)
        raise typer.Exit


@app.callback(help=sys.modules["actionrec"].__doc__)
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What may stand before a verb."""


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="A folder that is new, or holds an unfinished set.")],
    groups: Annotated[int, typer.Option(help="Groups per class.")] = 10,
    clips_per_group: Annotated[int, typer.Option(help="Clips per group.")] = 2,
    seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal files.")] = 0,
) -> None:
    """Render a learnable, UCF101-shaped data set of real encoded files."""
    from actionrec.media.synth import SynthSpec

    verbs.synth(out, SynthSpec(seed=seed, groups=groups, clips_per_group=clips_per_group, seconds=seconds))


@app.command()
def catalog(
    root: RootOption,
    source: SourceArgument = None,
    dataset: DatasetOption = None,
    split: SplitOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """List the videos of a source with their labels, groups and splits."""
    _belongs(replace, "catalog")
    verbs.catalog(_open(root, config_name, assignments, replace, _data_layer(source, dataset, split)))


@app.command("import")
def import_features(
    file: Annotated[str, typer.Argument(help="An .npz (feat, label, name, group, is_train) or a Parquet table.")],
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Your own frame features as the spatial stream, with their labels, groups and splits: no videos needed."""
    _belongs(replace, "catalog")
    verbs.import_features(_open(root, config_name, assignments, replace, _data_layer(file, "features", None)))


@app.command()
def extract(
    root: RootOption,
    retry_failed: RetryOption = False,
    reuse: ReuseOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Compute the features of every catalogued video, of each stream; a rerun goes on where the last one ended."""
    _belongs(replace, "extract")
    verbs.extract(_open(root, config_name, assignments, replace), retry_failed, verbose, reuse)


@train.command("spatial")
def train_spatial(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fine-tune the frame CNN's last finetune.blocks blocks, before frames are extracted with it."""
    _belongs(replace, "finetune")
    verbs.spatial(_open(root, config_name, assignments, replace), verbose)


@train.command("motion")
def train_motion(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """The motion CNN, from scratch on stacks of flow; then the motion stream of every video."""
    _belongs(replace, "motion")
    verbs.motion(_open(root, config_name, assignments, replace), verbose)


@train.command("rnn")
def train_rnn(
    root: RootOption,
    stream: StreamOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """A recurrent network for each stream and seed; then the video embeddings."""
    _belongs(replace, "rnn")
    verbs.rnn(_open(root, config_name, assignments, replace), stream or [], verbose)


@train.command("fusion", hidden=True)  # its name in earlier releases, and still its stage's
@train.command("svm")
def train_svm(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """The linear SVM on the streams' video embeddings: the fusion."""
    _belongs(replace, "fusion")
    verbs.fusion(_open(root, config_name, assignments, replace))


@tune.command("rnn")
def tune_rnn(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Table I: every recurrent network of the paper on a stream of yours; a rerun goes on where the last one ended."""
    _belongs(replace, "tune")
    verbs.tune_rnn(_open(root, config_name, assignments, replace), verbose)


@tune.command("svm")
def tune_svm(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """The fused SVM's streams, normalisation and L2 weight, chosen on validation; `train svm` then goes by it."""
    _belongs(replace, "svm")
    verbs.tune_svm(_open(root, config_name, assignments, replace), verbose)


@app.command()
def evaluate(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Judge every subset of streams on the test split: tables/ablation, table2, classes, confusion, predictions."""
    _belongs(replace, "evaluate")
    verbs.evaluate(_open(root, config_name, assignments, replace))


@app.command()
def baseline(
    name: Annotated[str, typer.Argument(help="two_stream, multi_stream, video2vec, or all.")],
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Train a system that the paper compares itself with on the streams that are there: its rows of Table II."""
    _belongs(replace, "baseline")
    verbs.baseline(_open(root, config_name, assignments, replace), name, verbose)


@app.command()
def anomaly(
    root: RootOption,
    holdout: HoldoutOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Score how unusual every video is; with --holdout, how well a class that nothing was trained on stands out."""
    _belongs(replace, "anomaly")
    verbs.anomaly(_open(root, config_name, assignments, replace, check=verbs.refuse_unknown_classes), holdout, verbose)


@app.command()
def report(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """One page that shows everything under the root: report/index.html, which needs no other file and no network."""
    verbs.report(_open(root, config_name, assignments, None))


@app.command()
def predict(
    videos: Annotated[
        list[str],
        typer.Argument(help="Files, folders, patterns such as 'clips/**/*.mp4', or URLs such as s3://b/c.mp4."),
    ],
    root: RootOption,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """The most likely classes of new videos; a file that cannot be used says why, and the others go on."""
    form = _form(as_json, as_csv)
    verbs.predict(_open(root, config_name, assignments, None), videos, form)


@app.command()
def search(
    video: Annotated[str, typer.Argument(help="A catalogued video's id, or a file or URL, which is embedded first.")],
    root: RootOption,
    top: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    out: Annotated[str | None, typer.Option("--out", help="Where the page goes; default: report/search.html.")] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """The catalogued videos nearest to a video, by their embeddings, and a page of their frames."""
    form = _form(as_json, as_csv)
    verbs.search(_open(root, config_name, assignments, None), video, top, form, out)


@app.command()
def duplicates(
    root: RootOption,
    threshold: Annotated[float | None, typer.Option(help="Distance, 0 to 2, up to which two are near copies.")] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Near copies that lie in different groups, first of all in different splits: leaks that no group shows."""
    form = _form(as_json, as_csv)
    verbs.duplicates(_open(root, config_name, assignments, None), threshold, form)


@app.command()
def run(
    root: RootOption,
    source: SourceArgument = None,
    dataset: DatasetOption = None,
    split: SplitOption = None,
    retry_failed: RetryOption = False,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Every step in order, each skipped when it is finished: catalog, extract, train, evaluate, anomaly, report."""
    verbs.run(
        _open(root, config_name, assignments, replace, _data_layer(source, dataset, split)), retry_failed, verbose
    )


@app.command()
def demo(
    root: RootOption = "runs/demo",
    config_name: ConfigOption = "demo",
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """The whole way on a laptop: render a small data set, then `run` with configs/demo.yaml."""
    from actionrec.media.synth import SynthSpec
    from actionrec.storage.root import absolute

    if "://" in root:
        raise InputError(f"--root {root}: the demo renders its videos under its root, so that must be a local folder")
    videos, new = (Path(absolute(root)) / name for name in (DEMO_SYNTH, DEMO_NEW))
    for folder in (videos, new):
        if folder.is_symlink():
            raise InputError(f"{folder} is a link, and nothing is rendered through links; remove it")
    started = time.monotonic()
    opened = _open(root, config_name, assignments, replace, _data_layer(str(videos), "ucf101", None))
    verbs.synth(videos, SynthSpec())
    verbs.run(opened, False, verbose)
    verbs.predict(opened, [str(_new_clip(new))], "")
    console.out.print(f"\nThe demo took {time.monotonic() - started:.0f} s.")


def _new_clip(folder: Path) -> Path:
    """A clip of no split: another seed has other walls, balls and places."""
    from actionrec.media.synth import SynthSpec, write_dataset
    from actionrec.media.synth import plan as clips

    spec = SynthSpec(seed=SynthSpec().seed + 1, classes=2, groups=3, clips_per_group=1)  # the smallest set there is
    write_dataset(folder, spec, workers=1)
    return folder / list(clips(spec))[-1].path


@app.command()
def plan(
    videos: Annotated[int | None, typer.Option(min=1, help="How many; default: those of the root's catalog.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.04, help="Length of the mean video; default: as the root's videos, else 10.")
    ] = None,
    nodes: NodesOption = None,
    price: PriceOption = None,
    root: Annotated[str | None, typer.Option("--root", help="Go by what the videos of this root have taken.")] = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Time, GPU time, storage and money of a run before it is begun, and what that is guessed from."""
    from actionrec import beforehand

    opened = None if root is None else _open(root, config_name, assignments, None)
    settings = opened.config if opened else config.load(_layers(config_name, assignments))
    beforehand.plan(videos, seconds, nodes or ["local=1"], price or [], opened, settings)


@app.command()
def doctor(
    root: Annotated[str | None, typer.Option("--root", help="Where results would go.")] = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """What this machine can do, and what would make a job fail here (exit code 1)."""
    from actionrec import beforehand

    layers, named = _said(config_name, assignments, {})
    if not beforehand.doctor(layers, named, root, verbose):
        raise typer.Exit(1)


@app.command()
def upgrade(
    root: RootOption,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Make a root that an earlier release made one of this release's, with all its features, models and tables."""
    from actionrec.storage.readiness import refuse_no_root
    from actionrec.storage.root import open_of_any_release

    layers = _layers(config_name, assignments)
    if changed := {key for layer in layers for key in layer} - {"storage"}:
        raise InputError(f"{min(changed)}: upgrade changes no setting of a root; only storage can be set here")
    opened = open_of_any_release(root, layers)
    refuse_no_root(opened)
    console.warn(opened.warnings())
    verbs.upgrade(opened)


@app.command()
def version() -> None:
    """Print the version."""
    console.out.print(__version__)


def _form(as_json: bool, as_csv: bool) -> str:
    """How rows are printed: json, csv, or empty for people."""
    if as_json and as_csv:
        raise InputError("--json and --csv: standard output is one of them; give one")
    return "json" if as_json else "csv" if as_csv else ""


def _belongs(replace: Sequence[str] | None, verb: str) -> None:
    from actionrec.storage.stages import named

    made = named(verb)
    for name in replace or ():
        if name != verb and name not in made and named(name):  # what nothing makes is refused by open_root
            raise InputError(
                f"--replace {name}: this verb makes the stage {', '.join(made)}; to make {name} anew, and what is made "
                f"from it, use `actionrec run --replace {name}`"
            )


def _open(
    root: str,
    config_name: str | None,
    assignments: Sequence[str] | None,
    replace: Sequence[str] | None,
    data: dict[str, Any] | None = None,
    check: "Callable[[Root], None]" = lambda root: None,
) -> "Root":
    """The root with this command's settings. `data`: what a verb that may make a root has arguments for; else None.

    `check` as of open_root.
    """
    from actionrec.storage.readiness import refuse_no_root
    from actionrec.storage.root import open_root

    typed, said = data or {}, config.set_layer(assignments or [])
    layers, named = _said(config_name, assignments, typed)
    opened = open_root(root, layers, replace or (), named, check)
    if data is None or opened.config.data.source is None:
        refuse_no_root(opened)
    _refuse_vain_data(typed, said.get("data", {}), opened.config.data.dataset)
    console.warn(opened.warnings())
    return opened


def _said(
    config_name: str | None, assignments: Sequence[str] | None, typed: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What a command says, as open_root takes it: layers, and beneath them the named configuration."""
    guess = _guessed(typed.get("source", ""))
    named = {"streams": ["spatial"]} if {**guess, **typed}.get("dataset") == "features" else {}
    layers = [{"data": guess}, config.set_layer(assignments or []), {"data": typed}]
    if config_name and config.is_named(config_name):
        return layers, named | config.read_layer(config_name)
    return [*([config.read_layer(config_name)] if config_name else []), *layers], named


def _layers(config_name: str | None, assignments: Sequence[str] | None) -> list[dict[str, Any]]:
    named = [config.read_layer(config_name)] if config_name else []
    return [*named, config.set_layer(assignments or [])]


def _data_layer(source: str | None, dataset: str | None, split: int | None) -> dict[str, Any]:
    from actionrec.storage.root import absolute

    given = {"source": absolute(source) if source else None, "dataset": dataset, "split": split}
    return {key: value for key, value in given.items() if value is not None}


def _guessed(source: str) -> dict[str, str]:
    """What the name of the source says of the section data."""
    dataset = DATASET_OF.get(Path(source).suffix.lower())
    return {"dataset": dataset} if dataset else {}


def _refuse_vain_data(typed: Mapping[str, Any], said: Mapping[str, Any], dataset: str) -> None:
    """InputError about an argument (`typed`) or a --set (`said`) of the section data that would have no effect."""
    for key in typed.keys() & said.keys():
        if typed[key] != said[key]:
            raise InputError(f"--set data.{key}={said[key]}: the command says {typed[key]} beside it; give one of them")
    if "split" in {**typed, **said} and dataset not in config.WITH_SPLITS:
        raise InputError(
            f"--split, which is data.split, has no effect where data.dataset is {dataset}, for that has no official "
            f"splits; leave it out, or add --dataset {' or '.join(config.WITH_SPLITS)}"
        )


def _spare_collecting() -> None:
    """Imports make a million objects that last as long as the process: to look through them for garbage again and again
    while they come, and once more at the end, took 2 of the 6 seconds of `predict`. Young garbage is found as ever."""
    gc.set_threshold(700, 10, 1000)
    atexit.register(gc.freeze)


class _Interrupted(BaseException):
    """A signal, raised where the main thread stands, so that everything is closed on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


def _end_interrupted(interruption: _Interrupted) -> NoReturn:
    console.fail("interrupted; what is committed stays, and the same command goes on from there")
    sys.exit(128 + interruption.number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _Interrupted(number)


def _explain(sentence: str, arguments: Sequence[str]) -> None:
    console.fail(sentence)
    if "--verbose" in arguments:
        traceback.print_exc()


if __name__ == "__main__":
    main()
