"""Checksums made right again after a mutation, so that what lies behind them is tested."""

import struct
import zlib

from laconic.errors import FormatError
from laconic.format.coding import Cursor
from laconic.format.container.deflated import inflated, stored
from laconic.format.container.dictionary import DICTIONARY
from laconic.format.container.header import DEFLATED, HEADER_BYTES, MAGIC, PLAIN, SMALL
from laconic.format.container.small import small_file
from laconic.format.container.table import BLOCK

FIELDS = struct.Struct("<8sHHQII")


def repaired(data: bytes) -> bytes:
    """Return ``data`` as a file whose magic, version, lengths and checksums are right, as far as its table goes."""
    if data[8:9] == bytes([SMALL]):
        return small_repaired(data)
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


def unpacked(data: bytes) -> tuple[bytes, bytes]:
    """Return the table and the blocks of a small file."""
    coder = zlib.decompressobj(-15, DICTIONARY)
    return coder.decompress(data[14:], 1 << 17), coder.unused_data


def packed(table: bytes, blocks: bytes) -> bytes:
    """Return the small file of any bytes for a table and any blocks."""
    coder = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    return small_file(coder.compress(table) + coder.flush(), blocks)


def small_repaired(data: bytes) -> bytes:
    """Return ``data`` with its checksum; where no table inflates, two bytes say how long that is which stands there."""
    try:
        unpacked(data)
    except zlib.error:
        end = 16 + int.from_bytes(data[14:16], "little")
        return packed(data[16:end], data[end:])
    return small_file(data[14:], b"")


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
