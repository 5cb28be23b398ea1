"""How many bytes a file will take once it is read, known before anything is allocated for it.

What a directory or a footer says of that is not to be trusted: pyarrow decodes what the pages say that they hold, and
numpy allocates what an array's own header says. So these are read: the headers of pages and of arrays.
"""

import io
import math
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

LEVEL_BYTES = 4  # a value's repetition and definition level
TEXT_BYTES = 16  # of an Arrow string's own place, beside its characters
DESCRIBED = (5, 8, 7)  # the fields of a page's header that describe a page of data, of both kinds, or a dictionary
PADDING = 100  # what pyarrow reads beyond a column's end in files of an early parquet-mr
MOST_BYTES, MOST_TIMES = 4 * 2**30, 64  # what a file of features may take: whichever is more
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks these piece by piece, others in one go
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


class ArrayHeader(NamedTuple):
    """What an array in an .npz says that it is."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize  # in Python's integers, which do not overflow


def npz_headers(data: bytes, names: tuple[str, ...]) -> dict[str, ArrayHeader]:
    """The headers of the arrays `names` that are in an .npz. ValueError: it holds less than they say, or one twice."""
    found = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.namelist()
        if len(set(members)) < len(members):
            raise ValueError("it holds two members of one name")
        for name in names:
            if (member := f"{name}.npy") in members:
                if archive.getinfo(member).compress_type not in BOUNDED:
                    raise ValueError(f"{member} is compressed in another way than numpy does")
                with archive.open(member) as file:
                    found[name] = header = _array_header(file)
                    if header.size_bytes + file.tell() > archive.getinfo(member).file_size:
                        raise ValueError(
                            f"{name} is {header.dtype} {list(header.shape)} by its header, but not so long"
                        )
    return found


def _array_header(file: Any) -> ArrayHeader:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)  # refuses headers of more than 10,000 characters
    if any(length < 0 for length in shape):
        raise ValueError(f"an array of the shape {list(shape)}")
    return ArrayHeader(shape, dtype)


def plain_footer(data: bytes) -> pq.FileMetaData:
    """A Parquet file's footer without the Arrow types that its writer noted, lists of fixed sizes among them.

    A null in place of such a list takes its whole size in memory, and a few bytes in the file. Without the note the
    tables of all writers are the same lists and texts.
    """
    length = int.from_bytes(data[-8:-4], "little") + 8
    if data[-4:] != b"PAR1" or length > len(data):
        raise ValueError("it does not end as a Parquet file does")
    return pq.read_metadata(io.BytesIO(b"PAR1" + data[-length:].replace(b"ARROW:schema", b"ARROW.schema")))


def parquet_bytes(data: bytes, columns: tuple[str, ...] | None = None) -> int:
    """At most how much the columns (None: all) of a Parquet file take in Arrow, if texts stay in their dictionaries.

    ValueError: damaged. Texts that are taken out of their dictionaries may take more, by what no header says.
    """
    metadata, total = pq.read_metadata(io.BytesIO(data)), 0
    padding = PADDING if "parquet-mr" in (metadata.created_by or "") else 0
    chosen = [
        place
        for place in range(metadata.num_columns)
        if columns is None or metadata.schema.column(place).path.split(".")[0] in columns
    ]
    for group in range(metadata.num_row_groups):
        for place in chosen:
            chunk = metadata.row_group(group).column(place)
            width = WIDTHS.get(chunk.physical_type) or max(metadata.schema.column(place).length, TEXT_BYTES)
            start = min(offset for offset in (chunk.data_page_offset, chunk.dictionary_page_offset) if offset)
            total += sum(
                page_bytes + values * (width + LEVEL_BYTES)
                for page_bytes, values in _pages(data, start, start + chunk.total_compressed_size, padding)
            )
    return total


def is_bomb(data: bytes) -> bool:
    """Whether a Parquet file of features would take far more memory than such files do: many times its own size."""
    return parquet_bytes(data) > max(MOST_BYTES, MOST_TIMES * len(data))


def _pages(data: bytes, start: int, end: int, padding: int) -> Iterator[tuple[int, int]]:
    """(bytes once decompressed, values) of each page of a column chunk."""
    if start < 0:
        raise ValueError(f"a column begins at byte {start}")
    at = start
    while at < min(end + padding, len(data)):
        try:
            header, at = _struct(data, at)
            page_bytes, stored_bytes = header[2], header[3]
            values = max(header[field].get(1, 0) for field in DESCRIBED if field in header)
            if min(page_bytes, stored_bytes, values) < 0:
                raise ValueError("a page of a negative size")
        except (IndexError, KeyError, TypeError, AttributeError, ValueError):
            if at >= end:
                return
            raise ValueError(f"there is no page at byte {at}") from None
        yield page_bytes, values
        at += stored_bytes


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """A struct in Thrift's compact protocol: field -> its integer or struct, None for other kinds; where it ends."""
    found: dict[int, Any] = {}
    field = 0
    if depth > 8:
        raise ValueError("structs in structs without end")
    while (first := data[at]) != 0:
        at, kind = at + 1, first & 0x0F
        if first >> 4:
            field += first >> 4
        else:
            field, at = _integer(data, at)
        found[field], at = _value(data, at, kind, depth)
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    match kind:
        case 1 | 2:  # true, false: the kind is the value
            return None, at
        case 3:
            return None, at + 1
        case 4 | 5 | 6:
            return _integer(data, at)
        case 7:
            return None, at + 8
        case 8:
            length, at = _unsigned(data, at)
            return None, at + length
        case 9 | 10:  # a list, a set: unknown to page headers, but allowed to be there
            many, of_kind, at = data[at] >> 4, data[at] & 0x0F, at + 1
            if many == 15:
                many, at = _unsigned(data, at)
            if many > len(data):
                raise ValueError("a list that is longer than its file")
            for _ in range(many):
                at = _value(data, at, of_kind, depth)[1] + (of_kind in (1, 2))
            return None, at
        case 12:
            return _struct(data, at, depth + 1)
    raise ValueError(f"a field of the kind {kind}, which page headers do not have")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("a number without end")
