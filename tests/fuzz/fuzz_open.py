"""An atheris target: any bytes, opened, listed and decoded, give `FormatError` or a sound file.

    python tests/fuzz/fuzz_open.py CORPUS -max_total_time=600 -rss_limit_mb=0 -timeout=20 -max_len=10000

No input may cost more than 10 s of a core, or more memory than 1.1 times the limit and a fixed room (`cost`). Every
input is tried as it is and with its checksums made right. The decoder without Numba is what runs: coverage is seen in
Python alone. `tests/format/test_damage.py` sends altered files through the compiled one.
"""

import resource
import sys
from pathlib import Path

ROOM = 256 << 20
"""Bytes that an input may allocate: whichever asks for more ends in a MemoryError, and is the one that is kept."""


def limit_memory() -> None:
    """Let memory end `ROOM` above what is in use."""
    used = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line[:7] == "VmData:")
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * int(used) + ROOM, resource.RLIM_INFINITY))


def main() -> None:
    """Fuzz until told otherwise; imports happen here, for pytest imports this file when it looks for doctests."""
    import atheris

    sys.modules["numba"] = None  # type: ignore[assignment]
    sys.path.insert(0, str(Path(__file__).parent))
    with atheris.instrument_imports(include=["laconic", "check", "repair"]):
        from check import LIMIT, check
        from repair import repaired
    from cost import bounded

    limit_memory()

    def one_input(data: bytes) -> None:
        for each in (data, repaired(data)):
            with bounded(LIMIT, len(each)):
                check(each)

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
