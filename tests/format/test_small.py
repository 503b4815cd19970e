"""Small files: what they take, what a reader refuses of them, and what it may be made to spend."""

import re
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzz.repair import packed, unpacked
from sample_codes import CASES, dense

from laconic.errors import FormatError
from laconic.format import container
from laconic.format.coding import varint
from laconic.format.container import LacFile
from laconic.format.container.columns import has_columns
from laconic.format.container.dictionary import DICTIONARY
from laconic.format.container.small import MOST_BYTES, MOST_TABLE
from laconic.format.container.small import packed as small_packed
from laconic.format.container.table import Block, Stream, Table

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")

TINY = (
    "89 4c 41 43 0d 0a 1a 0a 03 00 ",  # magic, version
    "00 00 00 00 bf 00 00 00 3f 01 16",  # blocks: the codebook, plain, and the indices, packed
    "01 03 6e 65 74 03 74 6f 79 "  # net = toy
    "02 01 04 02 06 07 02 "  # two streams: kinds, counts, 8 + 8 - 9 and 2
    "01 01 00 00 01 77 "  # one tensor, one record, nothing shared, one letter: w
    "01 00 02 02 03 00 01 01",  # tag 1, float32, 2 axes, 2 x 3, no facts, two new streams
)


def test_a_tiny_file_in_full():
    codes = container.open(Path(__file__).parents[1] / "golden" / "v1" / "tiny.lac").codes()
    data = container.dumps(codes, {"net": "toy"})
    table, blocks = unpacked(data)
    assert (data[:10].hex(" ") + " ", blocks.hex(" "), table.hex(" ")) == TINY


def test_the_dictionary_is_that_of_the_page():
    lines = re.search(r"```text\n(encoder.*?)```", PAGE, re.S)[1].replace("\n", "")
    assert lines.encode().decode("unicode_escape").encode("latin1") == DICTIONARY


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_one_tensor_says_the_same_small_and_takes_less(name):
    codes, notes = {"layer.weight": CASES[name], "layer.other": CASES[name]}, {"net": "x", "b": "ü"}
    small, other = container.dumps(codes, notes), container.dumps(codes, notes, small=False)
    assert len(small) + 18 < len(other)
    assert 8 * len(small) == container.bits(codes, notes)
    one, two = LacFile(small, "small"), LacFile(other, "other")
    assert (list(one), one.metadata, one.ties) == (list(two), two.metadata, two.ties)
    assert all(one[key].tobytes() == two[key].tobytes() for key in two)
    assert [(row.name, row.code, row.bytes) for row in one.charges()[:-1]] == [
        (row.name, row.code, row.bytes) for row in two.charges()[:-1]
    ]


def test_what_is_not_small_is_a_file_with_a_checksum_for_each_block(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, MOST_BYTES + 1).astype(np.uint8)
    for size, version in ((MOST_BYTES - 200, 3), (MOST_BYTES + 1, 1)):
        codes = {"w": dense((1,), "uint8"), "noise": type(dense((1,))).of(noise[:size])}
        path = container.write(tmp_path / f"{size}.lac", codes) or tmp_path / f"{size}.lac"
        data = path.read_bytes()
        assert (data[8], 8 * len(data)) == (version, container.bits(codes))
        assert data == container.dumps(codes)
        assert container.open(path)["noise"].tobytes() == noise[:size].tobytes()


def test_a_block_of_values_that_columns_cannot_tell_makes_no_small_file():
    """No encoder makes one that long; a writer does not depend on it."""
    stream = Stream("uint8", 0, 3, (Block(0, 12, None),))
    for length, small in ((11, True), (12, False)):
        table = Table({}, (replace(stream, blocks=(Block(0, length, None),)),), {})
        assert has_columns(table) == (small_packed(table) is not None) == small


TABLE, BLOCKS = map(bytes.fromhex, TINY[:0:-1])
HEAD = 9  # bytes of metadata
MISMADE = {
    "shares 1 and 0 bytes with b''": TABLE[: HEAD + 9] + b"\1" + TABLE[HEAD + 10 :],
    "more records than are told": TABLE.replace(b"\1\1\0\0\1w\1\0\2\2\3\0", b"\2\1\0\1\0\0\1\1wv\1\0\2\2\3\0"),
    "1 records belong to no tensor": TABLE.replace(b"\1\1\0\0\1w\1\0\2\2\3\0", b"\1\2\0\0\1w\1\1\0\0\2\2\2\3\2\3\0\0"),
    "1 bytes after the last tensor": TABLE + b"\0",
    "300 numbers are to follow in": TABLE[:HEAD] + varint(300) + TABLE[HEAD + 1 :],
    "a block of 1 bytes": TABLE[: HEAD + 5] + b"\x0f" + TABLE[HEAD + 6 :],
    "a block of -6 bytes": TABLE[: HEAD + 5] + b"\x16" + TABLE[HEAD + 6 :],
    "the blocks end at byte": TABLE[: HEAD + 5] + b"\6" + TABLE[HEAD + 6 :],
    "unknown stream": TABLE[: HEAD + 1] + b"\x7f" + TABLE[HEAD + 2 :],
    "33 dimensions or facts": TABLE.replace(b"\1\0\2\2\3\0", b"\1\0\x21" + b"\1" * 33 + b"\0"),
    "stream 1, the next new one is 0": TABLE[:-2] + b"\3\2",
    f"inflates to more than {MOST_TABLE:,} bytes": b"\1\1a" + varint(1 << 17) + b"a" * (1 << 17) + b"\0\0\0",
}


@pytest.mark.parametrize("error", MISMADE)
def test_tables_that_are_wrong_behind_a_right_checksum_are_refused(error):
    assert list(LacFile(packed(TABLE, BLOCKS), "x")) == ["w"]
    with pytest.raises(FormatError, match=rf"x: byte \d+: .*{error}"):
        LacFile(packed(MISMADE[error], BLOCKS), "x")


@pytest.mark.parametrize("length", [0, 9, 10, 13, 14, MOST_BYTES + 1])
def test_a_file_of_no_small_length_is_refused(length):
    data = packed(TABLE, BLOCKS).ljust(length, b"\0")[:length]
    with pytest.raises(FormatError, match=r"not a \.lac file|ends within its header|such have at most 262,143"):
        LacFile(data, "x")


def test_a_hostile_small_file_takes_little_memory_and_time():
    """The most tensors that a table has room for, of the same few bytes."""
    count = 5000
    ends = b"\0" * (2 * count) + b"\4" * count
    names = b"".join(b"%04x" % (0x1000 + k * 7919 % 0xE000) for k in range(count))
    table = b"\0\0" + 2 * varint(count) + ends + names + b"\0" * count * 2 + b"\1" * count + b"\0" * count
    data = packed(table + b"\0" * count, b"")
    start = time.process_time()
    tracemalloc.start()
    with pytest.raises(FormatError):
        LacFile(data, "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) < MOST_TABLE
    assert peak < 20 << 20
    assert time.process_time() - start < 5
