"""Machine code from typed Python: Numba's decorator with a type."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile ``function`` at its first call, keep the result on disk, and let other threads run meanwhile.

    >>> compiled(lambda x: x + 1)(1)
    2
    """
    cache = function.__name__ != "<lambda>"
    return cast(Function, numba.njit(cache=cache, nogil=True)(function))


def inlined(function: Function) -> Function:
    """Compile ``function`` into every compiled function that calls it."""
    return cast(Function, numba.njit(nogil=True, forceinline=True)(function))
