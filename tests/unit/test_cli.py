"""The command line's surface is frozen here: a verb or an option changes only together with this file."""

import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from actionrec import __version__, cli
from actionrec.errors import ActionrecError, InputError
from tests.tiny_roots import actionrec

COMMON = {"--config", "--set", "--verbose"}
ON_A_ROOT = COMMON | {"--root", "--replace"}
SURFACE = {
    "synth": {"OUT", "--groups", "--clips-per-group", "--seconds", "--seed"},
    "catalog": {"SOURCE", "--dataset", "--split"} | ON_A_ROOT,
    "import": {"FILE"} | ON_A_ROOT,
    "extract": {"--retry-failed"} | ON_A_ROOT,
    "train motion": ON_A_ROOT,
    "train rnn": {"--stream"} | ON_A_ROOT,
    "train fusion": ON_A_ROOT,
    "train spatial": ON_A_ROOT,
    "tune rnn": ON_A_ROOT,
    "tune svm": ON_A_ROOT,
    "evaluate": ON_A_ROOT,
    "anomaly": {"--holdout"} | ON_A_ROOT,
    "report": COMMON | {"--root"},
    "predict": {"VIDEOS", "--json"} | COMMON | {"--root"},
    "run": {"SOURCE", "--dataset", "--split", "--retry-failed"} | ON_A_ROOT,
    "demo": ON_A_ROOT,
    "plan": {"--videos", "--seconds", "--nodes"} | COMMON | {"--root"},
    "doctor": COMMON | {"--root"},
    "version": set(),
}
JOBS = Path(__file__).resolve().parents[2] / "jobs"


def commands() -> dict[str, Any]:
    """By what a person types; `train motion` is a command of the group `train`."""
    found: dict[str, Any] = dict(typer.main.get_group(cli.app).commands)
    groups = {name: found.pop(name) for name in ("train", "tune")}
    inner = {f"{group} {name}": each for group, verbs in groups.items() for name, each in verbs.commands.items()}
    return found | inner


def names(command: Any) -> set[str]:
    """Its options by their first spelling, its arguments in capitals."""
    first = {parameter.opts[0] for parameter in command.params} - {"--help"}
    return {name if name.startswith("-") else name.upper() for name in first}


def test_the_surface_is_the_one_agreed_on() -> None:
    assert {verb: names(command) for verb, command in commands().items()} == SURFACE


@pytest.mark.parametrize("verb", SURFACE)
def test_every_verb_explains_itself_and_each_of_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert actionrec(*verb.split(), "--help") == 0
    text = capsys.readouterr().out
    assert commands()[verb].help and all(option in text for option in SURFACE[verb] if option.startswith("-"))


def test_every_verb_but_version_is_a_job_and_every_job_a_verb() -> None:
    verbs = {verb.split()[0] for verb in SURFACE} - {"version"}
    assert {path.stem for path in JOBS.glob("*.py")} == verbs | {"fuse"}  # train fusion, by the name of its stage


@pytest.mark.parametrize("verb", sorted(path.stem for path in JOBS.glob("*.py")))
def test_a_job_passes_its_options_to_its_verb(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(cli, "main", given.append)
    monkeypatch.setattr(sys, "argv", [f"jobs/{verb}.py", "--root", "here"])
    runpy.run_path(str(JOBS / f"{verb}.py"), run_name="__main__")
    assert given == [[*({"fuse": "train fusion"}.get(verb, verb).split()), "--root", "here"]]


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["extract", "--help"], ["extract", "--root"]])
def test_nothing_heavy_is_imported_before_a_verb_needs_it(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from actionrec.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "finally:\n"
        "    heavy = {'ray', 'torch', 'av', 'timm', 'pandas', 'pyarrow', 'cv2', 'sklearn'} & sys.modules.keys()\n"
        "    assert not heavy, heavy\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == (2 if arguments == ["extract", "--root"] else 0), ended.stderr


def test_the_console_script_is_there() -> None:
    script = Path(sys.executable).with_name("actionrec")
    ended = subprocess.run([script, "version"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip()) == (0, __version__)


class UnforeseenError(Exception):
    """What nobody foresaw."""


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("x.csv, line 3: no path"), 2, "error: x.csv, line 3: no path"),
        (ActionrecError("the store is full"), 1, "error: the store is full"),
        (cli._Interrupted(signal.SIGINT), 130, "error: interrupted; "),
        (cli._Interrupted(signal.SIGTERM), 143, "error: interrupted; "),
        (UnforeseenError("one\ntwo"), 1, "error: UnforeseenError: one two (--verbose shows where)"),
        (ActionrecError("[red]brackets[/red] stay"), 1, "error: [red]brackets[/red] stay"),
    ],
)
def test_every_error_is_one_sentence_and_an_exit_code(
    error: BaseException,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_open", fails)
    assert actionrec("extract", "--root", "anywhere") == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(sentence)


def test_verbose_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*arguments: object) -> None:
        raise UnforeseenError("why")

    monkeypatch.setattr(cli, "_open", fails)
    assert actionrec("extract", "--root", "anywhere", "--verbose") == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["extract", "--root", "s3://key:secret@bucket/run"], "credentials"),
        (["extract", "--root", "ftp://host/run"], "ftp"),
        (["extract", "--root", "R", "--config", "no-such-config"], "no-such-config"),
        (["extract", "--root", "R", "--replace", "everything"], "--replace everything: there is no such stage"),
        (["extract", "--root", "R", "--replace", "rnn"], "run --replace rnn"),
        (["extract", "--root", "R", "--replace", "audio", "--replace", "rnn"], "run --replace rnn"),
        (["extract", "--root", "R", "--replace", "extract"], "no catalog"),
        (["extract", "--root", "R", "--replace", "audio"], "no catalog"),
        (["train", "rnn", "--root", "R", "--replace", "rnn-audio"], "no catalog"),
        (["train", "rnn", "--root", "R", "--replace", "embeddings"], "no catalog"),
        (["train", "spatial", "--root", "R", "--replace", "finetune", "--set", "finetune.blocks=1"], "no catalog"),
        (["train", "spatial", "--root", "R", "--replace", "spatial"], "run --replace spatial"),
        (["extract", "--root", "R", "--set", "no.such=1"], "unknown key no"),
        (["catalog", "--root", "R"], "data.source"),
        (["catalog", "no-such-folder", "--root", "R"], "no-such-folder"),
        (["catalog", ".", "--root", "R", "--dataset", "tar"], "data.dataset"),
        (["catalog", ".", "--root", "R", "--split", "4"], "data.split"),
        (["demo", "--root", "s3://bucket/run"], "local folder"),
        (["doctor", "--set", "clip.width=1"], "clip.width"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_sentence_that_names_it(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert actionrec(*arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and named in lines[0]
    assert "secret" not in lines[0]
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("name", [cli.DEMO_SYNTH, cli.DEMO_NEW])
def test_the_demo_renders_nothing_through_a_link_in_its_root(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("root", "outside"):
        (tmp_path / folder).mkdir()
    (tmp_path / "root" / name).symlink_to(tmp_path / "outside")
    assert actionrec("demo", "--root", tmp_path / "root") == 2
    assert f"{tmp_path / 'root' / name} is a link" in capsys.readouterr().err
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("arguments", [["extract"], ["no-such-verb"], ["extract", "--no-such-option"], ["synth"]])
def test_what_the_parser_refuses_is_exit_code_2_too(arguments: list[str]) -> None:
    assert actionrec(*arguments) == 2


def test_a_signal_that_native_code_has_wrapped_is_an_interruption_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrapped(*arguments: Any, **more: Any) -> None:
        raise SystemError("returned a result with an exception set") from cli._Interrupted(signal.SIGTERM)

    monkeypatch.setattr(cli, "app", wrapped)
    assert actionrec("version") == 128 + signal.SIGTERM
    assert "interrupted" in capsys.readouterr().err
