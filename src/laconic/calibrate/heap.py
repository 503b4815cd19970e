"""What has been freed goes back to the system: a C library keeps it for later, in each thread's heap by itself."""

import ctypes


def trim() -> None:
    """Give back what is free; where the C library has no such call, as outside Linux, do nothing.

    Source: malloc_trim(3) of the GNU C library.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # no such call; no such library
        return
