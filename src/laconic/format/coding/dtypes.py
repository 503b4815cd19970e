"""Element types by name; those that NumPy lacks come from ml_dtypes, imported when the first of them occurs."""

import numpy as np

from laconic.errors import MissingPackage

FLOATS = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
"""The floating element types of weights; all others are only kept: integers, bool, complex numbers, further floats."""

FOREIGN = (*FLOATS[3:], "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
"""Types that NumPy knows through ml_dtypes only."""

HALVES = {"complex64": "float32", "complex128": "float64"}
"""Complex types, with that of their real and imaginary parts."""

_ITEMSIZES = {name: 2 if name == "bfloat16" else 1 for name in FOREIGN}


def dtype_of(name: str) -> np.dtype:
    """Return the NumPy dtype called ``name``.

    Raises:
        MissingPackage: for a type of ml_dtypes where that is not installed.

    >>> dtype_of("bfloat16").itemsize
    2
    """
    if name in FOREIGN:
        try:
            import ml_dtypes
        except ImportError:
            raise MissingPackage(f"{name} needs ml_dtypes: pip install ml_dtypes") from None
        kind: np.dtype = np.dtype(getattr(ml_dtypes, name))
        return kind
    return np.dtype(name)


def itemsize(name: str) -> int:
    """Return the bytes of an element of the type called ``name``, which need not be at hand."""
    return _ITEMSIZES.get(name) or np.dtype(name).itemsize


def largest(name: str) -> float:
    """Return the largest number of the floating type called ``name``.

    >>> largest("float16"), largest("float8_e4m3fn")
    (65504.0, 448.0)
    """
    if name in FOREIGN:
        import ml_dtypes

        return float(ml_dtypes.finfo(dtype_of(name)).max)
    return float(np.finfo(name).max)
