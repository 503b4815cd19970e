"""Files that are damaged, or are not what they should be: one clear line, and everything else as it was."""

import pickle
import struct
import zlib
from pathlib import Path

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

from .folders import DIGITS


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def newer(data):
    fields = data[:8] + struct.pack("<H", 7) + data[10:28]
    return fields + struct.pack("<I", zlib.crc32(fields)) + data[32:]


DAMAGES = {
    "empty": (lambda data: b"", "not a .lac file"),
    "wrong magic": (lambda data: b"PK\x03\x04" + data[4:], "not a .lac file"),
    "text": (lambda data: b"To whom it may concern, " * 9, "not a .lac file"),
    "cut in the header": (lambda data: data[:20], "ends within its header"),
    "cut in a block": (lambda data: data[: len(data) // 2], "should have"),
    "cut by one byte": (lambda data: data[:-1], "should have"),
    "trailing byte": (lambda data: data + b"\0", "should have"),
    "flipped in the header": (lambda data: flipped(data, 25), "damaged"),
    "flipped in a block": (lambda data: flipped(data, 500), "damaged"),
    "flipped in the table": (lambda data: flipped(data, len(data) - 5), "damaged"),
    "newer": (newer, "install a newer laconic"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(lac, refused, damage):
    change, expected = DAMAGES[damage]
    Path("bad.lac").write_bytes(change(Path(lac).read_bytes()))
    for command in (["inspect"], ["evaluate", *DIGITS], ["decompress", "-o", "out.safetensors"]):
        said = refused(command[0], "bad.lac", *command[1:])
        assert expected in said
        assert "bad.lac: " in said
    if damage == "flipped in a block":
        assert "tensor 'fc" in said


@pytest.mark.parametrize("command", ["inspect", "evaluate", "decompress", "compress"])
def test_files_that_are_not_there(refused, command):
    options = {"decompress": ["-o", "out.safetensors"], "compress": ["-o", "out.lac", "--codebook", "2"]}
    assert "nothing.lac" in refused(command, "nothing.lac", *options.get(command, []))
    Path("folder.lac").mkdir()
    assert "folder.lac" in refused(command, "folder.lac", *options.get(command, []))


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


def test_types_that_no_code_can_carry(refused):
    torch.save({"w": torch.randn(3, 3), "c": torch.zeros(2, dtype=torch.complex64)}, "odd.pt")
    assert "complex64" in refused("compress", "odd.pt", "-o", "out.lac", "--codebook", "2")


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


NOT_CHECKPOINTS = {
    "text.safetensors": b"none of this is a checkpoint at all",
    "empty.safetensors": b"",
    "huge.safetensors": b"\xff" * 64,
    "text.pt": b"none of this is a checkpoint at all",
    "empty.pt": b"",
    "zip.pth": b"PK\x05\x06" + bytes(18),
    "noname": b"binary",
}


@pytest.mark.parametrize("name", NOT_CHECKPOINTS)
def test_what_is_no_checkpoint(refused, name):
    Path(name).write_bytes(NOT_CHECKPOINTS[name])
    assert name in refused("compress", name, "-o", "out.lac", "--codebook", "2")
    assert name in refused("evaluate", name, *DIGITS)


def test_checkpoints_cut_short(net, refused):
    data = Path(net).read_bytes()
    torch.save(load_checkpoint(Path(net))[0], "whole.pt")
    for suffix, whole in ((".safetensors", data), (".pt", Path("whole.pt").read_bytes())):
        for length in (4, 100, len(whole) - 1000):
            Path(f"cut{suffix}").write_bytes(whole[:length])
            assert f"cut{suffix}" in refused("compress", f"cut{suffix}", "-o", "out.lac", "--codebook", "2")


@pytest.mark.parametrize("content", [torch.ones(3), [torch.ones(3)], {"w": 3.0}, {"state_dict": {"w": "text"}}, {}])
def test_pickles_without_weights(refused, content):
    torch.save(content, "odd.pt")
    said = refused("compress", "odd.pt", "-o", "out.lac", "--codebook", "2")
    assert "state_dict" in said or "no floating-point tensor" in said


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
