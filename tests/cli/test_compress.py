"""From a checkpoint to a file and back, by every technique, effort and element type."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from crossing import crossed

import laconic
from laconic.cli import run
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

from .commands import EFFORTS, parsed

PLAN = '[tensors]\n"fc1.weight" = { keep = 0.1, values = { codebook = 4 } }\n[rest]\nlossless = true\n'

TECHNIQUES = {
    "codebook": ["--codebook", "4"],
    "keep": ["--keep", "0.05"],
    "keep of each": ["--keep", "0.05", "--per-tensor"],
    "rank": ["--rank", "5"],
    "rank with codebooks": ["--rank", "5", "--codebook", "8"],
    "keep and codebook": ["--keep", "0.1", "--codebook", "4"],
    "plan": ["--plan", "plan.toml"],
}


PAIRS = [
    *((technique, "direct") for technique in TECHNIQUES),
    ("keep and codebook", "lc"),
    ("rank", "lc"),
    ("codebook", "idc"),
    ("plan", "retrain"),
]


@pytest.mark.parametrize(("technique", "effort"), PAIRS, ids=map(" ".join, PAIRS))
def test_from_checkpoint_to_file_and_back(call, net, tmp_path, monkeypatch, technique, effort):
    """Compressed, inspected, evaluated, decompressed: the numbers agree, and so do the weights, bit for bit."""
    monkeypatch.chdir(tmp_path)
    Path("plan.toml").write_text(PLAN)
    record = parsed(call("compress", net, "-o", "a.lac", *TECHNIQUES[technique], *EFFORTS[effort], "--json"))
    size = Path("a.lac").stat().st_size
    assert record["bytes"] == size < net.stat().st_size
    assert record["reference_bytes"] == net.stat().st_size
    assert record["ratio"] == net.stat().st_size / size

    account = parsed(call("inspect", "a.lac", "--json"))
    assert sum(entry["bytes"] for entry in account["tensors"]) == account["file_bytes"] == size
    assert sum(entry["share"] for entry in account["tensors"]) == pytest.approx(1)
    assert account["ratio"] == record["ratio"]
    assert {key: account["metadata"][key] for key in ("net", "data", "preprocessing")} == {
        "net": "lenet300", "data": "digits", "preprocessing": "pixels/16",
    }  # fmt: skip

    weights = laconic.load("a.lac")
    with laconic.open("a.lac") as file:
        assert all(file[name].tobytes() == tensor.numpy().tobytes() for name, tensor in weights.items())
    back = parsed(call("decompress", "a.lac", "-o", "back.safetensors", "--json"))
    size = Path("back.safetensors").stat().st_size
    assert back == {"output": "back.safetensors", "files": ["back.safetensors"], "bytes": size, "tensors": 6}
    tensors, metadata = load_checkpoint(Path("back.safetensors"))
    assert all(torch.equal(tensors[name], tensor) for name, tensor in weights.items())
    assert metadata == load_checkpoint(net)[1]

    measured = [parsed(call("evaluate", name, "--json")) for name in ("a.lac", "back.safetensors")]
    for found in measured:
        assert (found["loss"], found["error"]) == (measured[0]["loss"], measured[0]["error"])
        assert found["split"] == "test"
    if effort != "direct":
        assert record["test"] == {key: measured[0][key] for key in ("loss", "error")}
        validation = parsed(call("evaluate", "a.lac", "--split", "validation", "--json"))
        assert record["validation"] == {key: validation[key] for key in ("loss", "error")}


def test_what_each_technique_does(call, net, tmp_path):
    def weights(*arguments):
        call("compress", net, "-o", tmp_path / "a.lac", *arguments, "--force")
        return {name: tensor for name, tensor in laconic.load(tmp_path / "a.lac").items() if tensor.ndim == 2}

    assert all(len(w.unique()) == 4 for w in weights("--codebook", "4").values())
    kept = weights("--keep", "0.05")
    total = sum(w.numel() for w in kept.values())
    assert sum(int(w.count_nonzero()) for w in kept.values()) == round(0.05 * total)
    each = weights("--keep", "0.05", "--per-tensor")
    assert [int(w.count_nonzero()) for w in each.values()] == [round(0.05 * w.numel()) for w in each.values()]
    assert [int(w.count_nonzero()) for w in kept.values()] != [int(w.count_nonzero()) for w in each.values()]
    assert all(torch.linalg.matrix_rank(w, rtol=1e-4) == 3 for w in weights("--rank", "3").values())
    both = weights("--keep", "0.1", "--codebook", "4")
    assert sum(int(w.count_nonzero()) for w in both.values()) == round(0.1 * total)
    assert all(len(w[w != 0].unique()) == 4 for w in both.values())


@pytest.mark.parametrize(("entries", "ratio"), [(2, 30.52), (4, 15.63), (8, 10.50)])
def test_ratios_as_published(call, published, tmp_path, entries, ratio):
    """LC papers, Part II, table of LeNet300: K = 2, 4, 8."""
    call("compress", published, "-o", tmp_path / "a.lac", "--codebook", entries)
    account = parsed(call("inspect", tmp_path / "a.lac", "--json"))
    assert round(account["published_ratio"], 2) == ratio
    assert account["ratio"] == published.stat().st_size / (tmp_path / "a.lac").stat().st_size
    shown = call("inspect", tmp_path / "a.lac")
    assert f"{ratio:.2f} (ρ as the publications count)" in shown
    assert "fc1.weight" in shown
    assert f"codebook {entries}" in shown


def test_more_entries_than_weights_is_no_error(call, tmp_path):
    weights = {"a": torch.randn(8, 5), "b": torch.randn(3, 3, 2, 2), "c": torch.zeros(0, 4), "d": torch.ones(1, 1)}
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, weights, {})
    for arguments in (["--codebook", "5000"], ["--keep", "1"], ["--rank", "1000"], ["--keep", "1", "--codebook", "99"]):
        call("compress", path, "-o", tmp_path / "a.lac", *arguments, "--force")
        for name, tensor in laconic.load(tmp_path / "a.lac").items():
            assert torch.allclose(tensor, weights[name], atol=1e-5)
    for arguments in (["--keep", "0"], ["--rank", "0"]):
        call("compress", path, "-o", tmp_path / "a.lac", *arguments, "--force")
        assert not any(tensor.any() for tensor in laconic.load(tmp_path / "a.lac").values())


def test_the_weights_may_come_as_a_pickle_of_tensors(call, net, tmp_path):
    params, _ = load_checkpoint(net)
    call("compress", net, "-o", tmp_path / "a.lac", "--codebook", "4")
    for number, (name, content) in enumerate(
        {"flat.pt": params, "nested.pth": {"state_dict": params, "epoch": 3}, "model.pt": {"model": params}}.items()
    ):
        torch.save(content, tmp_path / name)
        call("compress", tmp_path / name, "-o", tmp_path / f"{number}.lac", "--codebook", "4")
        for key, tensor in laconic.load(tmp_path / f"{number}.lac").items():
            assert torch.equal(tensor, laconic.load(tmp_path / "a.lac")[key])
        record = parsed(call("evaluate", tmp_path / name, "--net", "lenet300", "--data", "digits", "--json"))
        assert record["error"] == parsed(call("evaluate", net, "--json"))["error"]


def test_direct_compression_with_a_task_is_judged_too(call, net, tmp_path):
    torch.save(load_checkpoint(net)[0], tmp_path / "net.pt")
    arguments = ["-o", tmp_path / "a.lac", "--codebook", "4", "--net", "lenet300", "--data", "digits"]
    record = parsed(call("compress", tmp_path / "net.pt", *arguments, "--json"))
    assert record["test"]["error"] == parsed(call("evaluate", tmp_path / "a.lac", "--json"))["error"]


FACTORY = """
import torch
from laconic import Task
from laconic.training.judges import least_squares

inputs = torch.linspace(-1, 1, 60).reshape(20, 3)

def make():
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    return Task.of(module, lambda split, seed: [(inputs, inputs[:, :2])], least_squares, metadata={"net": "own"})
"""


def test_a_network_of_ones_own(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine_in_this_folder.py").write_text(FACTORY)
    own = ["--task", "mine_in_this_folder:make"]
    path = list(sys.path)
    call("train", *own, "-o", "own.safetensors", "--epochs", "5", "--lr", "0.05")
    train = ["--effort", "train", "--steps", "3", "--lr", "0.05", "--codebook", "2"]
    record = parsed(call("compress", "own.safetensors", "-o", "own.lac", *own, *train, "--json"))
    assert record["test"] == {"loss": parsed(call("evaluate", "own.lac", *own, "--json"))["loss"]}
    assert parsed(call("inspect", "own.lac", "--json"))["metadata"]["net"] == "own"
    assert len(laconic.load("own.lac")["weight"].unique()) <= 2
    assert sys.path == path


DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.bool,
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64,
    torch.complex64, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
)  # fmt: skip


def test_every_dtype_survives(call, tmp_path):
    """Random bit patterns of every type, NaN and infinities among them, empty and 0-d ones too."""
    source = np.random.default_rng(0)
    tensors = {"w": torch.randn(3, 4)}
    for dtype in DTYPES:
        width = torch.empty(0, dtype=dtype).element_size()
        high = 2 if dtype == torch.bool else 256
        raw = torch.from_numpy(source.integers(0, high, (5, 7 * width), dtype=np.uint8))
        tensors[f"{dtype} matrix"] = raw.view(dtype)
        tensors[f"{dtype} scalar"] = raw.view(dtype)[0, 0].clone()
        tensors[f"{dtype} empty"] = raw.view(dtype)[:0]
    path = tmp_path / "all.safetensors"
    save_checkpoint(path, tensors, {})
    plan = tmp_path / "plan.toml"
    plan.write_text("[tensors]\nw = { codebook = 2 }\n[rest]\nlossless = true\n")
    call("compress", path, "-o", tmp_path / "all.lac", "--plan", plan)
    call("decompress", tmp_path / "all.lac", "-o", tmp_path / "back.safetensors")
    back, loaded = load_checkpoint(tmp_path / "back.safetensors")[0], laconic.load(tmp_path / "all.lac")
    assert list(loaded) == list(load_checkpoint(path)[0])
    for name, tensor in tensors.items():
        for found in (back[name], loaded[name]):
            assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
            if name != "w":
                assert found.reshape(-1).view(torch.uint8).equal(tensor.reshape(-1).view(torch.uint8)), name


@crossed(
    "technique, dtype",
    ["codebook", "keep", "rank", "keep and codebook"],
    [torch.float16, torch.bfloat16, torch.float64],
)
def test_lossy_codes_of_other_dtypes(call, tmp_path, technique, dtype):
    weights = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_checkpoint(tmp_path / "w.safetensors", {"w": weights, "b": weights[0]}, {})
    call("compress", tmp_path / "w.safetensors", "-o", tmp_path / "w.lac", *TECHNIQUES[technique])
    call("decompress", tmp_path / "w.lac", "-o", tmp_path / "back.safetensors")
    back, loaded = load_checkpoint(tmp_path / "back.safetensors")[0], laconic.load(tmp_path / "w.lac")
    with laconic.open(tmp_path / "w.lac") as file:
        for name, tensor in loaded.items():
            assert tensor.dtype == back[name].dtype == dtype
            assert tensor.equal(back[name])
            assert file[name].tobytes() == tensor.view(torch.uint8).numpy().tobytes()
            assert file[name].dtype.name == str(dtype).removeprefix("torch.")
    raw = (tmp_path / "back.safetensors").read_bytes()
    if dtype != torch.bfloat16:
        assert safetensors.numpy.load(raw)["w"].tobytes() == loaded["w"].numpy().tobytes()


def test_a_file_of_another_network_is_not_evaluated(call, net, tmp_path, capsys):
    call("compress", net, "-o", tmp_path / "a.lac", "--codebook", "2")
    for weights in (net, tmp_path / "a.lac"):
        assert run(["evaluate", str(weights), "--net", "lenet300-tanh"]) == 1
        assert "'lenet300'" in capsys.readouterr().err


def test_real_data_come_from_the_folder_or_the_environment(call, data_dir, published, monkeypatch):
    if not any(data_dir.glob("mnist/t10k-images*")):
        pytest.skip(f"no MNIST in {data_dir}")
    monkeypatch.setenv("LACONIC_DATA", os.fspath(data_dir))
    found = parsed(call("evaluate", published, "--net", "lenet300", "--data", "mnist", "--json"))
    assert 50 < found["error"] <= 100
