"""The examples run as they are."""

import re
import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_lc_in_a_loop_of_ones_own_beats_direct_compression(capsys):
    script = EXAMPLES / "own_loop.py"
    runpy.run_path(str(script))
    direct, lc = (float(found) for found in re.findall(r"to 2 values (\d+\.\d) %", capsys.readouterr().out))
    assert lc < direct
