"""Notes in every process of a test run which mutants' lines and which kernels it reaches (`mutant_reach.py`).

Python imports a module of this name at its start. Probes are put into sources as they are imported, and not on the
disk, so that what Numba keeps for the sources stays valid.
"""

import atexit
import builtins
import json
import os
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any


def main(probes: Path, notes: Path) -> None:
    """Put the probes in place, and write what they meet at once: not every process ends as it should."""
    sources: dict[str, str] = json.loads(probes.read_text(encoding="utf-8"))
    seen: set[int] = set()
    note = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    plain = SourceFileLoader.get_data

    def get_data(self: SourceFileLoader, path: str) -> bytes:
        return sources[path].encode() if path in sources else plain(self, path)

    def reached(number: int) -> bool:
        if number not in seen:
            seen.add(number)
            os.write(note, f"mutant {number}\n".encode())
        return False

    def end() -> None:
        os.write(note, "".join(f"kernel {name}\n" for name in kernels()).encode())

    SourceFileLoader.get_data = get_data  # type: ignore[assignment, method-assign]
    builtins.__reached__ = reached  # type: ignore[attr-defined]
    atexit.register(end)


def kernels() -> set[str]:
    """Return file and name of every kernel that has run, and of every one that such a kernel refers to."""
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "laconic"]
    found: set[str] = set()
    waiting = [value for module in modules for value in vars(module).values() if _is_kernel(value) and value.overloads]
    while waiting:
        function = waiting.pop().py_func
        name = f"{function.__code__.co_filename}::{function.__qualname__}"
        if name not in found:
            found.add(name)
            waiting += _callees(function)
    return found


def _callees(function: Any) -> Iterator[Any]:
    """Give the kernels that a function refers to, by their names or as attributes of modules."""
    names = function.__code__.co_names
    values = [function.__globals__.get(name) for name in names]
    values += [cell.cell_contents for cell in function.__closure__ or ()]
    for value in values:
        owned = [getattr(value, name, None) for name in names] if type(value) is type(sys) else []
        yield from (found for found in (value, *owned) if _is_kernel(found))


def _is_kernel(value: Any) -> bool:
    return type(value).__module__.startswith("numba.") and hasattr(value, "py_func") and hasattr(value, "overloads")


if "MUTANT_NOTES" in os.environ:
    main(Path(os.environ["MUTANT_PROBES"]), Path(os.environ["MUTANT_NOTES"]))
