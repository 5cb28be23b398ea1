"""Tables: what goes in comes out, in types that other tools read; what is not a table of ours is refused."""

import io

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actionrec import schema
from actionrec.errors import ActionrecError


def spatial_table() -> pa.Table:
    sequences = [np.arange(6, dtype=np.float32).reshape(3, 2), np.ones((1, 2), np.float32)]
    columns = [
        pa.array(["a.avi", "b.avi"]),
        pa.array([[0, 5, 9], [0]], pa.list_(pa.int32())),
        pa.array([[0.0, 0.2, 0.36], [0.0]], pa.list_(pa.float32())),
        schema.embedding_column(sequences, 2),
    ]
    return pa.Table.from_arrays(columns, schema=schema.embedding(2, of_frames=True))


def test_a_table_comes_back_with_its_types_and_its_fingerprint() -> None:
    table = spatial_table()
    data = schema.to_parquet(table, "abc")
    assert schema.from_parquet(data, schema.embedding(2, of_frames=True), "x").equals(table)
    assert schema.fingerprint_of(data) == "abc"


def test_other_tools_read_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "part-000000.parquet"
    path.write_bytes(schema.to_parquet(spatial_table(), "abc"))
    assert np.stack(pd.read_parquet(path)["embedding"][0]).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert duckdb.sql(f"select embedding[3][2], len(embedding) from '{path}' order by video_id").fetchall() == [
        (5.0, 3),
        (None, 1),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_at_write(value: float) -> None:
    column = schema.embedding_column([np.array([[0, value]], np.float32)], 2)
    table = spatial_table().slice(1).set_column(3, schema.embedding(2, of_frames=True).field("embedding"), column)
    with pytest.raises(ValueError, match="embedding"):
        schema.to_parquet(table, "abc")


def test_no_rows_are_a_table_too() -> None:
    empty = schema.embedding(128, of_frames=False).empty_table()
    assert (
        schema.from_parquet(schema.to_parquet(empty, "abc"), schema.embedding(128, of_frames=False), "x").num_rows == 0
    )
    assert "frame_index" not in empty.column_names


def test_a_file_of_another_shape_is_refused_by_name() -> None:
    other_width = schema.to_parquet(spatial_table(), "abc")
    missing_column = io.BytesIO()
    pq.write_table(pa.table({"video_id": ["a"]}), missing_column)
    whole = schema.to_parquet(spatial_table(), "abc")
    for data in (other_width, missing_column.getvalue(), whole[: len(whole) // 2], b"", b"PAR1 no"):
        with pytest.raises(ActionrecError, match=r"part-7\.parquet"):
            schema.from_parquet(data, schema.embedding(3, of_frames=True), "part-7.parquet")


def test_a_catalog_made_before_segments_is_read_as_one_of_whole_files() -> None:
    row = {"video_id": "x", "path": "s/x", "label": "a", "class_index": 0, "group": "x", "split": None, "bytes": 7}
    before = pa.schema([field for field in schema.CATALOG if field.name not in schema.ADDED])
    data = schema.to_parquet(pa.Table.from_pylist([row], schema=before), "x")
    found = schema.from_parquet(data, schema.CATALOG, "c")
    assert found.equals(pa.Table.from_pylist([row], schema=schema.CATALOG))
    assert found["start_s"].to_pylist() == found["end_s"].to_pylist() == [None]
