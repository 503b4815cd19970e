"""Bad input: one line that says what is wrong, an exit code, and every file as it was."""

import errno
import pickle
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch

import laconic
from laconic import files, nets
from laconic.cli import run
from laconic.params import load_checkpoint, params_of, save_checkpoint

DIGITS = ["--net", "lenet300", "--data", "digits"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, which is empty, and no data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LACONIC_DATA", raising=False)
    return tmp_path


@pytest.fixture
def net():
    """`net.safetensors`: LeNet-300-100 for digits, not trained; it says what it is."""
    module = nets.build("lenet300", (1, 8, 8))
    save_checkpoint(Path("net.safetensors"), params_of(module), nets.identity("lenet300", "digits", "pixels/16"))
    return "net.safetensors"


@pytest.fixture
def lac(net):
    """`net.lac`, of `net.safetensors`."""
    assert run(["compress", net, "-o", "net.lac", "--codebook", "4", "--quiet"]) == 0
    return "net.lac"


def contents():
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.fixture
def refused(capsys):
    """Function: arguments → the one line on standard error; nothing else is said and no file has changed."""

    def start(*arguments):
        before = contents()
        assert run([str(argument) for argument in arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert contents() == before
        return err

    return start


# --- .lac files -------------------------------------------------------------------------------------


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


def test_weights_that_do_not_say_what_they_are(refused):
    save_checkpoint(Path("bare.safetensors"), params_of(nets.build("lenet300", (1, 8, 8))), {})
    assert "--net" in refused("evaluate", "bare.safetensors")
    assert "--data" in refused("evaluate", "bare.safetensors", "--net", "lenet300")
    assert "did you mean 'lenet300'" in refused("evaluate", "bare.safetensors", "--net", "lenet30", "--data", "digits")


# --- options ----------------------------------------------------------------------------------------

PLANS = {
    "dead pattern": ('[tensors]\n"conv*" = { codebook = 4 }\n[rest]\nlossless = true', "'conv*' matches no tensor"),
    "two rows": ('[tensors]\n"fc*" = { codebook = 4 }\n"fc1.*" = { keep = 0.1 }', "fc1.weight is on the rows"),
    "strays": ('[tensors]\n"fc1.*" = { codebook = 4 }', "fc2.weight is on no row"),
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
    "nothing": ([], "say how"),
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
    train = ["--effort", "train", "--steps", "1", "--finetune", "1"]
    for options in ([], train):
        said = refused("compress", net, "-o", "plain/sub/out.lac", "--codebook", "2", *options)
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


def test_a_limit_on_file_sizes(net, lac):
    """A process that really cannot write more than a few bytes."""
    Path("old.safetensors").write_text("precious")
    before = contents()
    done = subprocess.run(
        [sys.executable, "-m", "laconic", "decompress", lac, "-o", "old.safetensors", "--force"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert contents() == before
