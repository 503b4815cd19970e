"""What an input costs: CPU time, and memory by the peak of the process, where the system tells it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 10.0
"""CPU time of an input under 10 kB. What is fuzzed is slow and instrumented; its limit is 256 times smaller."""

SLACK = 48 << 20
"""Bytes beside those claimed: pieces of a million weights in float64, tables, what Python allocates."""

_STATUS, _REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextmanager
def bounded(limit: int, length: int) -> Iterator[None]:
    """Assert that what happens inside, with an input of ``length`` bytes, stays below the time and 1.1 times ``limit``.

    Resident memory is what counts: room that is asked for and not written to costs nothing.
    """
    before, start = _restarted(), time.process_time()
    yield
    took, used = time.process_time() - start, _resident("VmHWM") - before
    if length < 10_000:
        assert took <= SECONDS, f"{length} bytes took {took:.1f} s"
        assert used <= 1.1 * limit + SLACK, f"{length} bytes took {used:,} bytes of memory, the limit being {limit:,}"


def _restarted() -> int:
    """Return the resident bytes, from which the peak is counted from now on."""
    try:
        _REFS.write_text("5")
    except OSError:  # not told here: the peak is then that of the process, and only a new one counts
        return _resident("VmHWM")
    return _resident("VmRSS")


def _resident(key: str) -> int:
    """Return a number of bytes of the process by its name in the kernel's table."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return 1024 * int(line.split()[1])
