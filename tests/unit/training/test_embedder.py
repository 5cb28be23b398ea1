"""Video embeddings: each depends on its video and its network alone, and networks that do not fit are refused."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from actionrec import schema
from actionrec.errors import InputError, Reason, VideoError
from actionrec.storage import models
from actionrec.storage.embeddings import read_embeddings
from actionrec.storage.root import Root, record
from actionrec.training.embedder import VideoEmbedder
from tests.tiny_features import WIDTHS, make_root
from tests.tiny_models import put_rnns

SETTINGS = {"streams": ["spatial", "audio"], "seeds": [0, 7]}
D = 16  # 8 units, two directions
SPATIAL = Path("models/rnn-spatial")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def new_root(folder: Path, *layers: dict[str, Any]) -> Root:
    settings: dict[str, Any] = dict(SETTINGS)
    for layer in layers:
        settings |= layer
    root = make_root(folder / "root", settings=settings)
    put_rnns(root, WIDTHS)
    return root


def embedder(root: Root, seed: int = 0) -> VideoEmbedder:
    return VideoEmbedder(root, seed)


def sequences(count: int) -> list[dict[str, NDArray[np.float32]]]:
    """Videos of 1 to 40 steps; some have no sound."""
    rng = np.random.default_rng(0)
    return [
        {
            stream: rng.normal(size=(int(rng.integers(1, 41)), width)).astype(np.float32)
            for stream, width in WIDTHS.items()
            if stream == "spatial" or number % 3
        }
        for number in range(count)
    ]


def test_an_embedding_is_the_same_to_the_bit_whatever_else_is_embedded(tmp_path: Path) -> None:
    root, videos = new_root(tmp_path), sequences(12)
    embed = embedder(root)
    together, backwards = [embed(video) for video in videos], [embed(video) for video in reversed(videos)][::-1]
    alone = [embedder(root)(video) for video in videos]
    for one, other, third, video in zip(together, backwards, alone, videos, strict=True):
        assert one.keys() == other.keys() == third.keys() == video.keys()
        for stream, vector in one.items():
            assert vector.dtype == np.float32 and vector.shape == (D,)
            assert np.array_equal(vector, other[stream]) and np.array_equal(vector, third[stream])
    assert len({vector.tobytes() for found in together for vector in found.values()}) == sum(map(len, videos))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_it_is_the_last_state_of_both_directions_of_torch_s_own_layer(cell: str, tmp_path: Path) -> None:
    rnn = {"cell": cell, "units": 8, "layers": 2}
    root = new_root(tmp_path, {"rnn": rnn})
    model = models.load(root.store, f"{SPATIAL}/", models.seeded(record(root, "rnn-spatial")["fingerprint"], 0), "")
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    layer = kind(WIDTHS["spatial"], 8, 2, bidirectional=True)
    layer.load_state_dict(
        {name.removeprefix("recurrent."): t for name, t in model.tensors.items() if name.startswith("recurrent.")}
    )
    for video in sequences(3):
        x_L1E = ((torch.from_numpy(video["spatial"]) - model.tensors["mean"]) / model.tensors["scale"])[:, None]
        with torch.no_grad():
            output_L12U, _ = layer(x_L1E)
        expected = torch.cat([output_L12U[-1, 0, :8], output_L12U[0, 0, 8:]]).numpy()  # where each direction ends
        np.testing.assert_allclose(embedder(root)(video)["spatial"], expected, rtol=0, atol=1e-6)


def test_a_stream_that_a_video_lacks_is_left_out(tmp_path: Path) -> None:
    embed = embedder(new_root(tmp_path))
    (video,) = sequences(1)
    assert embed(video).keys() == {"spatial"}
    assert embed({**video, "audio": np.zeros((0, WIDTHS["audio"]), np.float32)}).keys() == {"spatial"}
    assert embed({}) == {}
    assert embed.widths == {"spatial": D, "audio": D}


def test_each_seed_has_networks_of_its_own(tmp_path: Path) -> None:
    root, (video,) = new_root(tmp_path), sequences(1)
    first, second = (embedder(root, seed)(video)["spatial"] for seed in (0, 7))
    assert not np.allclose(first, second)


def test_a_sequence_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"spatial stream has embeddings of 5 numbers.* wants 6"):
        embedder(new_root(tmp_path))({"spatial": np.zeros((3, 5), np.float32)})


def test_nan_is_the_video_s_own_failure(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="the audio stream's recurrent network gave NaN") as failure:
        embedder(new_root(tmp_path))({"audio": np.full((2, WIDTHS["audio"]), np.nan, np.float32)})
    assert failure.value.reason is Reason.NON_FINITE


def delete(folder: Path) -> None:
    (folder / "config.json").unlink()


def tamper(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def described(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (delete, "there is no finished model"),
        (tamper, "its sha256 is not the one recorded"),
        (described(fingerprint="another"), "made with other settings or data"),
        (described(width=4), "belong to another network"),
        (described(rnn={"cell": "spider"}), "does not describe a recurrent network"),
        (described(rnn={"legs": 8}), "does not describe a recurrent network"),
        (described(width=-1), "does not describe a recurrent network"),
    ],
    ids=["no model", "tampered", "other fingerprint", "other width", "unknown cell", "unknown knob", "no width"],
)
def test_a_network_that_is_not_what_was_recorded_is_refused(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    root = new_root(tmp_path)
    damage(tmp_path / "root" / SPATIAL)
    with pytest.raises(InputError, match=words) as failure:
        embedder(root)
    assert "models/rnn-spatial" in str(failure.value)


STORED = pa.table(
    {
        "video_id": ["a", "b"],
        "spatial": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
        "audio": pa.array([None, [3.0]], pa.list_(pa.float32(), 1)),
    }
)


def test_stored_embeddings_come_back_with_their_nulls(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    fingerprint = record(root, "embeddings")["fingerprint"]
    root.store.put("embeddings/video.parquet", schema.to_parquet(STORED, f"{fingerprint}-0"))
    root.store.put("embeddings/seed-7/video.parquet", schema.to_parquet(STORED.slice(1), f"{fingerprint}-7"))
    assert read_embeddings(root, 0).to_pydict() == STORED.to_pydict()
    assert read_embeddings(root, 7).num_rows == 1


def plain(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "there are no video embeddings"),
        (b"", "not a table"),
        (b"PAR1" + b"\x80" * 50, "not a table"),
        (plain(STORED.drop_columns("audio")), "not a table with an embedding for each of streams"),
        (plain(STORED), "other recurrent networks"),
        (schema.to_parquet(STORED, "another-0"), "other recurrent networks"),
    ],
    ids=["none", "nothing", "no Parquet", "a stream less", "no fingerprint", "other fingerprint"],
)
def test_embeddings_of_other_networks_are_refused(data: bytes | None, words: str, tmp_path: Path) -> None:
    root = new_root(tmp_path)
    if data is not None:
        root.store.put("embeddings/video.parquet", data)
    with pytest.raises(InputError, match=words) as failure:
        read_embeddings(root, 0)
    assert "embeddings/video.parquet" in str(failure.value) and "actionrec train rnn" in str(failure.value)
