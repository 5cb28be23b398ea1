"""What a person sees of a long installation, with commands that write what pip writes."""

import sys
from pathlib import Path

import pytest

from tools import install

LOCK = "# made\nabsl-py==2.5.1 \\\n    --hash=sha256:00\nray[data]==2.60.0 ; sys_platform == 'linux'\nsix==1.17.0\n"
FETCHING = (
    "Ignoring colorama: markers 'sys_platform == \"win32\"' don't match your environment\n"
    "Collecting absl-py==2.5.1 (from -r requirements.lock (line 3))\n"
    "  Downloading absl_py-2.5.1-py3-none-any.whl (137 kB)\n"
    "Processing /opt/files/ray-2.60.0.whl (from -r requirements.lock (line 7))\n"
    "  Downloading six-1.17.0.whl (1.5 GB)\n"
)


def test_it_counts_what_pips_log_names() -> None:
    assert install.packages_of(LOCK) == 3
    found = install.reached(FETCHING)
    assert found == install.Reached(2, 1500.137, 0)
    assert found.said(3, 0, 65) == "fetching: 2 of at most 3 packages, 1,500 MB, 1 min 05 s"
    found = install.reached(FETCHING + "Installing collected packages: absl-py, ray\n")
    assert found.said(3, 1, 5) == "unpacking: 1 of 2 packages, 0 min 05 s"


def told(tmp_path: Path, program: str) -> int:
    lock, log = tmp_path / "lock", tmp_path / "log"
    lock.write_text(LOCK)
    return install.main(lock, log, [sys.executable, "-c", program])


def test_it_says_before_how_much_comes_and_on_the_way_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "POLL_S", 0.05)
    monkeypatch.setattr(install, "LINE_EVERY_S", 0.1)
    wait = f"import time, pathlib; gone = pathlib.Path({str(tmp_path / 'seen')!r})\n"
    program = f"{wait}print({FETCHING!r}, flush=True)\nwhile not gone.exists(): time.sleep(0.05)"
    seen = iter(range(3))

    def counted() -> int:
        if next(seen, None) is None:  # some lines have been said
            (tmp_path / "seen").touch()
        return 0

    monkeypatch.setattr(install, "_unpacked", counted)
    assert told(tmp_path, program) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert "at most 3 packages" in first and "GB to fetch" in first and "minutes" in first
    assert any(line.startswith("  fetching: 2 of at most 3 packages, 1,500 MB") for line in lines)


def test_a_failure_shows_the_end_of_the_log_and_is_passed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "POLL_S", 0.05)
    program = "import sys\nfor i in range(50): print('line', i)\nprint('no such archive', file=sys.stderr); sys.exit(3)"
    assert told(tmp_path, program) == 3
    said = capsys.readouterr().err
    assert "exit code 3" in said and "no such archive" in said and "line 49" in said and "line 20\n" not in said
