"""The format's one rule of rounding (`docs/format.md`, Arithmetic)."""

import numpy as np

from laconic.format.coding.dtypes import FOREIGN, dtype_of

_PART = 1 << 16  # numbers


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return ``array`` in ``dtype``, to nearest with ties to even, through float32 where ``dtype`` is not NumPy's own.

    The way through float32 is what conversions to these types do everywhere; saying so makes the second rounding part
    of the format. What is too large becomes infinite, or NaN in a type that has no infinity.

    >>> rounded(np.array([1 + 2**-8 + 2**-40]), "bfloat16").astype(float)
    array([1.])
    """
    flat, out = array.reshape(-1), np.empty(array.size, dtype_of(dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(out), _PART):
            part = flat[start : start + _PART]
            out[start : start + _PART] = part.astype(np.float32) if dtype in FOREIGN else part
    return out.reshape(array.shape)
