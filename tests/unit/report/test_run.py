"""What was run: the machine in one line, whatever it has."""

from pathlib import Path

import pytest

from actionrec.report import run


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no GPU"),
        ({"0": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 42\n", "1": "IRQ: 1\n"}, "NVIDIA H100 80GB HBM3, a GPU"),
    ],
)
def test_the_machine_says_its_gpus(
    files: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "information").write_text(text)
    monkeypatch.setattr(run, "GPUS", tmp_path)
    ((_, machine),) = run.machine()
    assert said in machine and " cores" in machine
