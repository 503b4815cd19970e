"""Tables that are stored deflated: what comes back, what is refused, and what a reader may be made to spend."""

import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laconic.errors import FormatError
from laconic.format.coding import varint
from laconic.format.container import LacFile
from laconic.format.container.deflated import MOST, inflated, stored
from laconic.format.container.header import DEFLATED, HEADER_BYTES, Header
from laconic.format.container.table import MAX_NAME, pack_name, shared_ends


def deflated(table):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return coder.compress(table) + coder.flush()


def with_deflated(data):
    """A file of version 2 without blocks that has these bytes for its table, with checksums that are right."""
    return Header.of(data, HEADER_BYTES, DEFLATED).pack() + data


NOTED = b"\1" + b"\4note" + varint(300) + bytes(range(128, 228)) * 3 + b"\0\0"  # 300 bytes of metadata, and no tensor
BOMB = b"\1" + b"\4note" + varint(1 << 20) + b"a" * (1 << 20) + b"\0\0"
MISMADE = {
    "cannot be inflated": b"\xff" * 20,
    "is cut short": deflated(NOTED)[:-1],
    "1 bytes after the deflated table": deflated(NOTED) + b"\0",
    "300 bytes after the deflated table": deflated(NOTED) + deflated(BOMB)[:300],
    "inflates to more than 8 times its": deflated(BOMB),
    "and no shorter": deflated(b"\0\0\0"),
    "byte 32: the deflated table is cut short": b"",
    r"UTF-8 .*\(counted in the inflated table\)": deflated(NOTED),
    r"bytes after the last tensor \(counted in the inflated table\)": deflated(
        NOTED.replace(bytes(range(128, 228)), bytes(range(100))) + b"\0"
    ),
}


@pytest.mark.parametrize("error", MISMADE)
def test_tables_that_are_deflated_wrongly_are_refused(error):
    with pytest.raises(FormatError, match=rf"x: .*{error}"):
        LacFile(with_deflated(MISMADE[error]), "x")


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_deflate_stream_is_read_that_is_shorter_than_its_table(level):
    """Whatever encoder made it: stored blocks beside others too."""
    note = bytes(48 + k * k % 57 for k in range(400))
    table = b"\1" + b"\4note" + varint(len(note)) + note + b"\0\0"
    coder = zlib.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_FIXED)
    data = coder.compress(table[:20]) + coder.flush(zlib.Z_FULL_FLUSH) + coder.compress(table[20:]) + coder.flush()
    if level:
        assert LacFile(with_deflated(data), "x").metadata == {"note": note.decode()}
    else:
        with pytest.raises(FormatError, match="no shorter"):
            LacFile(with_deflated(data), "x")


@given(st.binary(max_size=300), st.integers(1, 12))
def test_a_table_comes_back_and_is_never_stored_longer(piece, times):
    table = piece * times
    version, data = stored(table)
    assert (inflated(data, 0) if version == DEFLATED else data) == table
    assert len(data) < len(table) <= MOST * len(data) if version == DEFLATED else len(data) == len(table)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_what_names_share_is_what_a_walk_finds(a, b):
    head = next((k for k in range(min(len(a), len(b))) if a[k] != b[k]), min(len(a), len(b)))
    a_rest, b_rest = a[head:], b[head:]
    tail = sum(1 for k in range(1, min(len(a_rest), len(b_rest)) + 1) if a_rest[-k:] == b_rest[-k:])
    assert shared_ends(a, b) == (head, tail)


def test_a_small_deflated_file_takes_little_memory_and_time():
    """The dearest names: each as long as may be, and two bytes from the one before it."""
    noise = np.random.default_rng(0).integers(32, 127, 9500).astype(np.uint8).tobytes()  # lets the table be longer
    names = [b"n" * (MAX_NAME - 4) + b"%04x" % k for k in range(4300)]
    record = b"\0\0\1\0\1\0\1"  # dense, of no element
    entries = (pack_name(name, before) + record for before, name in zip([b"", *names], names, strict=False))
    table = b"\1\0" + varint(len(noise)) + noise + b"\1\1\0\0" + varint(len(names)) + b"".join(entries)
    data = deflated(table)
    assert len(data) < 10_000
    assert len(table) > 0.9 * MOST * len(data)
    start = time.process_time()
    tracemalloc.start()
    file = LacFile(with_deflated(data), "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(map(str.encode, file)) == names
    assert peak < 40 << 20
    assert time.process_time() - start < 5
