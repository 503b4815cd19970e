"""Threads of libraries as the tests began: benchmarks set them for themselves where they are imported."""

import os

NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables that are read when a library is loaded."""

AT_FIRST = {name: os.environ.get(name) for name in NAMES}
"""Their values before any benchmark was imported; processes that are started later shall have the same."""
