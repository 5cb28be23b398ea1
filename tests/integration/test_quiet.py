"""What a person sees of an extraction are this project's lines: none of Ray's, unless they are asked for."""

import re
import subprocess
import sys
from pathlib import Path

from tests.tiny_roots import new_root, write_clips

RAYS = re.compile(r"(INFO|WARNING|ERROR) \w+\.py:\d+ --|\(\w+ pid=\d+\)")


def test_an_extraction_says_nothing_of_rays(tmp_path: Path) -> None:
    write_clips(tmp_path / "videos", range(3))
    root = new_root(tmp_path / "root", tmp_path / "videos")
    program = f"from actionrec.cli import main; main(['extract', '--root', {str(root)!r}])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=250)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0 and "catalogued" in said, said
    assert [line for line in said.splitlines() if RAYS.search(line)] == []
