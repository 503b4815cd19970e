"""An atheris target: any bytes, opened, listed and decoded, give `FormatError` or a sound file.

    python tests/fuzz/fuzz_open.py CORPUS -max_total_time=600 -rss_limit_mb=2048 -timeout=20

Every input is tried as it is and with its checksums made right. The decoder without Numba is what runs: coverage is
seen in Python alone. `tests/test_damage.py` sends altered files through the compiled one.
"""

import sys
from pathlib import Path


def main() -> None:
    """Fuzz until told otherwise; imports happen here, for pytest imports this file when it looks for doctests."""
    import atheris

    sys.modules["numba"] = None  # type: ignore[assignment]
    sys.path.insert(0, str(Path(__file__).parent))
    with atheris.instrument_imports(include=["laconic", "check", "repair"]):
        from check import check
        from repair import repaired

    def one_input(data: bytes) -> None:
        check(data)
        check(repaired(data))

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
