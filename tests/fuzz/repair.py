"""Checksums made right again after a mutation, so that what lies behind them is tested."""

import struct
import zlib

from laconic.errors import FormatError
from laconic.format.coding import Cursor
from laconic.format.container.deflated import inflated, stored
from laconic.format.container.header import DEFLATED, HEADER_BYTES, MAGIC, PLAIN
from laconic.format.container.table import BLOCK

FIELDS = struct.Struct("<8sHHQII")


def repaired(data: bytes) -> bytes:
    """Return ``data`` as a file whose magic, version, lengths and checksums are right, as far as its table goes."""
    if len(data) < HEADER_BYTES:
        return data
    offset = int.from_bytes(data[12:20], "little")
    if not HEADER_BYTES <= offset <= len(data):
        offset = HEADER_BYTES + offset % (len(data) - HEADER_BYTES + 1)
    version = DEFLATED if data[8] == DEFLATED else PLAIN
    table = bytearray(data[offset:])
    try:
        plain = bytearray(inflated(table, offset)) if version == DEFLATED else table
        repair_blocks(data, plain)
        version, table = stored(plain) if version == DEFLATED else (version, plain)
    except FormatError:  # the list of streams ends early, or nothing inflates: the reader is to find out
        pass
    fields = FIELDS.pack(MAGIC, version, 0, offset, len(table), zlib.crc32(table))
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
