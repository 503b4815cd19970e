"""A table as it is stored: deflated (RFC 1951, without a frame) where that is shorter, and inflated again."""

import zlib

from laconic.errors import FormatError
from laconic.format.container.header import DEFLATED, PLAIN

MOST = 8
"""How often its stored length a table may be: those of networks are 2 to 4 times, and a small file must not claim many
tensors."""

_RAW = -15  # bits of the window; below 0: no frame, for the header has a checksum of its own


def stored(table: bytes) -> tuple[int, bytes]:
    """Return the version of a file with this table, and the bytes that it has for it; never more than it is long.

    What zlib makes of a table may differ by its version, what comes back does not.

    >>> version, data = stored(b"layer.0.weight layer.1.weight layer.2.weight")
    >>> version, len(data) < 30, inflated(data, 32)
    (2, True, b'layer.0.weight layer.1.weight layer.2.weight')
    >>> stored(b"w")
    (1, b'w')
    """
    coder = zlib.compressobj(9, zlib.DEFLATED, _RAW, 9)
    data = coder.compress(table) + coder.flush()
    return (DEFLATED, data) if len(data) < len(table) <= MOST * len(data) else (PLAIN, table)


def inflated(data: bytes, origin: int) -> bytes:
    """Return the table that was stored as ``data``, from byte ``origin`` of the file on.

    Raises:
        FormatError: when this is no deflate stream, is cut short, is followed by something, or is that of a table which
            is not longer than it, or more than `MOST` times as long.
    """
    most, coder = MOST * len(data), zlib.decompressobj(_RAW)
    try:
        table = coder.decompress(data, most + 1)
    except zlib.error as error:
        raise FormatError(f"byte {origin}: the table cannot be inflated ({error})") from None
    if len(table) > most:
        raise FormatError(f"byte {origin}: the table inflates to more than {MOST} times its {len(data)} bytes")
    if not coder.eof:
        raise FormatError(f"byte {origin + len(data)}: the deflated table is cut short")
    if coder.unused_data:
        raise FormatError(f"byte {origin}: {len(coder.unused_data)} bytes after the deflated table")
    if len(table) <= len(data):
        raise FormatError(f"byte {origin}: a table of {len(table)} bytes is deflated to {len(data)}, and no shorter")
    return table
