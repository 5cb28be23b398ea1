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
from actionrec.extraction import extract as extraction
from actionrec.storage.parts import Reconciled
from actionrec.storage.root import begin
from tests.tiny_features import make_root
from tests.tiny_roots import actionrec, snapshot

COMMON = {"--config", "--set", "--verbose"}
ON_A_ROOT = COMMON | {"--root", "--replace"}
SURFACE = {
    "synth": {"OUT", "--groups", "--clips-per-group", "--seconds", "--seed"},
    "catalog": {"SOURCE", "--dataset", "--split"} | ON_A_ROOT,
    "import": {"FILE"} | ON_A_ROOT,
    "extract": {"--retry-failed", "--reuse"} | ON_A_ROOT,
    "train motion": ON_A_ROOT,
    "train rnn": {"--stream"} | ON_A_ROOT,
    "train svm": ON_A_ROOT,
    "train fusion": ON_A_ROOT,  # the same, by the name of its stage
    "train spatial": ON_A_ROOT,
    "tune rnn": ON_A_ROOT,
    "tune svm": ON_A_ROOT,
    "evaluate": ON_A_ROOT,
    "baseline": {"NAME"} | ON_A_ROOT,
    "anomaly": {"--holdout"} | ON_A_ROOT,
    "report": COMMON | {"--root"},
    "predict": {"VIDEOS", "--json", "--csv"} | COMMON | {"--root"},
    "search": {"VIDEO", "--top", "--out", "--json", "--csv"} | COMMON | {"--root"},
    "duplicates": {"--threshold", "--json", "--csv"} | COMMON | {"--root"},
    "run": {"SOURCE", "--dataset", "--split", "--retry-failed"} | ON_A_ROOT,
    "demo": ON_A_ROOT,
    "plan": {"--videos", "--seconds", "--nodes", "--price"} | COMMON | {"--root"},
    "upgrade": COMMON | {"--root"},
    "doctor": COMMON | {"--root"},
    "version": set(),
}
JOBS = Path(__file__).resolve().parents[2] / "jobs"
SCRIPTS = sorted(path.stem for path in JOBS.glob("[a-z]*.py"))


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
    assert set(SCRIPTS) == verbs | {"fuse"}  # train svm, by the name of its stage


@pytest.mark.parametrize("verb", SCRIPTS)
def test_a_job_passes_its_options_to_its_verb(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(sys, "path", [str(JOBS), *sys.path])  # as Python begins it for a script
    monkeypatch.setattr(cli, "main", lambda: given.append(sys.argv[1:]))
    monkeypatch.setattr(sys, "argv", [f"jobs/{verb}.py", "--root", "here"])
    runpy.run_path(str(JOBS / f"{verb}.py"), run_name="__main__")
    assert given == [[*({"fuse": "train svm"}.get(verb, verb).split()), "--root", "here"]]


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
        (["extract", "--root", "R", "--replace", "extract"], "no root"),
        (["extract", "--root", "R", "--replace", "audio"], "no root"),
        (["train", "rnn", "--root", "R", "--replace", "rnn-audio"], "no root"),
        (["train", "rnn", "--root", "R", "--replace", "embeddings"], "no root"),
        (["train", "spatial", "--root", "R", "--replace", "finetune", "--set", "finetune.blocks=1"], "no root"),
        (["train", "spatial", "--root", "R", "--replace", "spatial"], "run --replace spatial"),
        (["extract", "--root", "R", "--set", "no.such=1"], "unknown key no"),
        (["catalog", "--root", "R"], "no root"),
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


NEED_A_ROOT = [
    ["extract"],
    *(["train", kind] for kind in ("motion", "rnn", "fusion", "spatial")),
    *(["tune", kind] for kind in ("rnn", "svm")),
    ["evaluate"],
    ["anomaly"],
    ["anomaly", "--holdout", "a"],
    ["report"],
    ["predict", "clip.mp4"],
    ["plan", "--videos", "5"],
    ["run"],
    ["catalog"],
    ["upgrade"],
]


@pytest.mark.parametrize("verb", NEED_A_ROOT, ids=" ".join)
def test_a_root_that_is_not_there_is_said_to_be_none_and_none_is_made(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = () if verb == ["upgrade"] else ("--config", "demo")  # it changes none
    assert actionrec(*verb, "--root", tmp_path / "typo", *settings) == 2
    assert f"error: {tmp_path / 'typo'}: there is no root here; correct --root" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_root_that_is_not_there_in_a_bucket_neither(
    s3_bucket: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint, bucket = s3_bucket
    at = ("--root", f"s3://{bucket}/typo", "--set", f"storage.endpoint_url={endpoint}")
    assert actionrec("evaluate", *at) == 2
    assert f"error: s3://{bucket}/typo: there is no root here" in capsys.readouterr().err


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """What a catalog takes for videos: it opens none."""
    for name in ("a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "videos"


@pytest.mark.parametrize(
    "given",
    [("--split", "2"), ("--set", "data.split=2"), ("--dataset", "folder", "--split", "1", "--config", "ucf101")],
)
def test_a_split_that_nothing_goes_by_is_refused(
    given: tuple[str, ...], videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = videos.parent / "root"
    assert actionrec("catalog", videos, "--root", root, *given) == 2
    assert "data.dataset is folder, for that has no official splits; leave it out" in capsys.readouterr().err
    assert actionrec("import", "features.npz", "--root", root, "--set", "data.split=2") == 2
    assert "data.dataset is features" in capsys.readouterr().err
    assert not root.exists()
    assert actionrec("catalog", videos, "--root", root, "--dataset", "folder", "--config", "ucf101") == 0


@pytest.mark.parametrize(
    ("typed", "said"), [(("--dataset", "csv"), "data.dataset=folder"), ((), "data.source=/other"), ((), None)]
)
def test_what_is_given_twice_is_refused_unless_it_is_the_same(
    typed: tuple[str, ...], said: str | None, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--set", said or f"data.source={videos}")
    code = actionrec("catalog", videos, "--root", videos.parent / "root", *typed, *more)
    assert code == (2 if said else 0)
    assert not said or f"--set {said}: the command says " in capsys.readouterr().err


def test_a_sources_name_says_of_what_kind_it_is_unless_somebody_does(videos: Path) -> None:
    (videos / "list.csv").write_text("path,label\na/1.mp4,a\nb/3.mp4,b\n")
    assert actionrec("catalog", videos / "list.csv", "--root", videos.parent / "one", "--config", "demo") == 0
    assert (
        actionrec("catalog", videos / "list.csv", "--root", videos.parent / "two", "--set", "data.dataset=folder") == 2
    )


def test_a_named_configuration_again_is_no_change_and_what_is_given_by_hand_is(
    videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = videos.parent / "root"
    at = ("--root", root, "--config", "demo")
    assert actionrec("catalog", videos, "--dataset", "folder", *at) == 0
    before = snapshot(root)
    for again in (("catalog", *at), ("catalog", videos, *at), ("catalog", "--root", root)):
        assert actionrec(*again) == 0, again
    assert snapshot(root) == before
    capsys.readouterr()
    for change in (("--dataset", "csv"), ("--set", "seed=1"), ("--set", "data.source=/other")):
        assert actionrec("catalog", *at, *change) == 2, change
        said = capsys.readouterr().err
        assert 0 < said.index("`--config` or `--set` out") < said.index("--replace catalog"), said
    own = videos.parent / "own.yaml"  # what somebody has written is what they want
    own.write_text("data: {dataset: csv}")
    assert actionrec("catalog", "--root", root, "--config", own) == 2
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--replace", "tune"), "tune.in_run is off"),
        (("--replace", "motion", "--set", "streams=[spatial]"), "streams=['spatial']"),
        (("--set", "anomaly.normal=[aa]"), "anomaly.normal: no training video is of the class 'aa'"),
    ],
)
def test_a_run_says_at_once_what_would_be_in_vain_or_fail_at_its_end(
    given: tuple[str, ...],
    named: str,
    videos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actionrec.verbs.extract", lambda *given: pytest.fail("it began all the same"))
    assert actionrec("run", videos, "--root", videos.parent / "root", *given) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("streams", "silent", "videos", "folder"),
    [
        ("[audio]", 1, "2 ok, 1 without audio, 0 failed", "features/audio'"),
        ("[spatial]", 0, "2 ok, 0 failed", "features/spatial'"),
    ],
)
def test_extracts_summary_speaks_of_what_was_extracted(
    streams: str,
    silent: int,
    videos: str,
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_root(tmp_path)
    monkeypatch.setattr(extraction, "extract", lambda root, **more: Reconciled(ok=2, no_audio=silent))
    assert actionrec("extract", "--root", tmp_path, "--set", f"streams={streams}") == 0
    said = capsys.readouterr().out
    assert videos in said and folder in said


def test_a_misspelt_class_is_named_before_a_setting_that_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_root(tmp_path)
    begin(root, "anomaly", {})
    for label, said in (("c00", "no training video is of the class 'c00' (did you mean "), ("c0", "other settings")):
        assert actionrec("anomaly", "--root", tmp_path, "--set", f"anomaly.normal=[{label}]") == 2
        assert said in capsys.readouterr().err


def test_a_run_of_imported_features_has_nothing_to_try_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, named in ((["--retry-failed"], "--retry-failed"), (["--replace", "finetune"], "--replace finetune")):
        assert actionrec("run", "features.npz", "--root", tmp_path / "root", *given) == 2
        assert named in capsys.readouterr().err
