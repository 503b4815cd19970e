"""Checksums made right again after a mutation, so that what lies behind them is tested."""

import struct
import zlib

from laconic.errors import FormatError
from laconic.format.coding import Cursor
from laconic.format.container.header import HEADER_BYTES, MAGIC, VERSION
from laconic.format.container.table import BLOCK

FIELDS = struct.Struct("<8sHHQII")


def repaired(data: bytes) -> bytes:
    """Return ``data`` as a file whose magic, version, lengths and checksums are right, as far as its table goes."""
    if len(data) < HEADER_BYTES:
        return data
    offset = int.from_bytes(data[12:20], "little")
    if not HEADER_BYTES <= offset <= len(data):
        offset = HEADER_BYTES + offset % (len(data) - HEADER_BYTES + 1)
    table = bytearray(data[offset:])
    try:
        repair_blocks(data, table)
    except FormatError:  # the list of streams ends early: the parser is to find out
        pass
    fields = FIELDS.pack(MAGIC, VERSION, 0, offset, len(table), zlib.crc32(table))
    return fields + zlib.crc32(fields).to_bytes(4, "little") + data[HEADER_BYTES:offset] + bytes(table)


def repair_blocks(data: bytes, table: bytearray) -> None:
    """Write the checksums of the blocks into ``table``."""
    cursor = Cursor(bytes(table))
    for _ in range(2 * cursor.varint()):
        cursor.take(cursor.varint())
    at = HEADER_BYTES
    for _ in range(cursor.varint()):
        cursor.varint(), cursor.varint()
        for _ in range(-(-cursor.varint() // BLOCK)):
            length = cursor.varint()
            place = len(table) - cursor.left
            cursor.take(4)
            table[place : place + 4] = zlib.crc32(data[at : at + length]).to_bytes(4, "little")
            at += length
