"""What a file of features takes up in memory once it is read, told before anything of it is unpacked.

The bytes of such a file say little: a constant array of a gigabyte compresses to a kilobyte, and a header may claim any
shape. So what is counted is what reading allocates: each number as it is stored and as the float32 it becomes, each
text, and Python's own objects.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray

HEADER_BYTES = 10_000  # of an array in an .npz: a plain one takes 128
OBJECT_BYTES = 64  # of a Python object for a number or a short text, and of its place in a list
FLOAT32_BYTES = 4
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks these piece by piece, others in one go
MALFORMED = (  # what reading a hostile archive or table raises
    zipfile.BadZipFile, pa.ArrowException, OSError, EOFError, KeyError, AttributeError, TypeError, ValueError,
    RuntimeError, MemoryError, OverflowError, zlib.error,
)  # fmt: skip


class TooLargeError(Exception):
    """`args[0]` bytes would be allocated, more than is allowed."""


def read_arrays(data: bytes, wanted: Sequence[str], limit_bytes: float) -> dict[str, NDArray[Any]]:
    """Those of the `wanted` arrays that an .npz holds. TooLargeError; one of MALFORMED where it is no such file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.getinfo(f"{name}.npy") for name in wanted if f"{name}.npy" in archive.namelist()}
        total = 0
        for entry in entries.values():
            if entry.compress_type not in BOUNDED:
                raise ValueError(f"{entry.filename} is compressed in another way than numpy does")
            with archive.open(entry) as file:
                total += _array_bytes(file, entry.file_size)
            _refuse(total, limit_bytes)
        arrays: dict[str, NDArray[Any]] = {}
        for name, entry in entries.items():
            with archive.open(entry) as file:
                arrays[name] = npy.read_array(file, allow_pickle=False, max_header_size=HEADER_BYTES)
        return arrays


def _array_bytes(file: IO[bytes], size: int) -> int:
    """What an array of a .npy file of `size` bytes takes. ValueError where its header promises another size."""
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file, max_header_size=HEADER_BYTES)
    count = math.prod(shape)
    stored = count * dtype.itemsize
    if min(shape, default=0) < 0 or stored != size - file.tell():
        raise ValueError(f"an array of {dtype} {list(shape)} in {size - file.tell()} bytes")
    return stored + (count * FLOAT32_BYTES if len(shape) == 3 else stored + count * OBJECT_BYTES)


def read_columns(data: bytes, texts: Sequence[str], vectors: str, limit_bytes: float) -> pa.Table:
    """The column `vectors`, lists of lists of floats, and those of the columns `texts` that a Parquet file holds.

    TooLargeError; one of MALFORMED where it is no such file. Texts are read as indices into what is stored once, and
    become texts of their own only where that is not too much.
    """
    metadata = _plain_metadata(data)
    columns = metadata.schema.to_arrow_schema()
    found = [name for name in texts if name in columns.names]
    for name in [vectors, *found]:
        kind = columns.field(name).type
        if not (_is_vectors(kind) if name == vectors else kind in (pa.string(), pa.null())):
            raise TypeError(f"{name} is {kind}")
    total = sum(_chunks_bytes(metadata, [vectors, *found]))
    _refuse(total, limit_bytes)
    table = pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=found).read([vectors, *found])
    for name in found:
        total += sum(_text_bytes(chunk) for chunk in table[name].chunks if pa.types.is_dictionary(chunk.type))
    _refuse(total, limit_bytes)
    return table.cast(pa.schema([table.schema.field(vectors), *(pa.field(name, pa.string()) for name in found)]))


def _plain_metadata(data: bytes) -> pq.FileMetaData:
    """A Parquet file's footer without the note in which Arrow keeps types of its own.

    With it one null can stand for a million numbers; without it all writers' tables are the same lists and texts.
    """
    length = int.from_bytes(data[-8:-4], "little") + 8
    if data[-4:] != b"PAR1" or length > len(data):
        raise ValueError("it does not end as a Parquet file does")
    return pq.read_metadata(io.BytesIO(b"PAR1" + data[-length:].replace(b"ARROW:schema", b"arrow schema")))


def _is_vectors(kind: pa.DataType) -> bool:
    is_nested = pa.types.is_list(kind) and pa.types.is_list(kind.value_type)
    return bool(is_nested and pa.types.is_floating(kind.value_type.value_type))


def _chunks_bytes(metadata: pq.FileMetaData, names: Sequence[str]) -> Iterable[int]:
    """What each chunk of these columns takes: its pages, its values, and a row's objects."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema.partition(".")[0] in names:
                width = {"DOUBLE": 8, "INT64": 8}.get(column.physical_type, FLOAT32_BYTES) + FLOAT32_BYTES
                yield column.total_uncompressed_size + column.num_values * width + group.num_rows * OBJECT_BYTES


def _text_bytes(chunk: pa.DictionaryArray) -> int:
    lengths = pc.fill_null(pc.binary_length(chunk.dictionary), 0).to_numpy(zero_copy_only=False)
    indices = chunk.indices.drop_null().to_numpy()
    return 2 * int(np.bincount(indices, minlength=len(lengths)) @ lengths.astype(np.int64))  # in Arrow and in Python


def _refuse(size: float, limit_bytes: float) -> None:
    if size > limit_bytes:
        raise TooLargeError(size)
