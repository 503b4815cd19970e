"""Small lossless tensors in one stream: biases and norms would else pay for a table and a checksum each."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from laconic.format.codes.code import Code
from laconic.format.codes.dense import DenseCode
from laconic.format.codes.streams import Values

SMALL = 4096
"""Elements up to which a tensor shares a stream: a reader of one tensor decodes all that share with it."""


def shared(codes: Mapping[str, Code]) -> dict[str, Code]:
    """Return ``codes`` with the small dense ones of each dtype in one stream, where there are two or more of them.

    A stream that is shared already stays as it is. Laws: every code decompresses to the same bits, and
    ``shared(shared(codes))`` is ``shared(codes)``.
    """
    sharing = dict(codes)
    for names in _groups(codes).values():
        small = [code for name in names if isinstance(code := sharing[name], DenseCode)]
        values = Values(np.concatenate([code.decompress().reshape(-1) for code in small]))
        start = 0
        for name, code in zip(names, small, strict=True):
            sharing[name] = replace(code, values=values, start=start)
            start += code.size
    return sharing


def unshared(codes: Mapping[str, Code]) -> dict[str, Code]:
    """Return ``codes`` with the dense ones that have a part of a stream in one of their own; tied ones stay tied."""
    own: dict[tuple[int, int, int], Values] = {}

    def alone(code: Code) -> Code:
        if not isinstance(code, DenseCode) or len(code.values) == code.size:
            return code
        key = id(code.values), code.start, code.size
        own.setdefault(key, Values(code.decompress().reshape(-1)))
        return replace(code, values=own[key], start=0)

    return {name: alone(code) for name, code in codes.items()}


def _groups(codes: Mapping[str, Code]) -> dict[str, list[str]]:
    """Return by dtype the names of the dense codes that share: small, not empty, alone in their stream."""
    users: dict[int, int] = {}
    for code in codes.values():
        if isinstance(code, DenseCode):
            users[id(code.values)] = users.get(id(code.values), 0) + 1
    groups: dict[str, list[str]] = {}
    for name, code in codes.items():
        if isinstance(code, DenseCode) and 0 < code.size <= SMALL and users[id(code.values)] == 1:
            groups.setdefault(code.dtype, []).append(name)
    return {dtype: names for dtype, names in groups.items() if len(names) > 1}
