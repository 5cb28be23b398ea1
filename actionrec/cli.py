"""The command line: one function per verb, which parses, calls, shows. Heavy imports wait until a verb needs them."""

import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actionrec import __version__, config
from actionrec.errors import ActionrecError, InputError
from actionrec.reporting import console

if TYPE_CHECKING:
    from actionrec.storage.parts import Reconciled
    from actionrec.storage.root import Root

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=sys.modules["actionrec"].__doc__
)

RootOption = Annotated[str, typer.Option("--root", help="Where results go: a folder, or s3://bucket/prefix.")]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="A named configuration (demo, ucf101) or a YAML file.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One setting: a.b=c. May be repeated.")]
ReplaceOption = Annotated[str | None, typer.Option("--replace", help="Delete this stage and all after it first.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Ray's own log, and tracebacks.")]
SourceArgument = Annotated[str | None, typer.Argument(help="A folder, a CSV or a UCF101 folder; local or s3://.")]
DatasetOption = Annotated[str | None, typer.Option(help="folder, csv or ucf101.")]
SplitOption = Annotated[int | None, typer.Option(help="Which of UCF101's official splits.")]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try the failed videos again.")]

DEMO_SYNTH = "videos"  # under the demo's root


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 cannot finish or too many failures, 2 bad input, 130/143 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        app(given, prog_name="actionrec")
    except ActionrecError as error:
        _explain(str(error), given)
        sys.exit(error.exit_code)
    except _Interrupted as interruption:
        console.fail("interrupted; what is committed stays, and the same command goes on from there")
        sys.exit(128 + interruption.number)
    except Exception as error:  # noqa: BLE001 - a person gets a sentence even for what nobody foresaw
        _explain(f"{type(error).__name__}: {' '.join(str(error).split())} (--verbose shows where)", given)
        sys.exit(1)


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

    _synth(out, SynthSpec(seed=seed, groups=groups, clips_per_group=clips_per_group, seconds=seconds))


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
    _catalog(_open(root, config_name, assignments, replace, _data_layer(source, dataset, split)))


@app.command()
def extract(
    root: RootOption,
    retry_failed: RetryOption = False,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    replace: ReplaceOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Compute frame, flow and audio features of every catalogued video; a rerun goes on where the last one ended."""
    _belongs(replace, "extract")
    _extract(_open(root, config_name, assignments, replace), retry_failed, verbose)


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
    """Every step in order, each skipped when it is finished: catalog, extract."""
    _run(_open(root, config_name, assignments, replace, _data_layer(source, dataset, split)), retry_failed, verbose)


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
    videos = Path(absolute(root)) / DEMO_SYNTH
    started = time.monotonic()
    opened = _open(root, config_name, assignments, replace, _data_layer(str(videos), "ucf101", None))
    _synth(videos, SynthSpec())
    _run(opened, False, verbose)
    console.out.print(f"\nThe demo took {time.monotonic() - started:.0f} s.")


@app.command()
def doctor(
    root: Annotated[str | None, typer.Option("--root", help="Where results would go.")] = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """What this machine can do, and what would make a job fail here (exit code 1)."""
    from actionrec.distributed.doctor import examine

    settings = config.load(_layers(config_name, assignments))
    healthy = True
    with console.err.status("looking around"):
        findings = list(examine(settings, root, verbose))
    for finding in findings:
        mark = "[green]ok  [/green]" if finding.ok else "[red]FAIL[/red]"
        console.out.print(f"{mark} {finding.what:<10}", end=" ")
        console.out.print(finding.detail, markup=False)
        healthy &= finding.ok
    if not healthy:
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    console.out.print(__version__)


def _belongs(replace: str | None, verb: str) -> None:
    if replace not in (None, verb):
        raise InputError(f"--replace {replace}: this verb makes {verb}; use `actionrec run --replace {replace}`")


def _open(
    root: str,
    config_name: str | None,
    assignments: Sequence[str] | None,
    replace: str | None,
    data: dict[str, Any] | None = None,
) -> "Root":
    from actionrec.storage.root import open_root

    return open_root(root, [*_layers(config_name, assignments), {"data": data or {}}], replace)


def _layers(config_name: str | None, assignments: Sequence[str] | None) -> list[dict[str, Any]]:
    named = [config.read_layer(config_name)] if config_name else []
    return [*named, config.set_layer(assignments or [])]


def _data_layer(source: str | None, dataset: str | None, split: int | None) -> dict[str, Any]:
    from actionrec.storage.root import absolute

    if source and dataset is None and source.lower().endswith(".csv"):
        dataset = "csv"
    given = {"source": absolute(source) if source else None, "dataset": dataset, "split": split}
    return {key: value for key, value in given.items() if value is not None}


def _synth(out: Path, spec: Any) -> None:
    from actionrec.media.synth import write_dataset

    with console.Display("clips") as display:
        display.stage(f"rendering {out}")
        made = write_dataset(out, spec, on_clip=display.update)
    console.out.print(f"{out}: {made.clips} clips, {made.bytes / 1e6:.1f} MB")


def _catalog(root: "Root") -> None:
    from actionrec.schema import SPLITS
    from actionrec.storage.sources import catalog

    found = catalog(root)
    console.warn(found.warnings)
    table = found.table
    splits = table["split"].to_pylist()
    classes = len(set(table["label"].to_pylist()) - {None})
    shares = ", ".join(f"{name} {splits.count(name)}" for name in SPLITS if name in splits)
    console.out.print(
        f"{root.store.url}/catalog.parquet: {table.num_rows} videos ({found.new} new), {classes} classes, {shares}",
        markup=False,
    )


def _extract(root: "Root", retry_failed: bool, verbose: bool) -> None:
    from actionrec.distributed.extract import extract

    started = time.monotonic()
    with console.Display("videos") as display:
        result = extract(
            root,
            retry_failed=retry_failed,
            verbose=verbose,
            on_progress=lambda now: display.update(now.done, now.videos, now.failed),
            on_stage=display.stage,
        )
    _show(root, result, time.monotonic() - started)
    if result.missing or result.repeated:
        raise ActionrecError(
            f"{root.store.url}: {len(result.missing)} videos are unaccounted for, {len(result.repeated)} stand twice; "
            f"the first is {(result.missing or result.repeated)[0]!r}; run the same command again, "
            "or with --replace extract if that does not help"
        )
    share, limit = len(result.failed) / result.videos, root.config.extract.max_failed
    if share > limit:
        raise ActionrecError(
            f"{len(result.failed)} of {result.videos} videos failed, more than extract.max_failed={limit:g} allows; "
            "mend them and run extract --retry-failed, or raise the limit"
        )


def _show(root: "Root", result: "Reconciled", seconds: float) -> None:
    url = root.store.url
    random = config.random_networks(root.config)
    weights = f"random ({', '.join(random)}), as configured: expect no accuracy of them" if random else "pretrained"
    facts = {
        "videos": f"{result.videos} catalogued, {result.ok} ok, {result.no_audio} without audio, "
        f"{len(result.failed)} failed, {len(result.missing)} missing",
        "weights": weights,
        "time": f"{seconds:.0f} s",
        "features": f"{url}/features",
    }
    console.summary("extract", facts, result.failed)
    if "://" not in url:
        spatial = f"{url}/features/spatial"
        console.out.print(
            f"Open them with pandas:  import pandas; pandas.read_parquet({spatial!r})\n"
            f"         or with duckdb:  import duckdb; duckdb.read_parquet({spatial + '/*.parquet'!r})",
            markup=False,
        )


def _run(root: "Root", retry_failed: bool, verbose: bool) -> None:
    _catalog(root)
    _extract(root, retry_failed, verbose)


class _Interrupted(BaseException):
    """A signal, raised where the main thread stands, so that everything is closed on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _Interrupted(number)


def _explain(sentence: str, arguments: Sequence[str]) -> None:
    console.fail(sentence)
    if "--verbose" in arguments:
        traceback.print_exc()


if __name__ == "__main__":
    main()
