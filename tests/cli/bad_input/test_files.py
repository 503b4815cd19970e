"""Files that are damaged, or are not what they should be: one clear line, and everything else as it was."""

import pickle
from pathlib import Path

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

from .folders import DIGITS

# --- weights ----------------------------------------------------------------------------------------


def test_nan_is_kept_or_refused(refused):
    weights = torch.randn(6, 5)
    weights[0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    save_checkpoint(Path("bad.safetensors"), {"good": torch.ones(2, 2), "odd.weight": weights}, {})
    Path("plan.toml").write_text('[tensors]\n"good" = { codebook = 1 }\n[rest]\nlossless = true\n')
    assert run(["compress", "bad.safetensors", "-o", "kept.lac", "--plan", "plan.toml", "--quiet"]) == 0
    assert laconic.load("kept.lac")["odd.weight"].view(torch.int32).equal(weights.view(torch.int32))
    for lossy in (["--codebook", "2"], ["--keep", "0.5"], ["--rank", "1"], ["--keep", "0.5", "--codebook", "2"]):
        said = refused("compress", "bad.safetensors", "-o", "out.lac", *lossy)
        assert "odd.weight: 3 of 30 weights are NaN or infinite" in said


def test_integers_are_kept_or_refused(refused):
    save_checkpoint(Path("int.safetensors"), {"w": torch.arange(6).reshape(2, 3)}, {})
    assert "name the tensors in a plan" in refused("compress", "int.safetensors", "-o", "out.lac", "--codebook", "2")
    Path("plan.toml").write_text("[tensors]\nw = { codebook = 2 }\n")
    said = refused("compress", "int.safetensors", "-o", "out.lac", "--plan", "plan.toml")
    assert "w: a lossy compression takes floating-point weights, not int64" in said
    save_checkpoint(Path("both.safetensors"), {"w": torch.arange(6).reshape(2, 3), "v": torch.randn(4, 4)}, {})
    assert run(["compress", "both.safetensors", "-o", "out.lac", "--codebook", "2", "--quiet"]) == 0
    assert laconic.load("out.lac")["w"].equal(torch.arange(6).reshape(2, 3))


def test_empty_and_0d_tensors_are_no_error():
    tensors = {"none": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "count": torch.tensor(7), "w": torch.randn(3, 3)}
    save_checkpoint(Path("odd.safetensors"), tensors, {})
    for options in (["--codebook", "2"], ["--keep", "0.5"], ["--rank", "1"]):
        assert run(["compress", "odd.safetensors", "-o", "out.lac", "--force", "--quiet", *options]) == 0
        loaded = laconic.load("out.lac")
        assert all(loaded[name].equal(tensors[name]) for name in ("none", "scalar", "count"))
        assert run(["inspect", "out.lac", "--quiet"]) == 0
        assert run(["decompress", "out.lac", "-o", "back.safetensors", "--force", "--quiet"]) == 0
        assert load_checkpoint(Path("back.safetensors"))[0]["scalar"].equal(tensors["scalar"])


class Malicious:
    """Unpickling it writes a file."""

    def __reduce__(self):
        return Path.write_text, (Path("owned"), "by a pickle")


@pytest.mark.parametrize("way", ["zip", "legacy", "bare", "nested"])
def test_a_malicious_pickle_is_refused_and_not_run(refused, way):
    if way == "bare":
        Path("evil.pt").write_bytes(pickle.dumps(Malicious()))
    else:
        content = {"w": torch.ones(2, 2), "x": Malicious()} if way == "nested" else Malicious()
        torch.save(content, "evil.pt", _use_new_zipfile_serialization=way != "legacy")
    for command in (["compress", "-o", "out.lac", "--codebook", "2"], ["evaluate", *DIGITS]):
        said = refused(command[0], "evil.pt", *command[1:])
        assert "evil.pt" in said
        assert "weights_only" not in said, "advice to run it"
    assert not Path("owned").exists()
    torch.load("evil.pt", weights_only=False) if way != "bare" else pickle.loads(Path("evil.pt").read_bytes())
    assert Path("owned").exists(), "this is how it would have been run"


def test_weights_of_another_network(net, lac, refused):
    others = {
        "shape": {**load_checkpoint(Path(net))[0], "fc1.weight": torch.zeros(300, 784)},
        "name": {"layer.weight": torch.zeros(3, 3)},
        "missing": {k: v for k, v in load_checkpoint(Path(net))[0].items() if k != "fc2.bias"},
    }
    train = ["--codebook", "2", "--effort", "train"]
    for name, params in others.items():
        save_checkpoint(Path(f"{name}.safetensors"), params, {})
        for said in (
            refused("evaluate", f"{name}.safetensors", *DIGITS),
            refused("compress", f"{name}.safetensors", "-o", "out.lac", *DIGITS, *train),
            refused("compress", f"{name}.safetensors", "-o", "out.lac", *DIGITS, "--codebook", "2"),
        ):
            assert {"shape": "(300, 784) instead of (300, 64)", "name": "layer.weight", "missing": "fc2.bias"}[
                name
            ] in said
    for weights in (net, lac):
        said = refused("evaluate", weights, "--net", "lenet300-tanh")
        assert "'lenet300'" in said
        assert "'lenet300-tanh'" in said
    assert "lenet300-tanh" in refused("compress", net, "-o", "out.lac", "--net", "lenet300-tanh", *train)


@pytest.mark.parametrize("command", ["evaluate", "inspect", "decompress", "compress"])
def test_a_file_that_is_not_there_is_named_the_same_way_by_every_command(refused, command):
    rest = {"decompress": ["-o", "out.safetensors"], "compress": ["-o", "out.lac", "--bits", "3"]}.get(command, [])
    assert refused(command, "nowhere.lac", *rest) == "error: no file nowhere.lac\n"
