"""Options, data and places that do not fit: one clear line, and everything else as it was."""

import errno
import sys
from pathlib import Path

import forked
import pytest

from laconic.cli import run
from laconic.format import files
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of

from .folders import DIGITS, contents


def test_weights_that_do_not_say_what_they_are(refused):
    save_checkpoint(Path("bare.safetensors"), params_of(nets.build("lenet300", (1, 8, 8))), {})
    assert "--net" in refused("evaluate", "bare.safetensors")
    assert "--data" in refused("evaluate", "bare.safetensors", "--net", "lenet300")
    assert "did you mean 'lenet300'" in refused("evaluate", "bare.safetensors", "--net", "lenet30", "--data", "digits")


# --- options ----------------------------------------------------------------------------------------

PLANS = {
    "dead pattern": ('[tensors]\n"conv*" = { codebook = 4 }\n[rest]\nlossless = true', "'conv*' matches no tensor"),
    "two rows": ('[tensors]\n"fc*" = { codebook = 4 }\n"fc1.*" = { keep = 0.1 }', "fc1.weight is on the rows"),
    "unknown kind": ("[rest]\nmagic = true", "rest: one of lossless"),
    "bad value": ("[rest]\ncodebook = 0", "entries must be at least 1"),
    "no TOML": ("tensors: fc1", "not TOML"),
    "vectors of low rank": ("[rest]\nrank = 2", "fc1.bias: view"),
}


@pytest.mark.parametrize("plan", PLANS)
def test_plans_that_do_not_fit(net, refused, plan):
    Path("plan.toml").write_text(PLANS[plan][0])
    assert PLANS[plan][1] in refused("compress", net, "-o", "out.lac", "--plan", "plan.toml")


CONFLICTS = {
    "training to nothing": (["--effort", "train"], "say what becomes of the weights"),
    "two budgets": (["--bits", "3", "--size", "1KB"], "a budget is named once"),
    "a budget and a plan": (["--bits", "3", "--codebook", "2"], "--bits does not go with --codebook"),
    "a budget and training": (["--ratio", "9", "--effort", "train"], "--ratio does not go with --effort train"),
    "quality without a budget": (["--quality", "max", "--keep", "0"], "--quality does not go with --keep"),
    "keep and rank": (["--keep", "0.1", "--rank", "2"], "--keep and --rank"),
    "plan and codebook": (["--plan", "plan.toml", "--codebook", "2"], "leave out --codebook"),
    "plan and keep": (["--plan", "plan.toml", "--keep", "0.1"], "leave out"),
    "no plan": (["--plan", "none.toml"], "none.toml cannot be read"),
    "per tensor": (["--codebook", "2", "--per-tensor"], "--per-tensor goes with --keep"),
    "task and net": (["--codebook", "2", "--effort", "train", "--task", "a:b", "--net", "lenet300"], "leave out --net"),
    "idle method": (["--codebook", "2", "--method", "idc"], "--method: only --effort train takes this"),
    "idle resume": (["--codebook", "2", "--resume", "--steps", "3"], "--steps, --resume: only --effort train"),
    "lr": (["--codebook", "2", "--effort", "train", "--lr", "0"], "lr must be above 0"),
    "mu": (["--codebook", "2", "--effort", "train", "--mu", "-1"], "μ must start above 0"),
    "name of the output": (["-o", "out.safetensors", "--codebook", "2"], "give it that suffix"),
}


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_options_that_do_not_go_together(net, refused, conflict):
    options, expected = CONFLICTS[conflict]
    Path("plan.toml").write_text("[rest]\nlossless = true")
    assert expected in refused("compress", net, "-o", "out.lac", *options)


def test_outputs_named_as_another_format(net, lac, refused):
    for command in (["train", *DIGITS], ["decompress", lac]):
        for name in ("out.pt", "out.lac"):
            assert "give it that suffix" in refused(*command, "-o", name)


FACTORIES = """
import torch
def nothing(): return None
def needs(something): return None
def broken(): return torch.no_such_thing
"""


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("no_such_module:make", "no_such_module"),
        ("factories_of_tasks", "package.module:factory"),
        ("factories_of_tasks:absent", "absent"),
        ("factories_of_tasks:nothing", "returned NoneType"),
        ("factories_of_tasks:needs", "without arguments"),
        ("factories_of_tasks:broken", "no_such_thing"),
        (":make", "package.module:factory"),
        (".relative:make", "package.module:factory"),
    ],
)
def test_factories_that_make_no_task(net, refused, factory, expected):
    Path("factories_of_tasks.py").write_text(FACTORIES)
    assert run(["version", "--quiet"]) == 0
    path = list(sys.path)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        assert expected in refused("evaluate", net, "--task", factory)
    finally:
        sys.dont_write_bytecode = before
    assert sys.path == path


def test_data_that_are_not_there(net, refused, folder):
    bare = "bare.safetensors"
    save_checkpoint(Path(bare), params_of(nets.build("lenet300")), {})
    evaluate = ("evaluate", bare, "--net", "lenet300", "--data", "mnist")
    said = refused(*evaluate)
    assert "--data-dir" in said
    assert "LACONIC_DATA" in said
    said = refused(*evaluate, "--data-dir", "nowhere")
    assert str(Path("nowhere", "mnist")) in said
    assert "train-images" in said
    assert "--data-dir" in said
    assert "nowhere" in refused("train", *evaluate[2:], "--data-dir", "nowhere", "-o", "out.safetensors")
    assert "digitz" in refused("train", "--net", "lenet300", "--data", "digitz", "-o", "out.safetensors")


# --- outputs ----------------------------------------------------------------------------------------


def test_existing_files_are_not_overwritten(net, lac, refused, capsys):
    for name in ("old.lac", "old.safetensors"):
        Path(name).write_text("precious")
    train = [*DIGITS, "--epochs", "1"]
    commands = (
        ["compress", net, "-o", "old.lac", "--codebook", "2"],
        ["compress", net, "-o", "old.lac", "--codebook", "2", "--effort", "train"],
        ["decompress", lac, "-o", "old.safetensors"],
        ["train", *train, "-o", "old.safetensors"],
    )
    for command in commands:
        assert "--force" in refused(*command)
    for command in (commands[0], commands[2]):
        assert run([*command, "--force", "--quiet"]) == 0
        Path(command[3]).write_text("precious")


def test_a_folder_is_no_output(net, lac, refused):
    Path("old").mkdir()
    for force in ([], ["--force"]):
        assert "old is a folder" in refused("compress", net, "-o", "old", "--codebook", "2", *force)
        assert "old is a folder" in refused("decompress", lac, "-o", "old", *force)


def test_demo_needs_a_folder_of_its_own(refused):
    Path("file").write_text("precious")
    assert "file is a file" in refused("demo", "-o", "file")
    Path("full").mkdir()
    Path("full", "report.md").write_text("precious")
    assert "--force" in refused("demo", "-o", "full")


def test_places_that_cannot_be_written(net, lac, refused):
    Path("plain").write_text("a file")
    said = refused("compress", net, "-o", "plain/sub/out.lac", "--codebook", "2")
    assert "'plain/sub'" in said
    for command in (["decompress", lac], ["train", *DIGITS, "--epochs", "1"]):
        assert "plain is a file, not a folder" in refused(*command, "-o", "plain/out.safetensors")
    if Path("/proc").is_dir():
        for name in ("/proc/out.lac", "/proc/sub/out.lac"):
            assert "/proc" in refused("compress", net, "-o", name, "--codebook", "2")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk(net, lac, refused, monkeypatch, call):
    Path("old.lac").write_text("precious")
    Path("old.safetensors").write_text("precious")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    train = ["--effort", "train", "--steps", "1", "--finetune", "1"]
    for command in (
        ["compress", net, "-o", "old.lac", "--codebook", "2"],
        ["compress", net, "-o", "old.lac", "--codebook", "2", *train],
        ["decompress", lac, "-o", "old.safetensors"],
        ["train", *DIGITS, "--epochs", "1", "-o", "old.safetensors"],
    ):
        assert "No space left" in refused(*command, "--force")


def test_a_limit_on_file_sizes(net, lac, tmp_path_factory):
    """A process that really cannot write more than a few bytes."""
    Path("old.safetensors").write_text("precious")
    before = contents()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); {forked.COMMAND}"
    arguments = ["decompress", lac, "-o", "old.safetensors", "--force"]
    code, _, err = forked.run(limited, *arguments, folder=tmp_path_factory.mktemp("said"))
    assert code == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert contents() == before
