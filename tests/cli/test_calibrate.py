"""`laconic compress --effort calibrate`: what layers read decides, what is said of it, and what does not go with it."""

from types import SimpleNamespace

import pytest
import torch

import laconic
from laconic.calibrate.calibration import SAMPLES
from laconic.calibrate.told import Told
from laconic.cli import run
from laconic.cli.jobs.calibrating import passing
from laconic.cli.jobs.figures import _calibration
from laconic.cli.jobs.tasks import load_factory, task_of
from laconic.format import container
from laconic.models.checkpoints import load_checkpoint

from .commands import parsed

CALIBRATE = ["--effort", "calibrate", "--quality", "fast", "--samples", "200"]

FACTORY = """
import torch
from torch import nn
from laconic.models import data
from laconic.training.task import classification

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
            nn.BatchNorm1d(32, affine=False), nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 10), nn.Linear(30, 20),
        )

    def forward(self, inputs):
        for layer in list(self)[:9]:
            inputs = layer(inputs)
        return inputs

def make():
    torch.manual_seed(0)
    return classification(Net(), data.load("digits", None, "pixels/16"))
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with `own_digits.py` and `mine.pt`, a network with statistics of the digits, and not trained."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "own_digits.py").write_text(FACTORY)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.chdir(folder)
        task = load_factory("own_digits:make")
        task.module.train()
        for batch in task.batches("train", 0):
            task.module(batch[0])
    torch.save(task.module.state_dict(), folder / "mine.pt")
    return folder


def test_from_checkpoint_to_file_and_back(call, net, tmp_path):
    """Compressed, inspected, evaluated, decompressed: the numbers agree, and the weights are those of Python."""
    file, back = tmp_path / "a.lac", tmp_path / "back.safetensors"
    record = parsed(call("compress", net, "-o", file, "--bits", "1.5", *CALIBRATE, "--data", "digits", "--json"))
    told, size = record["calibration"], file.stat().st_size
    assert record["bytes"] == size <= 1.5 * 50_200 / 8
    assert record["bits_per_weight"] == pytest.approx(8 * size / 50_200)
    assert (told["samples"], told["unseen"], told["kind"]) == (160, 40, "classification")
    assert told["layers"] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert told["seconds"].keys() == {"statistics", "weights"}
    assert 0 < told["distance"] < 0.1
    account = parsed(call("inspect", file, "--json"))
    assert sum(entry["bytes"] for entry in account["tensors"]) == account["file_bytes"] == size
    assert account["bits_per_weight"] == pytest.approx(record["bits_per_weight"])
    assert account["metadata"].keys() <= load_checkpoint(net)[1].keys() | {"reference_bytes"}
    measured = parsed(call("evaluate", file, "--json"))
    assert {key: measured[key] for key in ("loss", "error")} == pytest.approx(record["test"])
    call("decompress", file, "-o", back)
    params, metadata = load_checkpoint(net)
    task = task_of(None, None, None, None, metadata)
    python = laconic.compress(params, task=task, effort="calibrate", bits=1.5, quality="fast", samples=200,
                              metadata=account["metadata"])  # fmt: skip
    assert python.calibration.distance == told["distance"]
    decompressed, loaded = load_checkpoint(back)[0], laconic.load(file)
    for name, tensor in python.params.items():
        assert torch.equal(loaded[name], tensor)
        assert torch.equal(decompressed[name], tensor)


def test_what_is_calibrated_and_folded_is_said_before_and_after(call, capsys, mine, tmp_path, monkeypatch):
    monkeypatch.chdir(mine)
    file = tmp_path / "a.lac"
    assert run(["compress", "mine.pt", "-o", str(file), *CALIBRATE, "--task", "own_digits:make", "--table"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "training batches are read as --task gives them, augmented where they are",
        "calibrating 3 layers on 160 samples; 40 further ones judge",
        "rounded by what they are, not by what they read: 9.weight (its layer has never been called)",
        "batch normalizations folded into the layer before them: 1",
        "batch normalization left as it is: 5 (reads no output of a linear layer or convolution as it is)",
    ]
    assert "calibrated 3 layers on 160 samples in " in out
    assert "nats, KL(original ‖ compressed)) from the original's on 40 samples held out" in out
    assert " s, weights " in out
    row = next(line for line in out.splitlines() if "6.bias" in line)
    assert "exact" not in row, "a bias makes up for what the errors of a weight are in the mean"
    assert len(laconic.load(file)["1.running_var"].unique()) == 1
    assert "asked 4 bits per weight" in out


@pytest.mark.parametrize("options", [["--no-fold"], ["--lossless", "0.weight", "--lossless", "8.bias"]], ids=" ".join)
def test_nothing_is_folded_into_what_stays_as_it_is(call, mine, tmp_path, monkeypatch, options):
    monkeypatch.chdir(mine)
    arguments = ["-o", tmp_path / "a.lac", *CALIBRATE, "--task", "own_digits:make", *options]
    told = parsed(call("compress", "mine.pt", *arguments, "--json"))["calibration"]
    before, after = load_checkpoint(mine / "mine.pt")[0], laconic.load(tmp_path / "a.lac")
    kept = [f"1.{name}" for name in ("weight", "running_mean", "running_var")] + options[1::2]
    assert all(torch.equal(after[name], before[name]) for name in kept)
    assert not torch.equal(after["6.bias"], before["6.bias"])
    assert told["folded"] == {}
    assert ("1" in told["unfolded"]) == ("--lossless" in options)


def test_a_folded_file_is_measured_beside_its_checkpoint_folded_alike(call, capsys, mine, tmp_path, monkeypatch):
    monkeypatch.chdir(mine)
    file, apart, subject = str(tmp_path / "a.lac"), str(tmp_path / "b.lac"), ["--task", "own_digits:make"]
    record = parsed(call("compress", "mine.pt", "-o", file, *CALIBRATE, *subject, "--bits", "6", "--json"))
    assert record["calibration"]["folded"] == {"1": "0"}
    assert record["calibration"]["unfolded"].keys() == {"5"}
    assert record["calibration"]["alone"] == {"9.weight": "its layer has never been called"}
    golden = parsed(call("inspect", file, "--against", "mine.pt", *subject, "--json"))["golden"]["tensors"]
    found = {tensor["name"]: tensor["snr"] for tensor in golden}
    for tensor in record["tensors"]:
        if tensor["snr"] is not None:
            assert found[tensor["name"]] == pytest.approx(tensor["snr"], abs=1e-3)
    assert "1.running_var" not in found
    point = parsed(call("bound", "mine.pt", file, *subject, "--samples", "100", "--json"))["files"][0]
    assert point["snr"] > 10
    assert run(["bound", "mine.pt", file]) == run(["inspect", file, "--against", "mine.pt"]) == 1
    assert capsys.readouterr().err.count("batch normalization is folded into layers (1), whose weights have") == 2
    call("compress", "mine.pt", "-o", apart, "--bits", "6")
    assert run(["bound", "mine.pt", file, apart, *subject]) == 1
    assert "differ in which batch normalizations are folded" in capsys.readouterr().err


REFUSED = {
    "--codebook 4": "--codebook does not go with --effort calibrate: it chooses for all weights itself; --lossless",
    "--keep 0.1": "--keep does not go with --effort calibrate",
    "--rank 0": "--rank does not go with --effort calibrate",
    "--plan a.toml": "--plan does not go with --effort calibrate",
    "--importance gradient": "--importance does not go with --effort calibrate: it finds out by itself",
    "--recalibrate 9": "--recalibrate does not go with --effort calibrate: it takes care of running statistics itself",
    "--snr 9": "--snr does not go with --effort calibrate: it does not look at the error of weights; name --bits",
    "--steps 9 --lr 1": "--steps, --lr: only --effort train takes this",
    "--effort direct --resume": "--resume: only --effort train and --effort calibrate take this",
    "--bits 2": "--effort calibrate needs a task, to measure on its data; the weights do not say what they are",
    "--effort direct --samples 9 --no-fold": "--samples, --no-fold: only --effort calibrate takes this",
    "--effort train --codebook 2 --no-fold": "--no-fold: only --effort calibrate takes this",
}


@pytest.mark.parametrize(("options", "words"), REFUSED.items(), ids=REFUSED)
def test_what_does_not_go_with_it_is_refused_by_its_name(capsys, mine, tmp_path, options, words):
    output = tmp_path / "a.lac"
    arguments = ["compress", str(mine / "mine.pt"), "-o", str(output), "--effort", "calibrate", *options.split()]
    assert run(arguments) == 1
    out, err = capsys.readouterr()
    assert (out, output.exists()) == ("", False)
    assert words in err


@pytest.mark.parametrize("given", [{"importance": "gradient"}, {"metrics": {}}, {"training": laconic.Training()}])
def test_python_refuses_what_calibration_would_not_heed(given):
    net = torch.nn.Linear(4, 4)
    with pytest.raises(laconic.LaconicError, match=f"{next(iter(given))}: effort 'calibrate' finds out"):
        laconic.compress(net, bits=9, calibration=torch.ones(8, 4), **given)
    with pytest.raises(laconic.LaconicError, match="samples and fold go with effort 'calibrate', not 'direct'"):
        laconic.compress(net, bits=9, fold=False)
    with pytest.raises(laconic.LaconicError, match="leave out the plan's rows"):
        laconic.compress(
            net, laconic.Plan({"weight": laconic.AdaptiveCodebook(2)}), bits=9, calibration=torch.ones(8, 4)
        )


def test_samples_are_plain_images_and_as_many_as_the_help_says(call, net, tmp_path, monkeypatch):
    asked = []

    def load(*_, augment, **__):
        asked.append(augment)
        raise laconic.LaconicError("no images here")

    monkeypatch.setattr("laconic.cli.jobs.tasks.data.load", load)
    weights = tmp_path / "bare.pt"
    torch.save(load_checkpoint(net)[0], weights)
    for effort in (["calibrate"], ["train", "--codebook", "2"]):
        cifar = ["--net", "resnet20", "--data", "cifar10"]
        assert run(["compress", str(weights), "-o", str(tmp_path / "a.lac"), *cifar, "--effort", *effort]) == 1
    assert asked == [None, "crop and flip"]
    monkeypatch.setenv("COLUMNS", "200")
    assert f"{SAMPLES} unless you say" in " ".join(call("compress", "--help").replace("│", " ").split())


def test_the_bar_goes_from_pass_to_pass_and_never_past_the_end():
    said = []
    tick = passing(lambda done, text: said.append((done, text)), 2)
    for _ in range(3):  # one more than was to be expected
        for done in range(4):
            tick("weights", done, 4)
    assert [done for done, _ in said] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2, 2, 2]
    assert said[5][1] == "pass 2: 1/4 weights"
    tick("tuning", 1, 9)
    assert said[-1] == (2, "tuning: 1/9 batches")
    tick = passing(lambda done, text: said.append((done, text)), 2, 2)
    stages = ("weights", "weights", "tuning", "rounding", "rounding", "tuning")
    for stage, done in zip(stages, (0, 4, 1, 0, 3, 0), strict=True):
        tick(stage, done, 4)
    assert [done for done, _ in said[-6:]] == [0, 1, 1.25, 2, 3.5, 3.5]
    assert said[-2][1] == "rounding: 3/4 weights"


def test_what_tuning_has_come_to_is_said_and_it_can_be_left_out(call, net, tmp_path):
    asked = ["compress", net, "--effort", "calibrate", "--samples", "640", "--data", "digits", "--bits"]
    for rate in ("1.5", "1.2", "1.8", "1"):  # at any one of them tuning may not help, by rounding of this machine
        told = parsed(call(*asked, rate, "-o", tmp_path / f"{rate}.lac", "--json"))["calibration"]
        if told["tuned"] is not None:
            break
    said = " ".join(call(*asked, rate, "-o", tmp_path / "a.lac").split())
    before, after = told["tuned"]
    assert f"tuning: KL {before:.4g} -> {after:.4g} on 128 held-out samples" in said
    assert after == told["distance"] < before
    told = parsed(call(*asked, rate, "-o", tmp_path / "c.lac", "--json", "--no-tune"))["calibration"]
    assert told["tuned"] is None
    assert told["distance"] == before
    assert told["seconds"].keys() == {"statistics", "weights", "meter"}
    result = SimpleNamespace(calibration=Told(8, 2, (), {}, {}, {}, 0.1, "regression", 1))
    assert "tuning did not help on held-out samples: left out" in _calibration(result, {"tuning": 1.0})
    assert "rounding integers anew did not help on held-out samples: left out" in _calibration(
        result, {"rounding": 1.0}
    )
    told = Told(8, 2, ("a", "b"), {}, {}, {}, 0.1, "classification", 1, anew=(1, 0.12, 0.1))
    said = "integers of 1 of 2 layers rounded anew: KL 0.12 -> 0.1 on 2 held-out samples"
    assert said in _calibration(SimpleNamespace(calibration=told), {"rounding": 1.0})


def test_a_file_says_how_far_it_is_from_the_limit(call, net, tmp_path):
    """Compressed, inspected without torch or data; a hostile record is passed over and said."""
    file, without, bad = (tmp_path / name for name in ("a.lac", "b.lac", "c.lac"))
    calibrate = ["--bits", "1.5", "--effort", "calibrate", "--samples", "200", "--data", "digits"]
    told = parsed(call("compress", net, "-o", file, *calibrate, "--json"))["calibration"]
    assert told["seconds"].keys() == {"statistics", "weights", "tuning", "meter"}
    record = parsed(call("inspect", file, "--json"))
    assert record["meter"] == told["meter"]
    assert sum(record["meter"]["parts"].values()) == pytest.approx(record["meter"]["above"])
    assert [row["name"] for row in record["meter"]["layers"]] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert {"residual", "objective", "factor", "factored"} <= record["meter"]["layers"][0].keys()
    shown = call("inspect", file)
    assert f"{record['meter']['above']:.3f} bits a weight above R(D)" in shown
    assert "bound_meter" not in load_checkpoint(call_back(call, file, tmp_path))[1]
    call("compress", net, "-o", without, *calibrate, "--no-meter", "--quality", "fast")
    assert parsed(call("inspect", without, "--json"))["meter"] is None
    contents = container.loads(file.read_bytes())
    for text in ("", "1 " * 12, "[" * 5000):
        container.write(bad, contents.codes, {**contents.metadata, "bound_meter": text}, force=True)
        damaged = parsed(call("inspect", bad, "--json"))
        assert damaged["meter"] is None
        assert "bound_meter" in damaged["meter_ignored"]
        assert "no word on the limit: metadata 'bound_meter'" in call("inspect", bad)
    container.write(bad, {}, {"bound_meter": "1 0 0"}, force=True)
    assert parsed(call("inspect", bad, "--json"))["meter"] is None


def call_back(call, file, folder):
    """Return the checkpoint that a file is decompressed to."""
    call("decompress", file, "-o", folder / "back.safetensors")
    return folder / "back.safetensors"
