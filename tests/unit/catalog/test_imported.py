"""Files of features: read exactly, split as their splits say, and refused in words when they are not what they seem."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actionrec.catalog.imported import Imported, read_features
from actionrec.errors import InputError

GIB = 2.0**30
RNG = np.random.default_rng(0)
FLOAT32 = pa.float32()
FEAT = RNG.normal(size=(4, 3, 2)).astype(np.float16)
NAMES = np.array(["Ski/v_1.avi", "Ski/v_2.avi", "Біг/v_3.avi", "Біг/v_4.avi"])
PLAIN: dict[str, Any] = {
    "feat": FEAT,
    "label": np.array([7, 7, 2, 2]),
    "name": NAMES,
    "group": np.array([1, 2, 1, 12]),
    "is_train": np.array([True, False, True, False]),
}


def npz(**changes: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **{key: value for key, value in {**PLAIN, **changes}.items() if value is not None})
    return sink.getvalue()


def read(data: bytes, name: str = "f.npz", limit: float = GIB) -> Imported:
    return read_features(data, name, limit)


def parquet(rows: list[dict[str, Any]], width: int = 2, kind: pa.DataType = FLOAT32) -> bytes:
    fields: list[Any] = [("video_id", pa.string()), ("embedding", pa.list_(pa.list_(kind, width)))]
    fields += [(name, pa.string()) for name in ("label", "group", "split") if any(name in row for row in rows)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), sink)
    return sink.getvalue()


def test_an_npz_as_it_is_published() -> None:
    found = read(npz())
    assert [video[:6] for video in found.draft.videos] == [
        ("Ski/v_1.avi", None, "Ski", "Ski_g01", "train", None),
        ("Ski/v_2.avi", None, "Ski", "Ski_g02", "test", None),
        ("Біг/v_3.avi", None, "Біг", "Біг_g01", "train", None),
        ("Біг/v_4.avi", None, "Біг", "Біг_g12", "test", None),
    ]
    assert found.draft.classes == ["Біг", "Ski"]  # by their numbers, 2 before 7
    assert found.numbered
    for sequence_LE, expected_LE in zip(found.sequences, FEAT, strict=True):
        assert sequence_LE.dtype == np.float32
        np.testing.assert_array_equal(sequence_LE, expected_LE.astype(np.float32))


def test_numbers_stay_numbers_where_folders_do_not_name_them() -> None:
    for names in (["a", "b", "c", "d"], ["x/a", "x/b", "x/c", "x/d"], ["x/a", "y/b", "z/c", "z/d"]):
        found = read(npz(name=np.array(names)))
        assert [video.label for video in found.draft.videos] == ["7", "7", "2", "2"]
        assert found.draft.classes == ["2", "7"]


def test_labels_and_groups_in_words_and_none_at_all() -> None:
    found = read(npz(label=np.array(["b", "b", "a", "a"]), group=np.array(["p", "q", "p", ""]), is_train=None))
    assert [(v.label, v.group, v.split) for v in found.draft.videos] == [
        ("b", "p", None), ("b", "q", None), ("a", "p", None), ("a", None, None)
    ]  # fmt: skip
    assert not found.numbered and found.draft.classes is None
    assert {video.group for video in read(npz(group=None)).draft.videos} == {None}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"feat": None}, "no array 'feat'"),
        ({"label": None}, "no array 'label'"),
        ({"name": None}, "no array 'name'"),
        ({"feat": FEAT[0]}, r"float16 \[3, 2\]; it must be numbers \[N, L, E\]"),
        ({"feat": FEAT[:, :0]}, "must be numbers"),
        ({"feat": FEAT.astype("U4")}, "must be numbers"),
        ({"label": np.arange(3)}, r"label is int64 \[3\], which is not one whole number or text for each of the 4"),
        ({"label": np.arange(4.0)}, "label is float64"),
        ({"is_train": np.arange(4)}, "not one truth value"),
        ({"name": np.array(["a", "b", "c", "a"])}, "'a' stands twice"),
        ({"name": np.array(["a", "", "c", "d"])}, "'' stands twice, or is empty"),
        ({"name": np.array(["e\u0301", "\u00e9", "c", "d"])}, "stands twice"),
        ({"feat": np.where(np.arange(24).reshape(4, 3, 2) == 7, np.nan, 1.0)}, "'Ski/v_2.avi' are empty or hold"),
        ({"feat": np.full((4, 3, 2), 1e300)}, "infinite as float32"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=rf"f\.npz: .*{says}"):
        read(npz(**changes))


def test_what_is_no_npz_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "opened",)

    objects = io.BytesIO()
    np.savez(objects, **{**PLAIN, "label": np.array([Canary()] * 4, dtype=object)}, allow_pickle=True)
    data = npz()
    for bad in (b"", b"text", pickle.dumps(Canary()), objects.getvalue(), data[:-30], data[: len(data) // 2]):
        with pytest.raises(InputError, match=r"not a file of plain arrays|no array"):
            read(bad)
    flipped = bytearray(data)
    flipped[data.index(FEAT.tobytes())] ^= 1
    with pytest.raises(InputError, match="not a file of plain arrays"):
        read(bytes(flipped))
    assert not (tmp_path / "opened").exists()


def zipped(compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return sink.getvalue()


def claiming(shape: tuple[int, ...], content: bytes = b"", descr: str = "<f4") -> bytes:
    """A .npy file whose header claims a shape that its content need not have."""
    sink = io.BytesIO()
    np.lib.format.write_array_header_1_0(sink, {"descr": descr, "fortran_order": False, "shape": shape})
    return sink.getvalue() + content


def repeated(rows: int, frames: int, label: str) -> bytes:
    """A table of constant features, which are stored as next to nothing."""
    width = 256
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(rows * frames * width, np.float32)), width)
    sequences = pa.ListArray.from_arrays(pa.array(range(0, rows * frames + 1, frames), pa.int32()), vectors)
    table = pa.table({"video_id": [str(row) for row in range(rows)], "embedding": sequences, "label": [label] * rows})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        zipped(feat=claiming((10, 10, 25_000), bytes(10_000_000))),  # zeros, in 10 kB
        zipped(feat=claiming((10, 10, 16_000), bytes(6_400_000))),  # 6.4 MB as it is stored, and again as float32
        zipped(label=claiming((30_000,), bytes(7_680_000), "<U64")),  # texts, in numpy and in Python
    ],
    ids=["zeros", "copies", "texts"],
)
def test_arrays_that_unpack_to_too_much_are_refused_before_they_are_unpacked(data: bytes) -> None:
    assert len(data) < 20_000
    with pytest.raises(InputError, match=r"^f\.npz: it unpacks to 0\.\d+ GiB, more than limits\.file_gib=0\.0093"):
        read(data, limit=10_000_000)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_unpacks_in_one_go_is_refused(compression: int) -> None:
    with pytest.raises(InputError, match=r"^f\.npz: not a file of plain arrays \(feat\.npy is compressed"):
        read(zipped(compression, feat=claiming((1, 1, 1), bytes(4))))


@pytest.mark.parametrize(
    "header",
    [
        claiming((1865, 25, 2**32), descr="<f4"),  # 745 GiB
        claiming((2**62, 2**62, 2**62)),
        claiming((-4, 3, 2), bytes(96)),
        claiming((4, 3, 2), bytes(95)),
        claiming((4, 3, 2), bytes(97)),
    ],
)
def test_a_header_that_promises_what_is_not_there_is_refused_before_anything_is_allocated(header: bytes) -> None:
    with pytest.raises(InputError, match=r"^f\.npz: not a file of plain arrays \(an array of float32 \["):
        read(zipped(feat=header))


def test_a_table_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    before = pa.total_allocated_bytes()
    for data in (repeated(2, 30_000, "a"), repeated(600, 1, "a" * 20_000)):
        assert len(data) < 40_000
        with pytest.raises(InputError, match=r"^t\.parquet: it unpacks to 0\.\d+ GiB, more than limits\.file_gib"):
            read(data, "t.parquet", limit=10_000_000)
    assert pa.total_allocated_bytes() - before < 10_000_000
    assert [video.label for video in read(repeated(3, 2, "ö"), "t.parquet").draft.videos] == ["ö"] * 3


@pytest.mark.parametrize(
    "text", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
@pytest.mark.parametrize("vectors", [pa.list_(FLOAT32), pa.large_list(FLOAT32), pa.list_(FLOAT32, 2)])
@pytest.mark.parametrize("noted", [True, False], ids=["with Arrow's note", "without"])
def test_tables_of_all_writers_are_one(text: pa.DataType, vectors: pa.DataType, noted: bool) -> None:
    columns = {
        "video_id": pa.array(["a", "b"]).cast(text),
        "embedding": pa.array([[[1, 2]], [[3, 4], [5, 6]]], pa.list_(vectors)),
        "label": pa.array(["x", None]).cast(text),
        "group": pa.nulls(2),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, store_schema=noted)
    found = read(sink.getvalue(), "t.parquet")
    assert [(video.video_id, video.label, video.group) for video in found.draft.videos] == [
        ("a", "x", None),
        ("b", None, None),
    ]
    np.testing.assert_array_equal(found.sequences[1], np.array([[3, 4], [5, 6]], np.float32))


def test_frames_of_several_widths_are_refused_with_the_video() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"video_id": ["a"], "embedding": [[[1.0, 2.0], [3.0]]]}), sink)
    with pytest.raises(InputError, match=r"^t\.parquet: the features of 'a' .* or frames of several widths"):
        read(sink.getvalue(), "t.parquet")


def test_a_null_takes_no_more_than_it_is_counted_for() -> None:
    frames = pa.array([[None] * 200], pa.list_(pa.list_(FLOAT32, 100_000)))  # 80 MB as Arrow would have it
    sink = io.BytesIO()
    pq.write_table(pa.table({"video_id": ["a"], "embedding": frames}), sink)
    before = pa.total_allocated_bytes(), pa.default_memory_pool().max_memory()
    del frames
    with pytest.raises(InputError, match="'a' are empty"):
        read(sink.getvalue(), "t.parquet", limit=1_000_000)
    assert pa.default_memory_pool().max_memory() == before[1]


def test_want_of_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(*given: Any, **named: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(np.lib.format, "read_array", starve)
    with pytest.raises(InputError, match=r"^f\.npz: not a file of plain arrays \(MemoryError\)"):
        read(npz())


def test_a_parquet_table_of_sequences_of_any_length() -> None:
    rows = [
        {"video_id": "b", "embedding": [[1, 2]], "label": "y", "split": "Validation", "group": None},
        {"video_id": "a", "embedding": [[3, 4], [5, 6], [7, 8]], "label": None, "split": None, "group": "g"},
    ]
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        found = read(parquet(rows, kind=kind), "dir/F.PARQUET")
        assert [v[:6] for v in found.draft.videos] == [
            ("b", None, "y", None, "val", None),
            ("a", None, None, "g", None, None),
        ]
        np.testing.assert_array_equal(found.sequences[1], np.array([[3, 4], [5, 6], [7, 8]], np.float32))
        assert not found.numbered


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"video_id": "a", "embedding": [[1, 2]], "split": "hold"}], "'a' has the split 'hold', not one of train"),
        ([{"video_id": "a", "embedding": [[1, float("nan")]]}], "'a' are empty or hold"),
        ([{"video_id": "a", "embedding": []}], "'a' are empty"),
        ([{"video_id": "a", "embedding": None}], "'a' are empty"),
        ([{"video_id": "a", "embedding": [[1, 2], None]}], "'a' are empty"),
        ([{"video_id": "a", "embedding": [[1, None]]}], "'a' are empty"),
        ([{"video_id": None, "embedding": [[1, 2]]}], "a video_id is null"),
        ([], "there is no video in it"),
    ],
)
def test_a_table_with_a_bad_row_is_refused(rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(InputError, match=rf"t\.parquet: .*{says}"):
        read(parquet(rows), "t.parquet")


def test_a_table_of_another_shape_is_refused() -> None:
    for table in (
        pa.table({"video_id": ["a"]}),
        pa.table({"video_id": ["a"], "embedding": [1.0]}),
        pa.table({"video_id": ["a"], "embedding": [[[1, 2]]]}),
        pa.table({"video_id": ["a"], "embedding": [[[1.0]]], "label": [["listed"]]}),
        pa.table({"video_id": ["a"], "embedding": [[[1.0]]], "label": [b"bytes"]}),
        pa.table({"video_id": [1], "embedding": pa.array([[[1.0]]], pa.list_(pa.list_(pa.float32(), 1)))}),
    ):
        sink = io.BytesIO()
        pq.write_table(table, sink)
        with pytest.raises(InputError, match="not a table of features"):
            read(sink.getvalue(), "t.parquet")
    with pytest.raises(InputError, match="not a table of features"):
        read(b"PAR1", "t.parquet")


def test_another_kind_of_file_is_refused_with_what_is_wanted() -> None:
    with pytest.raises(InputError, match=r"f\.mat: features are imported from \.npz .* or \.parquet"):
        read(b"", "f.mat")
