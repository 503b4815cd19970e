"""Hostile files: every checksum is right, the content is not. Only `FormatError` may come of it."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crossing import usually
from sample_codes import grid

from laconic.errors import FormatError
from laconic.format.codes import DTYPES, VIEWS, DenseCode, LowRankCode, SumCode, Symbols, TuckerCode, Values
from laconic.format.coding import model as levels
from laconic.format.coding import varint
from laconic.format.container import LacFile, dumps, loads
from laconic.format.container.header import HEADER_BYTES, Header, parse_header
from laconic.format.container.parsing import parse_table
from laconic.format.container.records import encode_blocks, measured, stream_entry
from laconic.format.container.room import Limits
from laconic.format.container.table import BLOCK, Record, Table

DATA, GRIDS = (
    (Path(__file__).parents[1] / "golden" / "v1" / f"{name}.lac").read_bytes() for name in ("nested", "grids")
)


def with_table(table, blocks=b""):
    """A file of this table whose checksums are all right."""
    header = Header.of(table, HEADER_BYTES + len(blocks)).pack()
    return header + blocks + table


def table_of(data):
    header = parse_header(data[:HEADER_BYTES], len(data))
    table = data[header.table_offset :]
    return parse_table(table, header.table_offset, HEADER_BYTES), table


def test_the_table_comes_back_byte_by_byte():
    table, packed = table_of(DATA)
    assert table.pack() == packed


NO_META, NO_STREAMS = b"\0", b"\0"
BLOCK_CRC = zlib.crc32(b"\0\0").to_bytes(4, "little")
STREAM = b"\0\2\3\2" + BLOCK_CRC  # three symbols of an alphabet of 2, in a block of 2 bytes
RECORD = b"\1\0\1\3\0\1\1"  # a codebook, both parts stream 0: refused, but after the name
FIRST = b"\0\0\1a" + RECORD
HOSTILE = {
    "terabytes of symbols": NO_META + b"\1" + b"\0\2" + varint(1 << 43) + b"\2" + BLOCK_CRC,
    "2^64 symbols": NO_META + b"\1" + b"\0\2" + varint((1 << 64) - 1),
    "2^63 streams": NO_META + varint(1 << 63),
    "2^63 tensors": NO_META + NO_STREAMS + varint(1 << 63),
    "2^63 pairs": varint(1 << 63),
    "a name of 2^60 bytes": NO_META + NO_STREAMS + b"\1\0\0" + varint(1 << 60) + b"abc",
    "empty blocks": NO_META + b"\1" + b"\0\2\3" + b"\0" * 5,
    "block past the table": NO_META + b"\1" + b"\0\2\3\x7f" + BLOCK_CRC + b"\0",
    "unknown kind": NO_META + b"\1" + b"\2\2\0",
    "unknown dtype": NO_META + b"\1" + b"\1\x0f\0",
    "symbols of no alphabet": NO_META + b"\1" + b"\0\0\3\2" + BLOCK_CRC,
    "alphabet above 2^32": NO_META + b"\1" + b"\0" + varint((1 << 32) + 1) + b"\0",
    "unused stream": NO_META + b"\1" + STREAM + b"\0",
    "descending keys": b"\2\1b\0\1a\0" + NO_STREAMS + b"\0",
    "one key twice": b"\2\1a\0\1a\0" + NO_STREAMS + b"\0",
    "not UTF-8": NO_META + NO_STREAMS + b"\1\0\0\1\xff",
    "trailing bytes": NO_META + NO_STREAMS + b"\0\0",
    "unknown tag": NO_META + NO_STREAMS + b"\1\0\0\1a" + bytes([127, 0, 0, 0]),
    "unknown dtype of a tensor": NO_META + NO_STREAMS + b"\1\0\0\1a" + bytes([0, len(DTYPES), 0, 0]),
    "dangling stream": NO_META + b"\1" + STREAM + b"\1\0\0\1a\0\0\1\3\0\2",
    "no stream 0 before 1": NO_META + b"\2" + STREAM + STREAM + b"\1\0\0\1a\2\0\1\3\0\2",
    "symbols for values": NO_META + b"\1" + STREAM + b"\1\0\0\1a\0\0\1\3\0\1",
    "a record for a stream": NO_META + NO_STREAMS + b"\1\0\0\1a\0\0\1\0\0\0",
    "33 axes": NO_META + NO_STREAMS + b"\1\0\0\1a\0\0\x21" + b"\1" * 33,
    "dimensions that overflow": NO_META + NO_STREAMS + b"\1\0\0\1a\0\0\2" + varint(1 << 40) * 2,
    "a terabyte of zeros": NO_META + NO_STREAMS + b"\1\0\0\1a\0\0\2" + varint(1 << 20) * 2,
    "huge beside zero": NO_META + NO_STREAMS + b"\1\0\0\1a\0\0\2\0" + varint(1 << 60),
    "9 facts": NO_META + NO_STREAMS + b"\1\0\0\1a\0\0\0\x09" + b"\0" * 9,
    "deep": NO_META + NO_STREAMS + b"\1\0\0\1a" + b"\3\0\0\0\0" * 2000,
    **{
        f"a sum of facts {facts}": NO_META + NO_STREAMS + b"\1\0\0\1a\6\0\1\3" + facts + b"\0"
        for facts in (b"\0", b"\1\0", b"\1\1", b"\1\x09", b"\2\2\2", b"\1" + varint(1 << 63))
    },
    "sums of sums of eight": NO_META + NO_STREAMS + b"\1\0\0\1a" + b"\6\0\0\1\x08\0" * 2000,
    "overlong integer": NO_META + NO_STREAMS + b"\x80\0",
    "a name that shares with none": NO_META + NO_STREAMS + b"\1\1\0\1a",
    "a name that shares less than it could": NO_META + b"\1" + STREAM + b"\2" + FIRST + b"\0\0\2ab" + RECORD,
    "a name that shares a byte twice": NO_META + b"\1" + STREAM + b"\2" + FIRST + b"\1\1\1b" + RECORD,
    "a name that shares 2^64 bytes": NO_META + b"\1" + STREAM + b"\2" + FIRST + varint((1 << 64) - 1) + b"\0\1b",
    "a name a second time": NO_META + b"\1" + STREAM + b"\2" + FIRST + b"\1\0\0" + RECORD,
    "a name of 5000 bytes": NO_META + b"\1" + STREAM + b"\1\0\0" + varint(5000) + b"a" * 5000 + RECORD,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_are_refused(name):
    blocks = b"\0\0" * HOSTILE[name].count(STREAM) or b"\0\0" * (BLOCK_CRC in HOSTILE[name])
    with pytest.raises(FormatError):
        LacFile(with_table(HOSTILE[name], blocks), "x")


V, M = Values(np.float32([1, 2, 3])), Symbols(np.array([1, 0, 0, 0, 0]), 2)
STEP, ONE = Values(np.float64([0.5])), Symbols(np.zeros(1), 1)
TWO_STEPS = Values(np.float64([0.5, 2]))
MODEL = Values(np.frombuffer(levels.Model(0, False, np.int8([]), ((levels.Table((0, 8)),),)).pack(), np.uint8))
BYTES = Values(np.frombuffer(grid((5,), spread=1.0).payload.array.tobytes(), np.uint8))
EIGHT = Values(np.uint8([1, 2, 3]))
HALF = Values(np.float32([0.5]))
THREE = Record(0, "float32", (3,), (0,), (V,))
ROW = Record(0, "float32", (1, 3), (0,), (V,))
COLUMN = Record(0, "float32", (3, 1), (0,), (V,))
SQUARE = Record(0, "float32", (3, 3), (0,), (Values(np.float32(range(9))),))
POINT = Record(0, "float32", (1, 1), (0,), (V,))
WRONG_PARTS = {
    "too few values": Record(0, "float32", (4,), (0,), (V,)),
    "another dtype": Record(0, "int32", (3,), (0,), (V,)),
    "no start of a dense code": Record(0, "float32", (3,), (), (V,)),
    "two starts of a dense code": Record(0, "float32", (3,), (0, 0), (V,)),
    "a start past the end": Record(0, "float32", (3,), (1,), (V,)),
    "an empty tensor that begins past the end": Record(0, "float32", (0,), (4,), (V,)),
    "a start of 2^63": Record(0, "float32", (3,), (1 << 63,), (V,)),
    "alphabet and codebook": Record(1, "float32", (5,), (), (V, M)),
    "integers from floats": Record(1, "int8", (5,), (), (V, M)),
    "mask and values": Record(2, "float32", (5,), (), (M, THREE)),
    "mask and shape": Record(2, "float32", (3,), (), (M, THREE)),
    "unknown view": Record(3, "float32", (3, 3), (7,), (COLUMN, COLUMN)),
    "no view": Record(3, "float32", (3, 3), (), (COLUMN, COLUMN)),
    "a view of kernels": Record(3, "float32", (3, 3), (1,), (COLUMN, COLUMN)),
    "a rank above rows and columns": Record(3, "float32", (1, 1), (0,), (ROW, COLUMN)),
    "a rank above the columns": Record(3, "float32", (3, 1), (0,), (SQUARE, COLUMN)),
    "a rank above the rows": Record(3, "float32", (1, 3), (0,), (ROW, SQUARE)),
    "factors that do not fit": Record(3, "float32", (3, 3), (0,), (COLUMN, COLUMN)),
    "a core that does not fit": Record(8, "float32", (3, 3), (), (COLUMN, ROW, ROW)),
    "a core larger than the tensor": Record(8, "float32", (1, 3), (), (ROW, SQUARE, SQUARE)),
    "a tucker vector": Record(8, "float32", (3,), (), (COLUMN, POINT, ROW)),
    "a tucker kernel of a matrix's core": Record(8, "float32", (3, 3, 1), (), (COLUMN, POINT, ROW)),
    "a tucker code of integers": Record(8, "int32", (3, 3), (), (COLUMN, POINT, ROW)),
    "a tucker code with facts": Record(8, "float32", (3, 3), (1,), (COLUMN, POINT, ROW)),
    "too few canonical factors": Record(9, "float32", (2, 2), (), (COLUMN,)),
    "more terms than are needed": Record(9, "float32", (1, 2), (), (SQUARE,)),
    "a canonical vector": Record(9, "float32", (3,), (), (COLUMN,)),
    "a canonical code of integers": Record(9, "int32", (1, 2), (), (COLUMN,)),
    "a canonical code with facts": Record(9, "float32", (1, 2), (1,), (COLUMN,)),
    "a grid of integers": Record(4, "int8", (5,), (0, 0, 0), (STEP, MODEL, ONE, BYTES)),
    "two steps": Record(4, "float32", (5,), (0, 0, 0), (Values(np.float64([1, 2])), MODEL, ONE, BYTES)),
    "a step of float32": Record(4, "float32", (5,), (0, 0, 0), (Values(np.float32([1])), MODEL, ONE, BYTES)),
    "an infinite step": Record(4, "float32", (5,), (0, 0, 0), (Values(np.float64([np.inf])), MODEL, ONE, BYTES)),
    "a model of float32": Record(4, "float32", (5,), (0, 0, 0), (STEP, V, ONE, BYTES)),
    "a payload of float32": Record(4, "float32", (5,), (0, 0, 0), (STEP, MODEL, ONE, V)),
    "another model": Record(4, "float32", (5,), (0, 0, 0), (STEP, BYTES, ONE, BYTES)),
    "no model": Record(4, "float32", (5,), (0, 0, 0), (STEP, Values(np.uint8([])), ONE, BYTES)),
    "no payload": Record(4, "float32", (5,), (0, 0, 0), (STEP, MODEL, ONE, Values(np.uint8([])))),
    "a payload of nothing": Record(4, "float32", (0,), (0, 0, 0), (STEP, MODEL, ONE, BYTES)),
    "an unknown transform": Record(4, "float32", (5,), (3, 0, 0), (STEP, MODEL, ONE, BYTES)),
    "turned steps of rows": Record(4, "float32", (2, 3), (2, 0, 0), (TWO_STEPS, MODEL, ONE, BYTES)),
    "steps of columns, not turned": Record(4, "float32", (3, 2), (0, 0, 0), (TWO_STEPS, MODEL, ONE, BYTES)),
    "turned steps of columns alone": Record(4, "float32", (5, 2, 3), (2, 0, 0), (TWO_STEPS, MODEL, ONE, BYTES)),
    "too few steps of a turned vector": Record(4, "float32", (3,), (2, 0, 0), (TWO_STEPS, MODEL, ONE, BYTES)),
    "a transform of a vector": Record(4, "float32", (5,), (1, 0, 0), (STEP, MODEL, ONE, BYTES)),
    "a transform of long axes": Record(4, "float32", (1, 1, 33), (1, 0, 0), (STEP, MODEL, ONE, BYTES)),
    "an unknown mode": Record(4, "float32", (5,), (0, 8, 0), (STEP, MODEL, ONE, BYTES)),
    "finer rows, not turned": Record(4, "float32", (1, 5), (0, 8, 0), (STEP, MODEL, ONE, BYTES)),
    "finer rows of a vector": Record(4, "float32", (5,), (2, 8, 0), (STEP, MODEL, ONE, BYTES)),
    "finer rows without symbols": Record(4, "float32", (1, 5), (2, 8, 0), (STEP, MODEL, ONE, BYTES)),
    "too few scales": Record(4, "float32", (5, 1), (0, 1, 0), (STEP, MODEL, ONE, BYTES)),
    "scales past the end": Record(4, "float32", (5,), (0, 0, 1), (STEP, MODEL, ONE, BYTES)),
    "scales at 2^63": Record(4, "float32", (5,), (0, 0, 1 << 63), (STEP, MODEL, ONE, BYTES)),
    "too many scales": Record(4, "float32", (5,), (0, 0, 0), (STEP, MODEL, Symbols(np.zeros(1), 129), BYTES)),
    "no facts of a grid": Record(4, "float32", (5,), (), (STEP, MODEL, ONE, BYTES)),
    "tiles of no size": Record(7, "float32", (5,), (0, 1, 0), (M, THREE)),
    "tiles of no facts": Record(7, "float32", (5,), (), (M, THREE)),
    "tiles of 2^63 rows": Record(7, "float32", (5,), (1 << 63, 1, 0), (M, THREE)),
    "tiles wider than the tensor": Record(7, "float32", (5,), (1, 2, 0), (M, THREE)),
    "too few tiles": Record(7, "float32", (6,), (1, 1, 0), (M, THREE)),
    "an alphabet of no tile": Record(7, "float32", (5,), (1, 1, 0), (Symbols(np.zeros(5), 4), THREE)),
    "patterns of 17 weights": Record(7, "float32", (17,), (17, 1, 1), (Symbols(np.zeros(1), 1 << 17), THREE)),
    "a pattern beyond the end": Record(7, "float32", (1, 5, 0), (1, 4), (Symbols(np.array([3, 2]), 16), THREE)),
    "more values than are kept": Record(7, "float32", (5,), (1, 1, 0), (M, THREE)),
    "tiles of another dtype": Record(7, "float64", (3,), (3, 1, 0), (Symbols(np.ones(1), 2), THREE)),
    "patterns that are none": Record(7, "float32", (5,), (1, 1, 1), (M, THREE)),
    "an unknown mode of tiles": Record(7, "float32", (5,), (1, 1, 2), (M, THREE)),
    "a sum of shapes": Record(6, "float32", (3,), (2,), (THREE, COLUMN)),
    "a sum of another shape": Record(6, "float32", (1, 3), (2,), (THREE, THREE)),
    "a sum of integers": Record(6, "int32", (3,), (2,), (THREE, THREE)),
    "integers in a sum": Record(6, "float32", (3,), (2,), (THREE, Record(0, "uint8", (3,), (0,), (EIGHT,)))),
    "no key of a hash": Record(10, "float32", (5,), (), (THREE,)),
    "two keys of a hash": Record(10, "float32", (5,), (1, 2), (THREE,)),
    "a key of 2^32": Record(10, "float32", (5,), (1 << 32,), (THREE,)),
    "hashed integers": Record(10, "int32", (5,), (1,), (THREE,)),
    "hashed values that are integers": Record(10, "float32", (5,), (1,), (Record(0, "uint8", (3,), (0,), (EIGHT,)),)),
    "hashed values of two axes": Record(10, "float32", (5,), (1,), (ROW,)),
    "no hashed values": Record(10, "float32", (5,), (1,), (Record(0, "float32", (0,), (0,), (V,)),)),
    "no length of blocks": Record(11, "float32", (5,), (1,), (HALF, M)),
    "blocks of nothing": Record(11, "float32", (5,), (1, 0), (HALF, M)),
    "blocks longer than the tensor": Record(11, "float32", (5,), (1, 6), (HALF, ONE)),
    "blocks of 2^63": Record(11, "float32", (5,), (1, 1 << 63), (HALF, ONE)),
    "a seed of 2^32": Record(11, "float32", (5,), (1 << 32, 1), (HALF, M)),
    "too few blocks": Record(11, "float32", (5,), (1, 1), (HALF, ONE)),
    "too many blocks": Record(11, "float32", (5,), (1, 2), (HALF, M)),
    "drawn integers": Record(11, "int32", (5,), (1, 1), (HALF, M)),
    "a scale that is an integer": Record(11, "float32", (5,), (1, 1), (EIGHT, M)),
    "three scales": Record(11, "float32", (5,), (1, 1), (V, M)),
    "factors that are no matrices": Record(3, "float32", (3, 3), (0,), (THREE, THREE)),
}


def numbered(record, seen):
    """The record with numbers for its streams, which ``seen`` collects."""
    parts = []
    for part in record.parts:
        if isinstance(part, Record):
            parts.append(numbered(part, seen))
            continue
        if part not in seen:
            seen.append(part)
        parts.append(seen.index(part))
    return replace(record, parts=tuple(parts))


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_parts_that_make_no_code_are_refused(name):
    seen = []
    record = numbered(WRONG_PARTS[name], seen)
    blocks = [encode_blocks(part) for part in seen]
    streams = [stream_entry(part, measured(block), HEADER_BYTES) for part, block in zip(seen, blocks, strict=True)]
    table = Table({}, tuple(streams), {"bad": record}).pack()
    file = LacFile(with_table(table, b"".join(b for block in blocks for b in block)), "x.lac")
    with pytest.raises(FormatError, match=r"x.lac: tensor 'bad'"):
        file["bad"]


def test_a_small_file_cannot_ask_for_much():
    """The most that one block can claim is 2²⁰ symbols, whatever the table says."""
    blocks = -(-(1 << 22) // BLOCK)
    stream = b"\0\2" + varint((1 << 22) + 1) + (b"\2" + BLOCK_CRC) * blocks
    with pytest.raises(FormatError):
        LacFile(with_table(NO_META + b"\1" + stream, b"\0\0" * blocks), "x")


def test_a_rank_that_is_no_work_costs_no_time():
    left, right = (DenseCode(shape, "float32", Values(np.float32([]))) for shape in [(0, 1 << 35), (1 << 35, 0)])
    assert LowRankCode((0, 0), "float32", VIEWS[0], left, right).decompress().shape == (0, 0)


def test_a_core_that_is_no_work_takes_no_memory():
    left, core, right = (
        DenseCode(shape, "float32", Values(np.float32([]))) for shape in [(0, 1), (1, 1, 1 << 18), (1, 1 << 18)]
    )
    assert TuckerCode((0, 1 << 18, 1 << 18), "float32", left, core, right).decompress().size == 0


def fixed_up(data, rng):
    """A few bytes altered in blocks, stream list, records or all over, and every checksum made right again."""
    table, _ = table_of(data)
    blocks = bytearray(data[HEADER_BYTES : HEADER_BYTES + sum(s.length for s in table.streams)])
    if rng.random() < 0.5:
        for place in rng.integers(0, len(blocks), rng.integers(1, 5)):
            blocks[place] = rng.integers(0, 256)
        streams, at = [], 0
        for stream in table.streams:
            fixed = []
            for block in stream.blocks:
                fixed.append(replace(block, crc=zlib.crc32(blocks[at : at + block.length])))
                at += block.length
            streams.append(replace(stream, blocks=tuple(fixed)))
        return with_table(Table(table.metadata, tuple(streams), table.tensors).pack(), bytes(blocks))
    packed = bytearray(table.pack())
    first = rng.choice([0, len(packed) // 2])
    for place in rng.integers(first, len(packed), rng.integers(1, 4)):
        packed[place] = rng.integers(0, 256) if rng.random() < 0.5 else rng.integers(0, 6)
    return with_table(bytes(packed), bytes(blocks))


@usually("data", [DATA, GRIDS], else_=[], ids=["nested", "grids"])
@usually("seed", [0], else_=range(1, 8))
def test_only_the_one_error_escapes_from_altered_files(seed, data):
    rng = np.random.default_rng(seed)
    opened = read = 0
    for _ in range(150):
        try:
            file = LacFile(fixed_up(data, rng), "x")
        except FormatError:
            continue
        opened += 1
        assert sum(row.bytes for row in file.charges()) == len(file._data)
        for name in file:
            try:
                code = file.code(name)
            except FormatError:
                continue
            if code.size < 1 << 20:
                assert code.decompress().shape == code.shape
                read += 1
    assert opened > 30
    assert read > 100


def test_a_small_file_that_claims_more_than_the_memory_is_refused_before_it_is_opened(monkeypatch) -> None:
    monkeypatch.setattr("laconic.format.container.room.memory_bytes", lambda: 1000)
    file = LacFile(dumps({"big": DenseCode.of(np.zeros(1000, np.float32))}), "bomb.lac")
    with pytest.raises(FormatError, match=r"bomb\.lac: tensor 'big': claims 8,000 bytes .* limit of 1,000"):
        file["big"]
    data = dumps({"big": DenseCode.of(np.zeros(1000, np.float32))})
    assert len(LacFile(data, "x", limit=8000)["big"]) == 1000
    with pytest.raises(FormatError, match=r"limit of 7,999; .* limit= .* --limit"):
        loads(data, limit=7999)


def test_the_default_limit_grows_with_the_file_up_to_the_memory(monkeypatch):
    monkeypatch.setattr("laconic.format.container.room.memory_bytes", lambda: 1 << 34)
    lengths = (100, 1 << 20, 1 << 23, 1 << 30)
    assert [Limits.of(length, None).held for length in lengths] == [1 << 30, 1 << 30, 1000 << 23, 1 << 34]
    assert [Limits.of(length, None).read for length in lengths] == [1 << 30, 1 << 30, 1000 << 23, 1000 << 30]
    assert Limits.of(100, 1 << 40) == Limits(1 << 40, 1 << 40)


def test_the_parts_of_a_sum_count_too():
    zeros = DenseCode.of(np.zeros(1000, np.float64))
    data = dumps({"w": SumCode((1000,), "float32", (zeros,) * 8)})
    assert not LacFile(data, "x", limit=4000 + 9 * 8000)["w"].any()
    with pytest.raises(FormatError, match=r"claims 76,000 bytes decoded"):
        loads(data, limit=4000 + 9 * 8000 - 1)


def test_a_bomb_of_nested_codes_is_refused():
    """Factors and survivors count too: a product of 2³⁶ elements from two constant vectors."""
    column = DenseCode.of(np.zeros((1 << 17, 1), np.float32))
    row = DenseCode.of(np.zeros((1, 1 << 17), np.float32))
    data = dumps({"w": LowRankCode((1 << 17, 1 << 17), "float32", VIEWS[0], column, row)})
    assert len(data) < 300
    with pytest.raises(FormatError, match=r"claims 68,72\d,\d+,\d+ bytes decoded"):
        loads(data)
