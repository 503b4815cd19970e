"""A code in a few words, such as ``sparse 5.0% of codebook 16``, from its outline alone: nothing is decoded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from laconic.format.codes.canonical import CanonicalCode
from laconic.format.codes.code import Code
from laconic.format.codes.codebook import CodebookCode
from laconic.format.codes.dense import DenseCode
from laconic.format.codes.drawn import DrawnCode
from laconic.format.codes.grid import GridCode
from laconic.format.codes.grouped import GroupedCode
from laconic.format.codes.hashed import HashedCode
from laconic.format.codes.low_rank import LowRankCode
from laconic.format.codes.packed import PackedCode
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
    outlined = outline(code) if isinstance(code, Code) else code
    if outlined.kind is DenseCode:
        return "dense"
    if outlined.kind is CodebookCode:
        return f"codebook {outlined.parts['codebook']}"
    if outlined.kind in (SparseCode, TileSparseCode):
        values = _nested(outlined, "values")
        kept = math.prod(values.shape) / max(math.prod(outlined.shape), 1)
        word = "sparse" if outlined.kind is SparseCode else "tiles"
        return f"{word} {kept:.1%} of {describe(values)}"
    if outlined.kind is LowRankCode:
        left, right = _nested(outlined, "left"), _nested(outlined, "right")
        return f"low-rank {left.shape[-1] if left.shape else 0} of ({describe(left)}, {describe(right)})"
    if outlined.kind is TuckerCode:
        core = _nested(outlined, "core")
        parts = ", ".join(describe(_nested(outlined, name)) for name in ("left", "core", "right"))
        return f"Tucker {' x '.join(map(str, core.shape[:2]))} of ({parts})"
    if outlined.kind is CanonicalCode:
        factors = _nested(outlined, "factors")
        return f"canonical {factors.shape[-1] if factors.shape else 0} of {describe(factors)}"
    if outlined.kind is GridCode:
        return "grid"
    if outlined.kind is GroupedCode:
        groups = f", {outlined.parts['scales']} scales" if outlined.parts["scales"] else ""
        return f"codebook {outlined.parts['codebook']}{groups}"
    if outlined.kind is HashedCode:
        values = _nested(outlined, "values")
        return f"hashed {math.prod(values.shape)} of {describe(values)}"
    if outlined.kind is PackedCode:
        return f"{outlined.parts['integers']} packed integers"
    if outlined.kind is DrawnCode:
        return f"drawn in {outlined.parts['indices']} blocks"
    if outlined.kind is SumCode:
        return f"sum of ({', '.join(describe(_nested(outlined, name)) for name in outlined.parts)})"
    return outlined.kind.__name__


def _nested(outer: Outline, name: str) -> Outline:
    """Return the nested outline called ``name``."""
    part = outer.parts[name]
    assert isinstance(part, Outline), f"{name} is a nested code"
    return part
