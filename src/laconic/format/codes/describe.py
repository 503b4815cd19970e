"""A code in a few words, such as ``sparse 5.0% of codebook 16``, from its outline alone: nothing is decoded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from laconic.format.codes.canonical import CanonicalCode
from laconic.format.codes.code import Code
from laconic.format.codes.codebook import CodebookCode
from laconic.format.codes.dense import DenseCode
from laconic.format.codes.grid import GridCode
from laconic.format.codes.grouped import GroupedCode
from laconic.format.codes.low_rank import LowRankCode
from laconic.format.codes.sparse import SparseCode
from laconic.format.codes.sum import SumCode
from laconic.format.codes.tile_sparse import TileSparseCode
from laconic.format.codes.tucker import TuckerCode


@final
@dataclass(frozen=True)
class Outline:
    """What is known of a code before its streams are read.

    Args:
        kind: its class.
        shape: shape of its tensor.
        parts: by name, the length of a stream or the outline of a nested code.
    """

    kind: type[Code]
    shape: tuple[int, ...]
    parts: "Mapping[str, int | Outline]"


def outline(code: Code) -> Outline:
    """Return the outline of ``code``."""
    parts = {name: outline(part) if isinstance(part, Code) else len(part) for name, part in code.streams().items()}
    return Outline(type(code), code.shape, parts)


def describe(code: Code | Outline) -> str:
    """Return what ``code`` is, in a few words.

    >>> import numpy as np
    >>> describe(DenseCode.of(np.zeros(3)))
    'dense'
    """
    found = outline(code) if isinstance(code, Code) else code
    if found.kind is DenseCode:
        return "dense"
    if found.kind is CodebookCode:
        return f"codebook {found.parts['codebook']}"
    if found.kind in (SparseCode, TileSparseCode):
        values = _nested(found, "values")
        kept = math.prod(values.shape) / max(math.prod(found.shape), 1)
        word = "sparse" if found.kind is SparseCode else "tiles"
        return f"{word} {kept:.1%} of {describe(values)}"
    if found.kind is LowRankCode:
        left, right = _nested(found, "left"), _nested(found, "right")
        return f"low-rank {left.shape[-1] if left.shape else 0} of ({describe(left)}, {describe(right)})"
    if found.kind is TuckerCode:
        core = _nested(found, "core")
        parts = ", ".join(describe(_nested(found, name)) for name in ("left", "core", "right"))
        return f"Tucker {' x '.join(map(str, core.shape[:2]))} of ({parts})"
    if found.kind is CanonicalCode:
        factors = _nested(found, "factors")
        return f"canonical {factors.shape[-1] if factors.shape else 0} of {describe(factors)}"
    if found.kind is GridCode:
        return "grid"
    if found.kind is GroupedCode:
        groups = f", {found.parts['scales']} scales" if found.parts["scales"] else ""
        return f"codebook {found.parts['codebook']}{groups}"
    if found.kind is SumCode:
        return f"sum of ({', '.join(describe(_nested(found, name)) for name in found.parts)})"
    return found.kind.__name__


def _nested(found: Outline, name: str) -> Outline:
    """Return the nested outline called ``name``."""
    part = found.parts[name]
    assert isinstance(part, Outline), f"{name} is a nested code"
    return part
