"""`laconic shrink`: from a file to one of a smaller network, which every command takes."""

from pathlib import Path

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of

from .commands import EFFORTS, parsed

DIGITS = ["--net", "lenet300", "--data", "digits"]


@pytest.fixture
def emptied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = nets.build("lenet300", (1, 8, 8))
    with torch.no_grad():
        module.fc1.weight[40:] = 0
        module.fc1.weight[:, :8] = 0
    save_checkpoint(tmp_path / "net.safetensors", params_of(module), {})
    return module


@pytest.mark.parametrize("source", ["net.safetensors", "net.lac"])
def test_a_smaller_network_is_evaluated_as_the_one_it_was(call, emptied, source):
    call("compress", "net.safetensors", *DIGITS, "-o", "net.lac", "--keep", "0.6")
    told = parsed(call("shrink", source, *DIGITS, "-o", "small.lac", "--json"))
    assert told["multiply_adds_before"] == 64 * 300 + 300 * 100 + 100 * 10, "of one input"
    assert told["multiply_adds_before"] > 4 * told["multiply_adds"]
    assert told["difference"] < 1e-5
    before, after = (parsed(call("evaluate", name, *DIGITS, "--json")) for name in (source, "small.lac"))
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert after["error"] == before["error"]
    loaded = laconic.load("small.lac", nets.build("lenet300", (1, 8, 8)))
    assert (loaded.fc1.in_features, loaded.fc1.out_features) == (56, 40)
    assert "shrunk: 3 tensors smaller, 1 layer with some inputs\n" in call("inspect", "small.lac")
    call("decompress", "small.lac", "-o", "small.safetensors")
    assert parsed(call("evaluate", "small.safetensors", *DIGITS, "--json"))["loss"] == after["loss"]


def test_what_cannot_be_shrunk_is_refused_with_the_reason_and_nothing_is_written(call, emptied, tmp_path, capsys):
    full = nets.build("lenet300", (1, 8, 8))
    save_checkpoint(tmp_path / "full.safetensors", params_of(full), {})
    call("shrink", "net.safetensors", *DIGITS, "-o", "small.lac", "--quiet")
    for arguments, message in (
        (["full.safetensors", *DIGITS], "no neuron, filter, channel or head is empty"),
        (["small.lac", *DIGITS], "a smaller one already"),
        (["net.safetensors"], "give --net"),
        (["net.safetensors", "--net", "lenet300"], "shape is (300, 784), not (300, 64)"),
        (["net.safetensors", "--net", "lenet3000"], "did you mean"),
    ):
        assert run(["shrink", *arguments, "-o", "out.lac"]) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out.lac").exists()
    assert run(["shrink", "net.safetensors", *DIGITS, "-o", "small.lac"]) == 1
    assert "small.lac" in capsys.readouterr().err


@pytest.mark.parametrize("how", [[], ["--bits", "4"], EFFORTS["lc"], ["--bits", "4", *EFFORTS["lc"]]])
def test_neurons_that_a_plan_prunes_take_along_what_shrinking_removes(call, emptied, how):
    Path("plan.toml").write_text('[tensors]\n"fc1.weight, fc2.weight" = { filters = 0.1 }\n')
    call("compress", "net.safetensors", *DIGITS, "-o", "net.lac", "--plan", "plan.toml", "--coupled", *how)
    told = parsed(call("shrink", "net.lac", *DIGITS, "-o", "small.lac", "--json"))
    assert not told["left"]
    loaded = laconic.load("small.lac", nets.build("lenet300", (1, 8, 8)))
    assert [layer.out_features for layer in (loaded.fc1, loaded.fc2, loaded.fc3)] == [30, 10, 10]


def test_what_goes_along_needs_a_plan_that_prunes_groups_and_a_network(call, emptied, capsys):
    compress = ["compress", "net.safetensors", "-o", "out.lac", "--coupled"]
    Path("plan.toml").write_text('[tensors]\n"fc1.weight" = { filters = 0.25 }\n')
    Path("other.toml").write_text('[tensors]\n"fc1.weight" = { keep = 0.25 }\n')
    for arguments, message in (
        (["--bits", "3", *DIGITS], "--coupled goes with a --plan"),
        (["--effort", "calibrate", "--bits", "3", *DIGITS], "--coupled goes with a --plan"),
        (["--plan", "other.toml", *DIGITS], "there is nothing to couple"),
        (["--plan", "plan.toml"], "give --net"),
    ):
        assert run([*compress, *arguments]) == 1
        assert message in capsys.readouterr().err
        assert not Path("out.lac").exists()
