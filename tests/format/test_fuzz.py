"""Seconds of coverage-guided fuzzing; `make fuzz` takes ten minutes."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.make_corpus import make

TARGET = Path(__file__).parents[1] / "fuzz" / "fuzz_open.py"


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info >= (3, 14), reason="there is no atheris for it")
def test_seconds_of_fuzzing_find_nothing(tmp_path):
    assert make(tmp_path / "seeds") > 20
    (tmp_path / "found").mkdir()
    # No limit on the resident set, which begins with the peak of the process that starts it; `fuzz_open` has its own.
    limits = ["-max_total_time=2", "-seed=1", "-rss_limit_mb=0", "-timeout=20", "-max_len=10000"]
    command = [sys.executable, TARGET, *limits, f"-artifact_prefix={tmp_path}/", tmp_path / "found", tmp_path / "seeds"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "DONE" in done.stderr
    print(done.stderr.strip().splitlines()[-1])
