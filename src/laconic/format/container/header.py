"""The fixed header of a `.lac` file."""

import struct
import zlib
from dataclasses import dataclass
from typing import final

from laconic.errors import FormatError

MAGIC = b"\x89LAC\r\n\x1a\n"
PLAIN, DEFLATED, SMALL = VERSIONS = 1, 2, 3
"""Versions of the format: 1 and 2 differ in how the table is stored, 3 is that of small files."""

HEADER_BYTES = 32

_FIELDS = struct.Struct("<8sHHQII")


@final
@dataclass(frozen=True)
class Header:
    """Where the table is, and its checksum.

    Args:
        table_offset: bytes before the table.
        table_length: bytes of the table as it is stored, which ends the file.
        table_crc: CRC-32 of these.
        version: `PLAIN` or `DEFLATED`.
    """

    table_offset: int
    table_length: int
    table_crc: int
    version: int = PLAIN

    @classmethod
    def of(cls, table: bytes, offset: int, version: int = PLAIN) -> "Header":
        """Return the header of a file whose table is stored as ``table``, at ``offset``."""
        return cls(offset, len(table), zlib.crc32(table), version)

    def pack(self) -> bytes:
        """Return the 32 bytes."""
        fields = _FIELDS.pack(MAGIC, self.version, 0, self.table_offset, self.table_length, self.table_crc)
        return fields + zlib.crc32(fields).to_bytes(4, "little")


def parse_version(data: bytes) -> int:
    """Return the version of a file, by its first bytes.

    Raises:
        FormatError: when this is no `.lac` file, a newer one, or one that is cut short here.
    """
    if data[:8] != MAGIC[: len(data[:8])] or not data:
        raise FormatError("byte 0: this is not a .lac file")
    if len(data) < 10:
        raise FormatError(f"byte {len(data)}: the file ends within its header")
    version = int.from_bytes(data[8:10], "little")
    if version > VERSIONS[-1]:
        raise FormatError(
            f"byte 8: format version {version}; this laconic reads versions up to {VERSIONS[-1]}: "
            "install a newer laconic"
        )
    if version < VERSIONS[0]:
        raise FormatError(f"byte 8: format version {version} was never released; the first is {VERSIONS[0]}")
    return version


def parse_header(data: bytes, file_length: int) -> Header:
    """Return the header in the first bytes of a file of version 1 or 2 and of ``file_length`` bytes.

    Raises:
        FormatError: when this is no `.lac` file, a newer one, an altered one, or one cut short.
    """
    parse_version(data)
    if len(data) < HEADER_BYTES:
        raise FormatError(f"byte {len(data)}: the file ends within its header")
    _, version, reserved, offset, length, crc = _FIELDS.unpack_from(data)
    if zlib.crc32(data[:28]) != int.from_bytes(data[28:32], "little") or reserved:
        raise FormatError("byte 28: the header is damaged (its checksum differs)")
    if offset < HEADER_BYTES or offset + length != file_length:
        raise FormatError(f"byte 12: the file should have {offset + length} bytes, it has {file_length}")
    return Header(offset, length, crc, version)
