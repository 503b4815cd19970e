"""Machine code from typed Python where Numba is there, and plain Python where it is not.

A reader of files needs NumPy alone: what would be slow in plain Python has a way of its own in vectors, taken where
`COMPILED` is false. Numba is imported with the first module that has something to compile, and not at all after
`spare`: to load it takes a second, in which vectors have read a hundred million weights.

Machine code is kept on disk. Numba looks at the file of a function alone when it asks whether what is kept is still
true, but a function holds the code of those it calls, and the constants it was compiled with, wherever they are from.
Here what is kept goes by all of these: see `sources`.
"""

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from laconic import interrupts

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILED: bool
"""Whether `compiled` compiles; known when it is first asked for."""

_spared = False
_SOURCES: dict[str, str] = {}  # module → what its compiled functions are made of, as it was when it was imported
_LOG = logging.getLogger(__name__)


def spare() -> None:
    """Compile nothing in this process, unless something has been."""
    global _spared
    _spared = True


def __getattr__(name: str) -> Any:
    if name == "COMPILED":
        return _numba() is not None
    raise AttributeError(f"module 'laconic.compiled' has no attribute {name!r}")


@cache
def _numba() -> Any:
    """Return Numba; None where it is spared, not installed, or does not go with this NumPy."""
    try:
        return None if _spared else import_module("numba")
    except ImportError:
        return None


def compiled(function: Function) -> Function:
    """Compile ``function`` at its first call, keep the result on disk, and let other threads run meanwhile.

    Arguments must come as one kind of array at every call, or it is compiled again
    (`laconic.format.coding.packing.frozen`).

    >>> compiled(lambda x: x + 1)(1)
    2
    """
    numba = _numba()
    if numba is None:
        return function
    dispatcher: Any = numba.njit(nogil=True)(function)
    stamp = sources(function)
    if function.__name__ != "<lambda>":
        try:
            dispatcher._cache = _kept(stamp)(function)
        except RuntimeError:  # no folder to keep it in
            pass
    return cast(Function, dispatcher)


def inlined(function: Function) -> Function:
    """Compile ``function`` into every compiled function that calls it."""
    numba = _numba()
    if numba is None:
        return function
    sources(function)
    return cast(Function, numba.njit(nogil=True, forceinline=True)(function))


def sources(function: Callable[..., Any]) -> str:
    """Return a hash of what the machine code of ``function`` depends on, the same for all functions of its module.

    That is the text of its module, that of the modules whose compiled functions it has imported, directly or not, and
    the constants that it has imported, whatever module they are from.

    Raises:
        OSError: when the file of the module cannot be read.
    """
    module = function.__module__
    if module not in _SOURCES:
        hashed = hashlib.sha256(module.encode())
        path = Path(function.__code__.co_filename)
        hashed.update(path.read_bytes() if path.is_file() else function.__code__.co_code)
        for name, value in sorted(function.__globals__.items()):
            if not name.startswith("__"):  # of Python's own some say where the module is, and who has imported it
                hashed.update(f"\n{name} {_told(value)}".encode())
        _SOURCES[module] = hashed.hexdigest()
    return _SOURCES[module]


def _told(value: object) -> str:
    """Return what compiled functions see of a global: of a compiled function its sources, of a constant its value."""
    if hasattr(value, "py_func"):
        return _SOURCES.get(value.py_func.__module__, "")
    if isinstance(value, (bool, int, float, complex, str, bytes, tuple)):
        return repr(value)
    if hasattr(value, "tobytes"):  # arrays and scalars of NumPy
        return f"{getattr(value, 'dtype', '')} {value.tobytes().hex()}"
    return ""


def _kept(stamp: str) -> Callable[[Callable[..., Any]], Any]:
    """Return the class of caches on disk whose content is true as long as ``stamp`` is the same."""
    caching = import_module("numba.core.caching")

    class Implementation(caching.CompileResultCacheImpl):  # type: ignore[misc, name-defined]
        @property
        def locator(self) -> Any:
            located = super().locator
            located.get_source_stamp = lambda: stamp
            return located

    class Kept(caching.FunctionCache):  # type: ignore[misc, name-defined]
        _impl_class = Implementation

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            loaded = super().load_overload(sig, target_context)
            interrupts.check()  # LLVM calls Python back, where an interrupt is dropped
            if loaded is None:
                _say_once()
            return loaded

        def save_overload(self, sig: Any, data: Any) -> None:
            interrupts.check()
            super().save_overload(sig, data)

    return Kept


@cache
def _say_once() -> None:
    """Log that compiling takes a while, at the first function that is compiled."""
    _LOG.info("compiling for this machine, which takes some seconds the first time")
