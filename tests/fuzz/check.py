"""What must hold of any bytes: they are refused with the one error, or they are a file that keeps its promises."""

from laconic.errors import FormatError
from laconic.format.container import LacFile

LIMIT = 1 << 22
"""Bytes that a file may claim: mutations must not cost memory or time."""


def check(data: bytes, limit: int = LIMIT) -> str:
    """Read everything in ``data``; return "refused", "damaged" (some tensors are, or all are too many) or "sound"."""
    try:
        file = LacFile(data, "x", limit)
    except FormatError:
        return "refused"
    rows = {row.name: row for row in file.charges()[:-1]}
    assert sum(row.bytes for row in file.charges()) == len(data)
    assert len(rows) == len(file)
    result, names, total = "sound", list(file), 0
    try:
        file.require_room("tensors")
    except FormatError:
        result, names = "damaged", names[:1]  # one by one each is held to the limit, and all may take long
    for name in names:
        try:
            array = file[name]
        except FormatError:
            result = "damaged"
            continue
        assert (array.shape, array.dtype.name) == (rows[name].shape, rows[name].dtype)
        total += array.nbytes
    assert total <= limit
    return result
