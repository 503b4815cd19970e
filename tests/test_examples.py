"""The examples run as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_lc_in_a_loop_of_ones_own_beats_direct_compression():
    script = EXAMPLES / "own_loop.py"
    one = {**os.environ, "OMP_NUM_THREADS": "1"}  # with more, small batches wait for one another on a busy machine
    done = subprocess.run([sys.executable, str(script)], env=one, capture_output=True, text=True, check=True)
    direct, lc = (float(found) for found in re.findall(r"to 2 values (\d+\.\d) %", done.stdout))
    assert lc < direct
