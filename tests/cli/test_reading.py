"""What a command says of a checkpoint that it reads: metadata that travel, wrappers, networks that are doubted."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import laconic
from laconic.cli import run
from laconic.cli.jobs.tasks import doubts, fitting, task_of
from laconic.insight.ledger import ledger
from laconic.models.checkpoints import load_checkpoint, open_checkpoint, save_checkpoint

from .commands import parsed

WEIGHTS = {"w.weight": torch.randn(32, 32, generator=torch.Generator().manual_seed(0))}
DIGITS = ["--net", "lenet300", "--data", "digits"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def there_and_back(metadata, *options):
    """Return the metadata of the `.lac` file, and of the checkpoint that is made of it."""
    save_file(WEIGHTS, "a.safetensors", metadata)
    assert run(["compress", "a.safetensors", "-o", "a.lac", "--force", *options]) == 0
    assert run(["decompress", "a.lac", "-o", "b.safetensors", "--force", "--quiet"]) == 0
    with laconic.open("a.lac") as file:
        return dict(file.metadata), load_checkpoint(Path("b.safetensors"))[1]


@pytest.mark.parametrize("options", [[], ["--codebook", "4"]], ids=["budget", "plan"])
def test_metadata_go_there_and_back(options):
    metadata = {"format": "pt", "license": "x", "größe": "ü", "empty": ""}
    kept, back = there_and_back(metadata, *options)
    assert back == metadata
    assert kept == {**metadata, "reference_bytes": str(Path("a.safetensors").stat().st_size)}


def test_keys_of_a_file_are_its_own(capsys):
    kept, back = there_and_back({"reference_bytes": "7", "buffers": '["w.weight"]', "format": "pt"})
    assert "metadata reference_bytes, buffers left out" in capsys.readouterr().err
    assert back == {"format": "pt"}
    assert int(kept["reference_bytes"]) > 4096


def test_metadata_that_are_long_are_left_out_and_named(capsys):
    _, back = there_and_back({"a": "x" * 50_000, "b": "y" * 40_000, "format": "pt"})
    assert "metadata a left out: above 65,536 bytes" in capsys.readouterr().err
    assert back == {"b": "y" * 40_000, "format": "pt"}


def test_names_may_end_in_blanks():
    tensors = {"tab\t": torch.randn(8, 8), "return\r": torch.randn(8, 8), " space ": torch.randn(8, 8)}
    save_file(tensors, "a.safetensors")
    assert run(["plan", "a.safetensors", "--codebook", "4", "--quiet"]) == 0
    assert run(["compress", "a.safetensors", "-o", "a.lac", "--codebook", "4", "--quiet"]) == 0
    assert {name: len(t.unique()) for name, t in laconic.load("a.lac").items()} == dict.fromkeys(sorted(tensors), 4)


def test_wrappers_make_no_difference(call, net):
    params = load_checkpoint(net)[0]
    torch.save({"net": {f"module.{name}": tensor for name, tensor in params.items()}}, "wrapped")
    figures = [parsed(call("evaluate", name, *DIGITS, "--json"))["loss"] for name in (net, "wrapped")]
    assert figures[0] == figures[1]
    task = task_of("lenet300", "digits", None, None, {})
    half = {("module." if "fc1" in name else "") + name: tensor for name, tensor in params.items()}
    assert set(fitting(half, task)) == set(params)


def test_a_network_that_fits_by_its_names_alone_is_doubted(net, capsys):
    params, metadata = load_checkpoint(net)
    task = task_of("lenet300", "digits", None, None, {})
    assert doubts(params, task, {}) == []
    save_checkpoint(Path("odd.safetensors"), {name: -tensor for name, tensor in params.items()}, {})
    for command in (["evaluate"], ["compress", "-o", "odd.lac"]):
        assert run([command[0], "odd.safetensors", *command[1:], *DIGITS]) == 0
        said = capsys.readouterr().err
        assert "where chance gives 90 %: is lenet300 the right network (activation, preprocessing)?" in said
        assert "% error on digits" in said
    odd = open_checkpoint(Path("odd.safetensors")).params
    assert len(doubts(odd, task, {})) == 1
    assert doubts(odd, task, metadata) == [], "the file says what it is"


def test_what_a_task_prints_is_no_result(call, net):
    Path("talks.py").write_text("import laconic\nfrom laconic import data, nets, task\nprint('imported')\n"
        "def make():\n    print('loading')\n    images = data.load('digits', None, 'pixels/16')\n"
        "    return task.classification(nets.build('lenet300', images.shape), images)\n")  # fmt: skip
    assert json.loads(call("evaluate", net, "--task", "talks:make", "--json"))["error"] >= 0


def test_the_ratio_is_that_of_the_network_not_of_what_lies_beside_it():
    weights = {"w": torch.randn(64, 64)}
    torch.save({"model": weights, "optimizer": {"m": torch.randn(9, 64, 64)}}, "a.ckpt")
    save_file(weights, "a.safetensors")
    ratios = []
    for name in ("a.ckpt", "a.safetensors"):
        assert run(["compress", name, "-o", f"{name}.lac", "--quiet"]) == 0
        with laconic.open(f"{name}.lac") as file:
            ratios.append(ledger(file).ratio)
    assert ratios[0] == pytest.approx(ratios[1], rel=0.01)
