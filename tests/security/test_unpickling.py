"""Nothing that lies in storage is ever unpickled: a rule over the whole package, and files that would tell."""

import ast
import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import actionrec
from tests.tiny_features import make_root
from tests.tiny_roots import actionrec as command

PACKAGE = Path(actionrec.__file__).parent
FORBIDDEN_MODULES = {"cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self._canary,)


def name_of(node: ast.expr) -> str:
    """torch.load for the expression torch.load."""
    return f"{name_of(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def offences(source: str) -> list[str]:
    """What a module does that could run code from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            found += [f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if not isinstance(node, ast.Call):
            continue
        name, given = name_of(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}
        if (
            name in FORBIDDEN_CALLS
            or name.startswith("pickle.")
            or name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load")
        ):
            found.append(name)
        if name == "torch.load" and given.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if name in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False":
            found.append("np.load with allow_pickle")
        if given.get("shell", "False") != "False" or name == "os.system":
            found.append("a shell")
    return found


def test_no_module_can_run_what_a_file_says() -> None:
    modules = list(PACKAGE.rglob("*.py"))
    assert len(modules) > 50
    assert {str(path): found for path in modules if (found := offences(path.read_text(encoding="utf-8")))} == {}


def test_checkpoints_are_loaded_in_one_place_only() -> None:
    loading = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"(?<!safetensors\.)torch\.load\(", path.read_text(encoding="utf-8"))
    ]
    assert loading == ["published.py"]  # after the sha256 was checked: tests/unit/weights/test_published.py


@pytest.mark.parametrize(
    "source",
    [
        "pickle.loads(data)",
        "from joblib import load",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
        "yaml.load(text)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_rule_finds_what_it_forbids(source: str) -> None:
    assert len(offences(source)) == 1


@pytest.mark.parametrize(
    "key",
    [
        "features/status/spatial-000000.parquet",
        "features/spatial/part-000000.parquet",
        "catalog.parquet",
        "config.yaml",
    ],
)
@pytest.mark.parametrize("kind", ["pickle", "npy", "arrow extension"])
def test_a_pickle_in_any_place_of_a_root_is_not_opened(tmp_path: Path, key: str, kind: str) -> None:
    """Ray Data is imported, whose Arrow types unpickle themselves where they are registered."""
    import ray.data  # noqa: F401

    canary, root = tmp_path / "canary", tmp_path / "root"
    make_root(root, settings={"streams": ["spatial"]})
    (root / key).write_bytes(FILES[kind](Bomb(canary)))
    assert command("train", "rnn", "--root", root) == 2
    for verb in ("catalog", "evaluate", "report"):
        command(verb, "--root", root)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.exists(), "the bomb would not have gone off"


def _npy(bomb: Bomb) -> bytes:
    data = io.BytesIO()
    np.save(data, np.array([bomb], dtype=object), allow_pickle=True)
    return data.getvalue()


def _extension(bomb: Bomb) -> bytes:
    """A column of Ray's own kind for any Python object, as Ray Data writes it."""
    column = pa.array([pickle.dumps(bomb)], pa.large_binary())
    metadata = {b"ARROW:extension:name": b"ray.data.arrow_pickled_object", b"ARROW:extension:metadata": b""}
    names = ("video_id", "stream", "status", "embedding", "path", "label", "group", "split")
    fields = [pa.field(name, pa.large_binary(), metadata=metadata) for name in names]
    data = io.BytesIO()
    pq.write_table(pa.table([column] * len(names), schema=pa.schema(fields)), data)
    return data.getvalue()


FILES = {"pickle": pickle.dumps, "npy": _npy, "arrow extension": _extension}
