"""The file and nothing else decides the exit code: once it is written, nobody need be able to read what is said."""

import os
import subprocess
import sys

import forked
import pytest
import torch

import laconic
from laconic.models.checkpoints import save_checkpoint

from .commands import parsed

CHILD = """
import os, sys
from laconic.__main__ import main

def into(number, place):
    os.dup2(place, number)
    os.close(place)
    setattr(sys, {1: "stdout", 2: "stderr"}[number], open(number, "w", closefd=False))

def closed():
    os.close(1)
    sys.stdout = None

def nobody_reads():
    reader, writer = os.pipe()
    os.close(reader)
    into(1, writer)

def full():
    into(1, os.open("/dev/full", os.O_WRONLY))
    into(2, os.open("/dev/full", os.O_WRONLY))

def a_terminal_that_goes_away():
    terminal, own = os.openpty()
    into(2, os.dup(own))
    into(1, own)
    assert sys.stderr.isatty()
    os.close(terminal)

def ascii():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="ascii", errors="strict")

code, place = 0, sys.argv.pop(1)
globals()[place]()
try:
    main()
except SystemExit as end:
    code = end.code
for stream in (sys.stdout, sys.stderr):  # as Python does at its end, which then fails
    if stream is not None:
        stream.flush()
sys.exit(code)
"""

PLACES = ["closed", "nobody_reads", "full", "a_terminal_that_goes_away", "ascii"]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("unread") / "net.safetensors"
    save_checkpoint(path, {"μ‖w‖ \U0001f600": torch.randn(30, 30), "b": torch.ones(30)}, {"net": "θ"})
    return path


@pytest.fixture
def started(tmp_path_factory):
    """Function: place of the output and arguments → exit code, output and errors of a process of its own."""
    folder = tmp_path_factory.mktemp("said")
    return lambda place, *arguments: forked.run(CHILD, place, *arguments, folder=folder)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and terminals of Linux")
@pytest.mark.parametrize("place", PLACES)
def test_what_has_been_written_is_no_failure(started, net, tmp_path, place):
    file = tmp_path / "Δ.lac"
    code, out, err = started(place, "compress", net, "-o", file, "--table")
    assert code == 0
    assert ("could not be shown" in err) if place == "closed" else err == ""
    assert laconic.load(file).keys() == {"μ‖w‖ \U0001f600", "b"}
    if place == "ascii":
        assert "\\U0001f600" in out
        assert "\\u0394.lac" in out
    assert started(place, "compress", net, "-o", file, "--table")[0] == 1, "it is there already"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is of Linux")
def test_what_only_says_something_fails_where_it_cannot(started, net, call, tmp_path):
    call("compress", net, "-o", tmp_path / "a.lac", "--codebook", "2")
    for place in ("closed", "nobody_reads", "full"):
        assert started(place, "inspect", tmp_path / "a.lac")[0] == 1
    assert started("ascii", "inspect", tmp_path / "a.lac")[::2] == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is of Linux")
def test_the_end_of_a_process_is_no_failure_either(net, call, tmp_path):
    """Python flushes what it holds as it ends, and fails with 120 where it cannot."""
    call("compress", net, "-o", tmp_path / "a.lac", "--codebook", "2")
    command = [sys.executable, "-m", "laconic", "decompress", tmp_path / "a.lac", "-o", tmp_path / "a.safetensors"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stdout=full, stderr=full, check=False).returncode == 0
    assert os.path.exists(tmp_path / "a.safetensors")


def test_every_tensor_is_shown_the_worst_first(call, net, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    torch.manual_seed(0)
    tensors = {"good": torch.randn(40, 40), "bad": torch.cat([torch.randn(2, 40), torch.zeros(38, 40)]) / 99}
    save_checkpoint(tmp_path / "a.safetensors", {**tensors, "b": torch.ones(7)}, {})
    arguments = ("compress", tmp_path / "a.safetensors", "-o", tmp_path / "a.lac", "--keep", "0.5", "--force")
    record, account = parsed(call(*arguments, "--json")), parsed(call("inspect", tmp_path / "a.lac", "--json"))
    found, back = record["tensors"], laconic.load(tmp_path / "a.lac")
    assert [each["name"] for each in found] == ["bad", "good", "b", "(header)"]
    assert sum(each["bytes"] for each in found) == record["bytes"]
    assert {each["name"]: each["bytes"] for each in found} == {e["name"]: e["bytes"] for e in account["tensors"]}
    for each in found[:3]:
        old, new = {**tensors, "b": torch.ones(7)}[each["name"]].double(), back[each["name"]].double()
        assert each["zeros"] == pytest.approx(float((new == 0).double().mean()))
        assert each["bits_per_weight"] == 8 * each["bytes"] / old.numel()
        lost = float((old - new).square().sum())
        assert each["snr"] == (pytest.approx(10 * float(torch.log10(old.square().sum() / lost))) if lost else None)
    shown = call(*arguments, "--table")
    places = [shown.index(f"│ {each['name']} ") for each in found]
    assert places == sorted(places)
    assert "exact" in shown
    assert shown.splitlines()[-1 - len(record["weak"])].startswith(("wrote", "least"))
    assert "│" not in call(*arguments)
