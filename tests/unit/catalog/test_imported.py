"""Files of features: read exactly, split as their splits say, and refused in words when they are not what they seem."""

import contextlib
import io
import pickle
import tracemalloc
import warnings
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
    assert [tuple(video[:6]) for video in found.draft.videos] == [
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


TOO_MUCH = r"unpacks to .* GiB, more than limits\.file_gib"
LIMIT = 10_000_000


def refused(data: bytes, name: str, says: str, limit: float = LIMIT) -> None:
    """In one sentence, without having allocated what the file would take."""
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=says) as caught:
            read_features(data, name, limit)
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert pa.default_memory_pool().max_memory() - before < LIMIT


def archive(members: list[tuple[str, bytes]], **more: Any) -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as made:
        warnings.simplefilter("ignore")  # zipfile does not like members of one name either
        for name, data in members:
            made.writestr(name, data)
    return sink.getvalue()


def array_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    sink = io.BytesIO()
    np.lib.format.write_array_header_1_0(sink, {"descr": descr, "fortran_order": False, "shape": shape})
    return sink.getvalue()


def test_an_npz_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    zeros = archive([("feat.npy", array_header((1, 2500, 1001)) + bytes(2500 * 1001 * 4))])
    assert len(zeros) < 20_000
    refused(zeros, "f.npz", TOO_MUCH)
    half = npz(feat=np.zeros((4, 1000, 500), np.float16))  # 4 MB, and 8 MB as float32
    refused(half, "f.npz", TOO_MUCH)
    assert read(npz(feat=np.zeros((4, 1000, 500), np.float32)), limit=LIMIT).sequences[0].shape == (1000, 500)


@pytest.mark.parametrize("shape", [(10**4, 10**4, 2000), (2**40, 2**40, 2**40), (0, 2**63, 2**63), (-1, 4, 4)])
def test_an_array_that_says_it_is_larger_than_it_is_allocates_nothing(shape: tuple[int, ...]) -> None:
    for limit in (LIMIT, 1e30):
        data = archive([("feat.npy", array_header(shape)), ("label.npy", b""), ("name.npy", b"")])
        refused(data, "f.npz", "not a file of plain arrays|must be numbers", limit)


def test_archives_that_lie_are_refused_in_a_sentence() -> None:
    members = {"feat": array_header((4, 3, 2)) + bytes(96)}
    refused(archive([("feat.npy", members["feat"])] * 2), "f.npz", "two members of one name")
    encrypted = bytearray(npz())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = encrypted.find(signature)
        while at >= 0:
            encrypted[at + place] |= 1
            at = encrypted.find(signature, at + 4)
    refused(bytes(encrypted), "f.npz", "not a file of plain arrays")
    lying = bytearray(archive([("feat.npy", members["feat"])]))
    at = lying.index(b"PK\x01\x02")
    lying[at + 24 : at + 28] = (2**31).to_bytes(4, "little")  # the directory: 2 GiB once unpacked
    refused(bytes(lying), "f.npz", "no array|not a file of plain arrays")


def rows(embedding: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"video_id": "a", "embedding": embedding, **more}]


def written(table: pa.Table, **more: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **more)
    return sink.getvalue()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_table_of_equal_numbers_is_refused_by_what_it_unpacks_to(version: str) -> None:
    flat = pa.array(np.zeros(4_000_000, np.float32))
    frames = pa.FixedSizeListArray.from_arrays(flat, 4000)
    table = pa.table({"video_id": ["a"], "embedding": pa.ListArray.from_arrays([0, 1000], frames)})
    data = written(table, data_page_version=version)
    assert len(data) < 8000
    del table, frames, flat
    refused(data, "t.parquet", TOO_MUCH)
    refused(with_fewer_values(data, 4_000_000, 2_000_000), "t.parquet", TOO_MUCH)  # by what the footer says
    assert len(read_features(data, "t.parquet", 64_000_000).sequences[0]) == 1000


def with_fewer_values(data: bytes, many: int, few: int) -> bytes:
    """The footer's own count of a column's values changed."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    changed = data[start:].replace(varint(2 * many), varint(2 * few))
    assert changed != data[start:] and len(varint(2 * many)) == len(varint(2 * few))
    assert pq.read_metadata(io.BytesIO(data[:start] + changed)).row_group(0).column(1).num_values == few
    return data[:start] + changed


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def test_texts_that_repeat_are_refused_by_what_they_unpack_to() -> None:
    one = "x" * 100_000
    for kind in ({}, {"use_dictionary": False, "column_encoding": {"label": "DELTA_BYTE_ARRAY", "video_id": "PLAIN"}}):
        table = pa.table(
            {
                "video_id": [str(i) for i in range(1000)],
                "embedding": pa.array([[[1.0]]] * 1000, pa.list_(pa.list_(FLOAT32, 1))),
                "label": [one] * 1000,
            }
        )
        data = written(table, **kind)
        del table
        assert len(data) < 40_000
        refused(data, "t.parquet", "unpacks to|not a table of features")


def test_nulls_in_place_of_long_frames_take_nothing() -> None:
    frames = pa.array([[None] * 50], pa.list_(pa.list_(FLOAT32, 100_000)))
    data = written(pa.table({"video_id": ["a"], "embedding": frames}))
    del frames
    assert len(data) < 4000
    refused(data, "t.parquet", "'a' are empty")


def test_no_damage_to_a_table_or_an_archive_ends_in_anything_but_features_or_a_sentence() -> None:
    good = [("f.npz", npz()), ("t.parquet", parquet(rows([[1, 2], [3, 4]], label="x")))]
    rng = np.random.default_rng(0)
    for name, data in good:
        for _ in range(300):
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), rng.integers(1, 4)):
                damaged[place] = rng.integers(256)
            with contextlib.suppress(InputError):
                read_features(bytes(damaged), name, LIMIT)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_unpacks_in_one_go_is_refused(compression: int) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as made:
        made.writestr("feat.npy", array_header((4, 3, 2)) + bytes(96))
    refused(sink.getvalue(), "f.npz", r"^f\.npz: not a file of plain arrays \(feat\.npy is compressed")


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


def test_want_of_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(*given: Any, **named: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(np, "load", starve)
    with pytest.raises(InputError, match=r"^f\.npz: not a file of plain arrays \(MemoryError\)"):
        read(npz())


def test_a_parquet_table_of_sequences_of_any_length() -> None:
    rows = [
        {"video_id": "b", "embedding": [[1, 2]], "label": "y", "split": "val", "group": None},
        {"video_id": "a", "embedding": [[3, 4], [5, 6], [7, 8]], "label": None, "split": None, "group": "g"},
    ]
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        found = read(parquet(rows, kind=kind), "dir/F.PARQUET")
        assert [tuple(v[:6]) for v in found.draft.videos] == [
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
