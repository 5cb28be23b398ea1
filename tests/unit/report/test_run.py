"""What was run: the machine in one line, whatever it has."""

from importlib import metadata
from pathlib import Path

import pytest

from actionrec import __version__
from actionrec.report import run


def test_this_package_has_a_version_where_it_is_installed_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a cluster's job, whose working directory is a copy of it."""
    known = metadata.version

    def version(name: str) -> str:
        if name == "actionrec":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    assert ["actionrec", __version__] in run._versions()


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
