"""The format's one rule of rounding (`docs/format.md`, Arithmetic)."""

import numpy as np

from laconic.format.coding.dtypes import FOREIGN, dtype_of


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return ``array`` in ``dtype``, to nearest with ties to even, through float32 where ``dtype`` is not NumPy's own.

    The way through float32 is what conversions to these types do everywhere; saying so makes the second rounding part
    of the format. What is too large becomes infinite, or NaN in a type that has no infinity.

    >>> rounded(np.array([1 + 2**-8 + 2**-40]), "bfloat16").astype(float)
    array([1.])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype in FOREIGN:
            array = array.astype(np.float32)
        return array.astype(dtype_of(dtype))
