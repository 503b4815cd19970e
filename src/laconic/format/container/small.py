"""A small file: one checksum for all of it, and the table first, deflated beside a dictionary that everybody knows."""

import zlib

from laconic.errors import FormatError
from laconic.format.container.columns import has_columns, pack_columns, parse_columns
from laconic.format.container.dictionary import DICTIONARY
from laconic.format.container.header import MAGIC, SMALL
from laconic.format.container.table import Table

MOST_BYTES, MOST_TABLE = (1 << 18) - 1, 1 << 16
"""Of a small file, and of its table once it is inflated."""

_HEAD = 14  # magic, version, CRC
_RAW = -15  # bits of the window; below 0: no frame


def packed(table: Table) -> bytes | None:
    """Return what comes after the checksum and before the blocks; None where this cannot be a small file."""
    if sum(stream.length for stream in table.streams) > MOST_BYTES or not has_columns(table):
        return None
    plain = pack_columns(table)
    coder = zlib.compressobj(9, zlib.DEFLATED, _RAW, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    data = coder.compress(plain) + coder.flush()
    whole = size(data, table)
    return data if len(plain) <= MOST_TABLE and whole <= MOST_BYTES else None


def size(data: bytes, table: Table) -> int:
    """Return the bytes of the small file that has ``data`` for this table."""
    return _HEAD + len(data) + sum(stream.length for stream in table.streams)


def small_file(data: bytes, blocks: bytes) -> bytes:
    """Return the file of a table, as `packed` gives it, and the blocks that it tells of."""
    rest = data + blocks
    return MAGIC + SMALL.to_bytes(2, "little") + zlib.crc32(rest).to_bytes(4, "little") + rest


def small_table(data: bytes) -> Table:
    """Return the table of a small file, all its claims checked.

    Raises:
        FormatError: when it is damaged, or says what no small file can.
    """
    if len(data) <= _HEAD:
        raise FormatError(f"byte {len(data)}: the file ends within its header")
    if len(data) > MOST_BYTES:
        raise FormatError(f"byte 8: a small file of {len(data):,} bytes; such have at most {MOST_BYTES:,}")
    if zlib.crc32(data[_HEAD:]) != int.from_bytes(data[10:_HEAD], "little"):
        raise FormatError("byte 10: the file is damaged, cut short or longer than it was (its checksum differs)")
    coder = zlib.decompressobj(_RAW, DICTIONARY)
    try:
        plain = coder.decompress(data[_HEAD:], MOST_TABLE + 1)
    except zlib.error as error:
        raise FormatError(f"byte {_HEAD}: the table cannot be inflated ({error})") from None
    if len(plain) > MOST_TABLE:
        raise FormatError(f"byte {_HEAD}: the table inflates to more than {MOST_TABLE:,} bytes")
    if not coder.eof:
        raise FormatError(f"byte {len(data)}: the deflated table is cut short")
    first_block = len(data) - len(coder.unused_data)
    try:
        return parse_columns(plain, _HEAD, (first_block, len(data)))
    except FormatError as error:
        raise FormatError(f"{error} (counted in the inflated table)") from None
