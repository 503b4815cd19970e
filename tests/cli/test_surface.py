"""What holds for every command: help, exit codes, what is printed where, and that reading needs no torch."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import laconic
from laconic.cli import COMMANDS, SPINS, main, run
from laconic.cli.console import Output
from laconic.deploy import export
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

from .commands import EFFORTS, TRAIN, parsed


def test_threads_that_wait_leave_the_processor_unless_the_user_says_otherwise(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["laconic", "version"])
    for given in ({}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}):
        monkeypatch.setattr(os, "environ", given.copy())
        with pytest.raises(SystemExit, match="0"):
            main()
        assert os.environ == (given or {"GOMP_SPINCOUNT": str(SPINS)})
    assert capsys.readouterr().out.count("laconic") >= 3


# --- the surface -----------------------------------------------------------------------------------


def test_without_arguments_there_is_help(capsys):
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert all(name in out for name in COMMANDS)
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_can_be_copied(call, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    shown = call(command, "--help")
    assert call(command, "-h") == shown
    lines = [line.strip() for line in shown.splitlines()]
    examples = [line for line in lines if line.startswith(f"laconic {command}")]
    assert examples, shown
    module = importlib.import_module(f"laconic.cli.{command}")
    written = re.findall(rf"^\s+(laconic {command}.*)$", module.command.__doc__, re.MULTILINE)
    assert examples == written, "an example is wrapped"
    options = {word.partition("=")[0] for example in examples for word in shlex.split(example) if word[0] == "-"}
    assert options <= set(re.findall(r"--?[a-z][a-z-]*", shown.partition("Options")[2]))
    assert "--json" in shown
    assert "--quiet" in shown


def test_the_list_of_commands_says_what_each_does(call):
    shown = call("--help")
    assert all(re.search(rf"{name}\s+{summary.split()[0]}", shown) for name, summary in COMMANDS.items())


@pytest.mark.parametrize(
    "arguments",
    [
        ["squeeze"],
        ["version", "--loud"],
        ["inspect"],
        ["compress", "net.safetensors"],
        ["compress", "net.safetensors", "-o", "a.lac", "--codebook", "0"],
        ["compress", "net.safetensors", "-o", "a.lac", "--codebook", "four"],
        ["compress", "net.safetensors", "-o", "a.lac", "--keep", "1.5"],
        ["compress", "net.safetensors", "-o", "a.lac", "--effort", "heroic"],
        ["evaluate", "net.lac", "--split", "holdout"],
        ["train", "-o", "a.safetensors", "--batch", "0"],
        ["demo", "--seeds", "0"],
    ],
    ids=" ".join,
)
def test_errors_of_usage(capsys, arguments):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: laconic")
    assert "Traceback" not in err


def test_interrupts(monkeypatch, capsys, net, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    run(["compress", "--help"])
    monkeypatch.setattr("laconic.cli.jobs.compress.opened", interrupt)
    capsys.readouterr()
    assert run(["compress", str(net), "-o", str(tmp_path / "a.lac"), "--codebook", "2"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_version(call):
    found = parsed(call("version", "--json"))
    assert found["laconic"] == laconic.__version__
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert f"laconic {laconic.__version__}" in call("version").splitlines()
    assert call("version", "--quiet") == ""


WITHOUT_TORCH = """
import json, sys
heavy = ["torch", "sklearn", "matplotlib", "jaxtyping"]
commands, installed = json.loads(sys.argv[1])
if not installed:
    sys.modules.update(dict.fromkeys(heavy))
from laconic.cli import run
codes = []
for command in commands:
    codes.append(run(command))
    loaded = [name for name in heavy if sys.modules.get(name)]
    if loaded:
        sys.exit(f"{command} loaded {loaded}")
print(json.dumps(codes))
"""


@pytest.mark.parametrize("installed", [True, False], ids=["not imported", "not installed"])
def test_the_decoder_needs_no_torch(call, published, tmp_path, installed):
    file, grid = str(tmp_path / "a.lac"), str(tmp_path / "grid.lac")
    call("compress", published, "-o", file, "--keep", "0.1", "--codebook", "4")
    call("compress", published, "-o", grid, "--bits", "3")
    commands = [["version"], ["inspect", file], ["decompress", file, "-o", str(tmp_path / "a.safetensors")], ["--help"]]
    commands += [["decompress", grid, "-o", str(tmp_path / "grid.safetensors")]]
    refused = [] if installed else [["evaluate", str(published)]]
    script = [sys.executable, "-c", WITHOUT_TORCH, json.dumps([[*commands, *refused], installed])]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 0, 0, 0, 0, *[1 for _ in refused]]
    back, expected = load_checkpoint(tmp_path / "grid.safetensors")[0], laconic.load(grid)
    assert all(torch.equal(back[name], tensor) for name, tensor in expected.items())
    assert done.stderr == ("error: evaluate needs torch: pip install 'laconic[torch]'\n" if refused else "")


def test_the_installed_command_and_the_module():
    for command in ([str(Path(sys.executable).with_name("laconic"))], [sys.executable, "-m", "laconic"]):
        if Path(command[0]).exists():
            done = subprocess.run([*command, "version", "--json"], capture_output=True, text=True, check=True)
            assert parsed(done.stdout)["laconic"] == laconic.__version__


# --- compress, inspect, evaluate, decompress --------------------------------------------------------


def test_same_seed_same_bytes(call, net, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        call("compress", net, "-o", tmp_path / f"{name}.lac", "--codebook", "2", *EFFORTS["lc"], "--seed", seed)
        call(*TRAIN, "-o", tmp_path / f"{name}.safetensors", "--seed", seed)
        call("decompress", tmp_path / "a.lac", "-o", tmp_path / f"{name}-back.safetensors")
    for suffix in (".lac", ".safetensors"):
        a, b, c = ((tmp_path / (name + suffix)).read_bytes() for name in "abc")
        assert a == b != c
    assert len({(tmp_path / f"{name}-back.safetensors").read_bytes() for name in "abc"}) == 1


def test_quiet_is_silent_and_json_is_all(net, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = (
        [*TRAIN[:-1], "-o", "a.safetensors"],
        ["compress", str(net), "-o", "a.lac", "--codebook", "2"],
        ["compress", str(net), "-o", "b.lac", "--codebook", "2", *EFFORTS["lc"]],
        ["inspect", "a.lac"],
        ["techniques"],
        ["techniques", "keep"],
        ["plan", "a.safetensors", "--rank", "3"],
        ["evaluate", "a.lac"],
        ["decompress", "a.lac", "-o", "b.safetensors"],
        ["shrink", "low.lac", "-o", "small.lac"],
        ["export", "small.lac", "-o", "small.onnx", "--samples", "9", "--original", str(net)],
        ["compress", str(net), "-o", "c.lac", "--choose", "--params", "3K", "--quality", "fast"],
        ["profile", "--quick", "--threads", "1", "-o", "here.toml"],
        ["version"],
    )
    monkeypatch.setattr(export, "SECONDS", 0.0)
    assert run(["compress", str(net), "-o", "low.lac", "--rank", "3", "--quiet"]) == 0
    for command in commands:
        force = ["--force"] if "-o" in command else []
        assert run([*command, "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")
        assert run([*command, *force]) == 0
        out, err = capsys.readouterr()
        assert out
        assert err == "", "a progress bar where nobody watches"
        for quiet in ([], ["--quiet"]):
            assert run([*command, *force, "--json", *quiet]) == 0
            out, err = capsys.readouterr()
            assert isinstance(parsed(out), dict)
            assert err == ""


def test_progress_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with Output(json=False, quiet=False).progress("starting", 100) as tick:
        tick(50, "step 18/20, μ 0.069, loss 0.2417, gap 0.444, 12.34% moved")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    shown = [line for line in re.split(r"[\r\n]", shown) if line.strip()][-1]
    assert "step 18/20, μ 0.069, loss 0.2417, gap 0.444" in shown
    assert re.search(r" 50% (\d:\d\d:\d\d|-:--:--) left", shown), shown


def test_names_are_printed_as_they_are(call, tmp_path, monkeypatch):
    """Neither markup nor emoji nor line breaks, whatever the names are like."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    name = "[bold]layers[0]:smile:[/x]"
    save_checkpoint(Path(":ok:.safetensors"), {name: torch.ones(2, 3)}, {"net": "[red]:no:"})
    assert "wrote :ok:.lac" in call("compress", ":ok:.safetensors", "-o", ":ok:.lac", "--codebook", "2")
    shown = call("inspect", ":ok:.lac")
    assert name in shown
    assert ":ok:.lac ([red]:no:)" in shown
    assert parsed(call("inspect", ":ok:.lac", "--json"))["tensors"][0]["name"] == name
