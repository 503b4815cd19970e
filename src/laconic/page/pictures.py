"""Images within a page, as PNG."""

import base64
import struct
import zlib

import numpy as np


def png(pixels: np.ndarray) -> bytes:
    """Return the file of an image.

    Args:
        pixels: grey, or red, green and blue: shape (height, width, 1 or 3), of bytes.

    Source: Portable Network Graphics, third edition (2025): chunks IHDR, IDAT and IEND, lines without a filter.
    """
    height, width, depth = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if depth == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def source(pixels: np.ndarray) -> str:
    """Return an image as the address that a page has it by."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
