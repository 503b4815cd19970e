"""Small files, told as files of version 1."""

import re
import struct
import zlib
from pathlib import Path

import numpy as np

from reference import lac
from reference.columns import tensors, varint

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


def version_1(data):
    """Return the file of version 1 that holds the same as a small one."""
    dictionary = re.search(r"```text\n(encoder.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1].replace("\n", "")
    coder = zlib.decompressobj(-15, dictionary.encode().decode("unicode_escape").encode("latin1"))
    assert len(data) < 1 << 18
    assert data[8:14] == struct.pack("<HI", 3, zlib.crc32(data[14:]))
    table = lac.Bits(coder.decompress(data[14:]))
    blocks, out = lac.Bits(coder.unused_data), varint(pairs := table.varint())
    assert coder.eof
    assert len(table.data) <= 1 << 16
    out += b"".join(varint(len(text)) + text for text in [table.string() for _ in range(2 * pairs)])
    kinds = [table.varint() for _ in range(table.varint())]
    out += varint(len(kinds))
    for kind, count in zip(kinds, [table.varint() for _ in kinds], strict=True):
        out += varint(kind % 2) + varint(kind // 2) + varint(count)
        for at in range(0, count, 1 << 20):
            most = np.dtype(lac.DTYPES[kind // 2]).itemsize * min(count - at, 1 << 20) + 8 if kind % 2 else 0
            block = blocks.take(abs(most - table.varint()))
            out += varint(len(block)) + struct.pack("<I", zlib.crc32(block))
    out += tensors(table)
    assert not table.rest() + blocks.rest()
    head = data[:8] + struct.pack("<HHQII", 1, 0, 32 + len(blocks.data), len(out), zlib.crc32(out))
    return head + struct.pack("<I", zlib.crc32(head)) + blocks.data + out
