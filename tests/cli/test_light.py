"""What is over at once imports nothing that takes time: help, versions, and the account of a small file."""

import json
import subprocess
import sys

import laconic
from laconic.cli import COMMANDS

RUN = """
import json, sys
from laconic.cli import run
heavy, *commands = json.loads(sys.argv[1])
for command in commands:
    assert run(command) == 0, command
    loaded = {name for name in heavy if name in sys.modules}
    assert not loaded, f"{command} loaded {loaded}"
"""


def light(heavy, *commands):
    """Run the commands in one process, which must not load any of ``heavy``; return what it prints."""
    script = [sys.executable, "-c", RUN, json.dumps([heavy, *commands])]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_help_and_no_version_imports_what_takes_time():
    helps = [[command, "--help"] for command in COMMANDS]
    shown = light(["torch", "numpy", "numba"], ["--help"], ["--version"], *helps, ["version"])
    assert f"laconic {laconic.__version__}" in shown.splitlines()


def test_the_account_of_a_small_file_compiles_nothing(call, net, tmp_path):
    for name, asked in {"grid": ["--bits", "3"], "sparse": ["--keep", "0.1", "--codebook", "4"]}.items():
        call("compress", net, "-o", tmp_path / f"{name}.lac", *asked)
        command = ["inspect", str(tmp_path / f"{name}.lac"), "--json"]
        assert json.loads(light(["torch", "numba"], command)) == json.loads(call(*command))
