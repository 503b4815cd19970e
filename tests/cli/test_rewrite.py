"""`laconic rewrite`: a checkpoint that every other command takes as it is."""

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.models import nets
from laconic.models.checkpoints import load_checkpoint, save_checkpoint
from laconic.models.params import params_of

from .commands import parsed

TASK = """
from torch import nn
import torch
from laconic import data, task

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.norm, self.head = nn.BatchNorm2d(16), nn.Linear(16 * 16, 10)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.b(torch.relu(self.a(x))))).flatten(1))

def make():
    return task.classification(Net(), data.load("digits", None, "pixels/16"), {})
"""


@pytest.fixture
def trained(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(TASK)
    monkeypatch.syspath_prepend(tmp_path)
    call("train", "--task", "own:make", "--epochs", "3", "--lr", "0.1", "-o", "a.safetensors", "--quiet")
    return "own:make"


def test_a_network_is_rewritten_taught_by_itself_compressed_and_read_back(call, trained):
    told = parsed(call("rewrite", "a.safetensors", "--task", trained, "-o", "b.safetensors", "--json"))
    assert [row["kind"] for row in told["layers"]] == ["separable", "separable", "pooled"]
    assert told["multiply_adds_before"] > 3 * told["multiply_adds"]
    teach = ["--from", "b.safetensors", "--distill", "a.safetensors", "--epochs", "4", "--lr", "0.1"]
    taught = parsed(call("train", "--task", trained, *teach, "-o", "c.safetensors", "--json"))
    begun = parsed(call("evaluate", "b.safetensors", "--task", trained, "--json"))
    assert taught["test"]["loss"] < begun["loss"]
    call("compress", "c.safetensors", "--task", trained, "-o", "c.lac", "--size", "2KB")
    after = parsed(call("evaluate", "c.lac", "--task", trained, "--json"))
    assert after["loss"] < begun["loss"]
    assert "rewritten: 2 separable, 1 pooled\n" in call("inspect", "c.lac")
    import own

    loaded = laconic.load("c.lac", own.Net())
    assert tuple(loaded.head[1].weight.shape) == (10, 16)
    cost = parsed(call("inspect", "c.lac", "--cost", "--task", trained, "--json"))
    assert cost["multiply_adds"] == told["multiply_adds"]


def test_without_data_weights_alone_say_and_what_does_not_go_is_refused(call, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = nets.build("lenet5")
    save_checkpoint(tmp_path / "a.safetensors", params_of(module), {"net": "lenet5"})
    told = call("rewrite", "a.safetensors", "-o", "b.safetensors", "--pooled", "", "--rank", "2")
    assert "separable" in told
    weights, metadata = load_checkpoint(tmp_path / "b.safetensors")
    assert weights["conv2.0.weight"].shape == (40, 1, 5, 5)
    assert metadata["net"] == "lenet5"
    for arguments, message in (
        (["--separable", "stem"], "'stem' names no layer"),
        (["--separable", "", "--pooled", ""], "nothing can be rewritten"),
        (["--net", "lenet300"], "not those of this network"),
        (["-o", "out.lac"], "give it that suffix"),
    ):
        assert run(["rewrite", "a.safetensors", "-o", "out.safetensors", *arguments]) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out.safetensors").exists()
    with torch.no_grad():
        module.fc1.weight[:400] = 0
        module.fc1.bias[:400] = 0
    save_checkpoint(tmp_path / "c.safetensors", params_of(module), {"net": "lenet5"})
    call("shrink", "c.safetensors", "-o", "c.lac", "--quiet")
    assert run(["rewrite", "c.lac", "-o", "out.safetensors"]) == 1
    assert "rewrite it first" in capsys.readouterr().err
