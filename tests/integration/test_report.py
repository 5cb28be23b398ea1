"""The report of real videos, opened in a real browser."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from actionrec.report.report import CHAPTERS, report
from tests.integration.conftest import Run
from tests.integration.page_ruler import ruled
from tests.judged_roots import judged_root
from tests.tiny_roots import actionrec, write_clips

BROWSER = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def reported(plain_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that the run that others share stays as it is."""
    root = tmp_path_factory.mktemp("reported") / "root"
    shutil.copytree(plain_run.root, root)
    assert actionrec("report", "--root", str(root)) == 0
    return root / "report/index.html"


@pytest.fixture(scope="module", params=[2, 101])
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a root of so many classes, one of which has a long name."""
    folder = tmp_path_factory.mktemp("judged")
    files = [folder / name for name in write_clips(folder, (0, 1))]
    report(judged_root(folder / "root", request.param, {"c1": "дуже довга назва класу " * 8}, files=files))
    return folder / "root/report/index.html"


def browse(page: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(BROWSER), *FLAGS, "--enable-logging=stderr", f"--user-data-dir={folder}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_the_page_is_whole_and_small(reported: Path) -> None:
    text = reported.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    sampling = text.split('id="sampling"')[1].split("</section>")[0]
    assert sampling.count("<img") >= 2 and "<svg" in sampling and "adaptive" in sampling
    assert "videos failed" in text.split('id="failed"')[1]


@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed here (Debian: apt-get install chromium)")
@pytest.mark.parametrize(("width", "scheme"), [(1200, 1), (390, 0)])
def test_a_browser_shows_it_without_complaint(reported: Path, width: int, scheme: int, tmp_path: Path) -> None:
    """On a desk by day and on a phone by night."""
    flags = (f"--window-size={width},2000", f"--blink-settings=preferredColorScheme={scheme}")
    shown = browse(reported, tmp_path / "a", *flags, "--dump-dom")
    assert [name for name, *_ in CHAPTERS] == re.findall(r'<section id="([a-z0-9]+)"', shown.stdout)
    assert "CONSOLE" not in shown.stderr
    picture = tmp_path / "page.png"
    browse(reported, tmp_path / "b", *flags, f"--screenshot={picture}")
    data = picture.read_bytes()
    assert struct.unpack(">I", data[16:20])[0] >= width and len(data) > 20_000


@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed here (Debian: apt-get install chromium)")
@pytest.mark.parametrize("width", [1200, 390])
def test_it_can_be_read_on_a_desk_and_on_a_telephone(judged: Path, width: int, tmp_path: Path) -> None:
    """No word is smaller than 10 pixels, and only tables are scrolled sideways."""
    found = ruled([str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path}/profile"], judged, width, tmp_path)
    assert found.texts > 100 and found.width <= width
    assert found.smallest_px >= 10, found.said
