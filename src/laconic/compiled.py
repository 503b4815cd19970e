"""Machine code from typed Python where Numba is there, and plain Python where it is not.

A reader of files needs NumPy alone: what would be slow in plain Python has a way of its own in vectors, taken where
`COMPILED` is false.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

try:
    import numba
except ImportError:  # none installed, or one that does not go with this NumPy
    numba = None  # type: ignore[assignment]

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILED = numba is not None
"""Whether `compiled` compiles."""


def compiled(function: Function) -> Function:
    """Compile ``function`` at its first call, keep the result on disk, and let other threads run meanwhile.

    Arguments must come as one kind of array at every call, or it is compiled again
    (`laconic.format.coding.packing.frozen`).

    >>> compiled(lambda x: x + 1)(1)
    2
    """
    if numba is None:
        return function
    try:
        return cast(Function, numba.njit(cache=function.__name__ != "<lambda>", nogil=True)(function))
    except RuntimeError:  # no folder to keep it in
        return cast(Function, numba.njit(nogil=True)(function))


def inlined(function: Function) -> Function:
    """Compile ``function`` into every compiled function that calls it."""
    if numba is None:
        return function
    return cast(Function, numba.njit(nogil=True, forceinline=True)(function))
