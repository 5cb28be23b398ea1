"""The Arrow schema of every table under a root, and the one way a table becomes Parquet bytes and back."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actionrec import unpacked
from actionrec.errors import InputError

SPLITS = ("train", "val", "test")

CATALOG = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),  # NFC path relative to the source
        ("path", pa.string()),  # what to open; null where features were imported
        ("label", pa.string()),
        ("class_index", pa.int32()),
        pa.field("group", pa.string(), nullable=False),
        ("split", pa.string()),
        ("bytes", pa.int64()),  # null: the file was not there when it was catalogued
        ("start_s", pa.float64()),  # the video is this segment of the file; null: the whole file
        ("end_s", pa.float64()),  # null: to the file's end
        ("version", pa.string()),  # of the file, as its storage tells one content from another; null: not known
        ("revision", pa.int32()),  # how often the file has been found changed; null: never
    ]
)

ADDED = frozenset(("start_s", "end_s", "version", "revision", "n_judged"))  # absent in tables of before: null

# Which videos make which part. Parts are planned once: a part's number is its key for ever.
PLAN = pa.schema([pa.field("part", pa.int32(), nullable=False), pa.field("video_id", pa.string(), nullable=False)])

STATUS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("stream", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # ok | no_audio | failed
        ("reason", pa.string()),  # errors.Reason, where failed; no_decoder, where no_audio though there is a track
        ("detail", pa.string()),
        ("frames_declared", pa.int32()),  # 0: the container does not say
        ("frames_decoded", pa.int32()),
        ("read_s", pa.float32()),  # seconds this video took in each phase; decode_s runs beside the others
        ("decode_s", pa.float32()),
        ("compute_s", pa.float32()),  # this stream's own network or algorithm
        ("sha256", pa.string()),  # of the bytes that were read
    ]
)

# The status table as it is read back: whose part, and all but the hash.
OUTCOME = pa.schema([("part", pa.int32()), *(field for field in STATUS if field.name != "sha256")])

FLOW = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        ("time_s", pa.list_(pa.float32())),  # [P] of each pair's second frame
        ("motion_px", pa.list_(pa.float32())),  # [P] mean displacement
        ("flow", pa.list_(pa.binary())),  # [P] encoded pairs, see features/flow_codec.py
        ("bound_px", pa.float32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("codec", pa.string()),
    ]
)

MOTION = pa.schema([FLOW.field(name) for name in ("video_id", "time_s", "motion_px")])  # how much a video moves

NOTHING = pa.schema([FLOW.field("video_id")])

# Most unusual first. What has no embedding has no scores and comes last.
ANOMALY = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        ("label", pa.string()),
        ("split", pa.string()),
        ("score", pa.float64()),  # the autoencoder's error
        ("threshold", pa.float64()),
        ("anomalous", pa.bool_()),  # score > threshold
        ("neighbor_score", pa.float64()),  # the baseline
    ]
)

_SEPARATION = ("auroc", "average_precision", "neighbor_auroc", "neighbor_average_precision")

# One row a class that nothing was trained on, or nothing but the embeddings' networks.
ANOMALY_HOLDOUT = pa.schema(
    [
        pa.field("class", pa.string(), nullable=False),
        pa.field("networks_saw_class", pa.bool_(), nullable=False),
        ("n_held", pa.int32()),  # the class's test clips
        ("n_other", pa.int32()),  # the normal test clips
        ("n_not_scored", pa.int32()),  # of both; they have no embedding
        *((name, pa.float64()) for name in _SEPARATION),  # means over the seeds; null where one side is empty
        ("n_seeds", pa.int32()),
        ("seeds", pa.list_(pa.int32())),
        *((f"{name}_sd", pa.float64()) for name in _SEPARATION),  # null for one seed
    ]
)


def _figures(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


# Accuracies are shares, 0..1. sd: over seeds, null for one; low and high: the 95 % interval over test groups.
ABLATION = pa.schema(
    [
        ("streams", pa.list_(pa.string())),
        ("method", pa.string()),  # softmax | svm | average
        ("seeds", pa.list_(pa.int64())),
        ("n_test", pa.int64()),
        ("n_judged", pa.int64()),  # of n_test those that have what the row needs; the others count as wrong
        *_figures("val_top1", "val_top1_sd", "top1", "top1_sd", "top1_low", "top1_high"),
        *_figures("top5", "top5_sd", "top5_low", "top5_high"),  # null where there are five classes or fewer
        ("majority", pa.float64()),  # the share of the largest class in the test split
        ("best_on_validation", pa.bool_()),
    ]
)

# One row a row of the paper's Table I, and last the baseline. Figures are null where no seed's network has finished.
TABLE1 = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        ("units", pa.int64()),  # hidden units of one cell
        ("parameters", pa.int64()),
        ("status", pa.string()),  # done | failed: why | stopped: when | not run, seed by seed where they differ
        ("seeds", pa.list_(pa.int64())),  # that have finished
        ("n_test", pa.int64()),
        ("n_judged", pa.int64()),  # of n_test those that have what the row needs; the others count as wrong
        *_figures("val_top1", "val_top1_sd", "top1", "top1_sd", "top1_low", "top1_high"),
        *_figures("top5", "top5_sd", "top5_low", "top5_high"),
        *_figures("paper_top1", "paper_top5"),  # of UCF101, split 1, 101 classes; null for the baseline
        ("epochs", pa.float64()),  # until training ended, mean over the seeds
        ("seconds_per_epoch", pa.float64()),
        ("best_on_validation", pa.bool_()),
        *_figures("difference", "difference_low", "difference_high"),  # of test top-1 from the best on validation
    ]
)

# One row a setting of the SVM that was tried. There is no test figure: only the chosen one is judged, by `evaluate`.
SVM = pa.schema(
    [
        ("streams", pa.list_(pa.string())),
        ("normalization", pa.string()),
        ("l2", pa.float64()),  # lambda
        ("seeds", pa.list_(pa.int64())),
        ("n_val", pa.int64()),
        *_figures("val_top1", "val_top1_sd"),
        ("converged", pa.bool_()),
        ("chosen", pa.bool_()),  # what fusion uses
    ]
)

# One row a way of a system to judge, the systems in the paper's order; one row alone for a system that was not run.
TABLE2 = pa.schema(
    [
        pa.field("system", pa.string(), nullable=False),  # as the paper prints it
        ("name", pa.string()),  # what `actionrec baseline` calls it
        ("method", pa.string()),  # the way to judge; null where it was not run
        ("status", pa.string()),  # where there is no way: not run, or out of date; else null
        ("alone", pa.bool_()),  # whether that is one of its networks by itself
        ("chosen", pa.bool_()),  # the best on validation of the others: the system's own figure
        *((name, pa.string()) for name in ("type", "paper_streams", "pretraining")),  # as the paper prints them
        *_figures("paper_top1"),
        ("checked", pa.string()),  # what the systems' own papers report, and for which splits
        ("streams", pa.list_(pa.string())),  # that it was given here
        ("settings", pa.string()),  # chosen on validation, by the first seed
        ("seeds", pa.list_(pa.int64())),
        ("n_test", pa.int64()),
        ("n_judged", pa.int64()),  # of n_test those that have what the row needs; the others count as wrong
        *_figures("val_top1", "val_top1_sd", "top1", "top1_sd", "top1_low", "top1_high"),
        *_figures("top5", "top5_sd", "top5_low", "top5_high"),  # null where there are five classes or fewer
        *_figures("difference", "difference_low", "difference_high"),  # of test top-1 from the proposed model
    ]
)

# What a system of Table II says of the labelled videos of validation and test, way by way.
BASELINE_SCORES = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        ("split", pa.string()),
        ("method", pa.string()),
        ("alone", pa.bool_()),
        ("settings", pa.string()),  # JSON
        ("scores", pa.list_(pa.float64())),  # class by class; null: nothing to judge the video by
    ]
)

CLASSES = pa.schema(
    [
        ("label", pa.string()),
        ("n_test", pa.int64()),
        ("top1", pa.float64()),
        ("mistaken_for", pa.string()),  # null where it never is
        ("mistaken", pa.int64()),
    ]
)

CONFUSION = pa.schema([("label", pa.string()), ("predicted", pa.string()), ("videos", pa.int64())])

PREDICTIONS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        ("split", pa.string()),
        ("label", pa.string()),
        ("classes", pa.list_(pa.string())),  # up to five, the best first; null: nothing to judge the video by
        ("scores", pa.list_(pa.float64())),  # decision values
    ]
)


# A stream's video embedding is null where the video lacks the stream.
def video_embeddings(widths: Mapping[str, int]) -> pa.Schema:
    """The schema of embeddings/video.parquet: one vector a stream, `widths` numbers each."""
    vectors = [pa.field(stream, pa.list_(pa.float32(), width)) for stream, width in widths.items()]
    return pa.schema([pa.field("video_id", pa.string(), nullable=False), *vectors])


def embedding(width: int, of_frames: bool) -> pa.Schema:
    """The schema of a stream's sequence of embeddings, each `width` numbers (E), of frames or of moments."""
    fields = [
        pa.field("video_id", pa.string(), nullable=False),
        *([pa.field("frame_index", pa.list_(pa.int32()))] if of_frames else []),  # [L]
        pa.field("time_s", pa.list_(pa.float32())),  # [L]
        pa.field("embedding", pa.list_(pa.list_(pa.float32(), width))),  # [L, E]
    ]
    return pa.schema(fields)


def feature_table(schema: pa.Schema, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> pa.Table:
    """(video_id, columns by name) of videos as a stream's table; `embedding` is float32 [L, E]."""
    columns = [_column(field, [row[field.name] for _, row in rows]) for field in list(schema)[1:]]
    return pa.Table.from_arrays([pa.array([i for i, _ in rows], pa.string()), *columns], schema=schema)


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    if field.name == "embedding":
        return embedding_column(values, field.type.value_type.list_size)
    return pa.array(values, field.type)


def embedding_column(sequences: list[np.ndarray], width: int) -> pa.Array:
    """Sequences of float32 [L_i, width] as one Arrow column, without a Python list of every number."""
    offsets = np.cumsum([0, *(len(s) for s in sequences)], dtype=np.int32)
    flat = np.concatenate([np.zeros((0, width), np.float32), *sequences]).astype(np.float32, copy=False)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), width)
    return pa.ListArray.from_arrays(pa.array(offsets), vectors)


def to_parquet(table: pa.Table, fingerprint: str) -> bytes:
    """The whole file in memory, so that it can be stored whole or not at all. NaN and infinity are refused."""
    refuse_non_finite(table)
    sink = io.BytesIO()
    metadata = {**(table.schema.metadata or {}), b"actionrec.fingerprint": fingerprint.encode()}
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes, schema: pa.Schema, name: str) -> pa.Table:
    """The columns of `schema`, read from the file `name`. A file of another shape is refused, never guessed at."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        found = file.schema_arrow
        present = [field for field in schema if field.name in found.names or field.name not in ADDED]
        for field in present:
            if found.field(field.name).type != field.type:
                raise TypeError(f"column {field.name} is {found.field(field.name).type}, not {field.type}")
        table = file.read(columns=[field.name for field in present])
        for place, field in enumerate(schema):
            if field not in present:
                table = table.add_column(place, field, pa.nulls(table.num_rows, field.type))
        return table
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{name}: not a table that this version reads ({_one_line(error)}); delete it and run again what makes it"
        ) from None


def refuse_bomb(data: bytes, name: str) -> None:
    """InputError where the file `name`, of features, would fill the memory. Before `from_parquet`, as its pages say."""
    try:
        if unpacked.is_bomb(data):
            raise ValueError(f"its {len(data):,} bytes would take more than {unpacked.MOST_BYTES >> 30} GiB")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{name}: not a table of features ({_one_line(error)}); run again what makes it") from None


def embedding_width(data: bytes, name: str) -> int:
    """E of a file of embeddings. InputError where the file `name` is none."""
    try:
        found: int = pq.read_schema(io.BytesIO(data)).field("embedding").type.value_type.list_size
        return found
    except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
        raise InputError(f"{name}: not a table of embeddings ({_one_line(error)}); run again what makes it") from None


def fingerprint_of(data: bytes) -> str | None:
    """The fingerprint stored in a Parquet file's metadata; None where it has none, or is no such file."""
    try:
        metadata: Mapping[bytes, bytes] = pq.read_metadata(io.BytesIO(data)).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    found = metadata.get(b"actionrec.fingerprint")
    return found.decode(errors="replace") if found else None


def refuse_non_finite(table: pa.Table) -> None:
    """ValueError where a number of the table is none."""
    for name in table.column_names:
        values = table[name].combine_chunks()
        while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        if pa.types.is_floating(values.type) and not pc.all(pc.is_finite(values.drop_null()), min_count=0).as_py():
            raise ValueError(f"column {name} holds NaN or infinity")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
