"""What a person waits for before a verb does anything: libraries that it has no use for are not imported."""

import subprocess
import sys

import pytest

LEARNT = {"sklearn", "scipy.stats", "pandas"}
DRAWN = {"matplotlib", "jinja2"}
NETWORKS = {"timm", "torchvision", "torch._dynamo", "ptlflow", "torchvggish", "numba"}
RAY = {"ray.data", "ray.train", "ray.tune"}
# What a verb imports as it begins, and what must not come with it. A session of Ray, a network and a table that is to
# be made bring their own.
LEFT_OUT = {
    "version": ("import actionrec.cli", {"torch", "numpy", "pyarrow", "ray", "cv2", *LEARNT, *DRAWN}),
    "catalog": ("import actionrec.storage.sources", {"torch", "ray", "cv2", "av", *LEARNT, *DRAWN}),
    "extract": ("import actionrec.extraction.extract", {*RAY, *LEARNT, *DRAWN, *NETWORKS}),
    "train motion": ("import actionrec.training.motion_cnn", {*LEARNT, *DRAWN, *NETWORKS} - {"pandas"}),
    "train fusion": ("import actionrec.fusion.fuse", {"ray", *LEARNT, *DRAWN, *NETWORKS}),
    "evaluate": ("import actionrec.fusion.evaluate", {"ray", *LEARNT, *DRAWN, *NETWORKS}),
    "anomaly": ("import actionrec.anomaly.scores", {"ray", *LEARNT, *DRAWN, *NETWORKS}),
    "report": ("import actionrec.report.report", {"ray", *LEARNT, *NETWORKS}),
    "plan": ("import actionrec.planning.forecast", {"ray", *LEARNT, *DRAWN, *NETWORKS}),
    "predict": ("import actionrec.predict", {"ray", *LEARNT, *DRAWN, *NETWORKS}),
    "the networks": (
        "import numpy; from actionrec.features import audio_stream, frame_cnn; "
        "frame_cnn.build_frame_cnn('test_resnet'); audio_stream.empty_vggish(); "
        "frame_cnn.stretch(numpy.zeros((1, 9, 9, 3), 'uint8'), size=8)",
        {"ray", "torch._dynamo", "numba", "resampy", *LEARNT},
    ),
}


@pytest.mark.parametrize("verb", LEFT_OUT)
def test_a_verb_imports_only_what_it_uses(verb: str) -> None:
    begins, left_out = LEFT_OUT[verb]
    code = f"{begins}\nimport sys\nprint(*sorted({left_out!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_what_stood_in_for_a_library_is_gone_afterwards() -> None:
    code = (
        "from actionrec.features.light import import_ptlflow, import_timm, import_torchvggish\n"
        "import_timm(), import_torchvggish(), import_ptlflow()\n"
        "import faiss, resampy, torch\n"
        "assert callable(resampy.resample) and callable(faiss.IndexFlatIP)\n"
        "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split()[-1] == "2.0"
