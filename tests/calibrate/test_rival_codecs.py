"""What calibration is compared with: codebooks that fill a size, steps of columns, and files of NNCodec."""

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import calibrate
import nncodec_files as nnc
import numpy as np
import pytest
import rival_codecs
import torch
from torch import nn
from trained import learned

from laconic.calibrate import rates, sequence
from laconic.calibrate.compressed import TRIES, Ready
from laconic.format import container
from laconic.models import data

ASKED = SimpleNamespace(
    samples=500,
    quality="fast",
    unfolded=False,
    no_tune=False,
    draws=2,
    first_draw=0,
    nncodec=None,
    data=None,
    resume=None,
)


@cache
def original() -> calibrate.Original:
    images = data.load("digits", None, "pixels/16")
    module = learned().module.eval()
    return calibrate.Original("digits", module, images, calibrate.outputs(module, images.split("test")[0]))


@cache
def ready() -> Ready:
    return original().ready(0, ASKED)[0]


@pytest.mark.parametrize("size", [600, 1000, 1400])
def test_codebooks_fill_the_size(tmp_path: Path, size):
    codes = rival_codecs.codebooks(ready(), size)
    container.write(tmp_path / "a.lac", codes, {})
    assert (tmp_path / "a.lac").stat().st_size <= size
    weights = {name: code for name, code in codes.items() if len(code.shape) > 1}
    values = {name: len(np.unique(code.decompress())) for name, code in weights.items()}
    least = min(values.values())
    assert max(values.values()) <= least + 1
    for name in [name for name, k in values.items() if k == least]:
        more = rival_codecs.AdaptiveCodebook(least + 1).project({name: ready().network.params[name]})
        assert container.bits(codes | more) > 8 * size
    for name in codes.keys() - weights.keys():
        assert np.array_equal(codes[name].decompress(), ready().network.params[name].numpy())


def test_codebooks_need_room():
    with pytest.raises(SystemExit, match="150 bytes are too few"):
        rival_codecs.codebooks(ready(), 150)


def test_steps_are_of_columns_or_of_layers():
    columns = {subject.name: ready().network.params[subject.name].shape[1] for subject in ready().network.subjects}
    usual = rates.WIDE
    steps = {}
    for method in ("gptq", "watersic"):
        with rival_codecs.steps_of_columns() if method == "watersic" else calibrate.nullcontext():
            trial, _ = ready().within(1000, calibrate.METHODS[method], {})
        assert trial.file_bytes <= 1000
        steps[method] = {name: len(one.steps) for name, one in trial.calibrated.rounded.items()}
    assert steps == {"gptq": dict.fromkeys(columns, 1), "watersic": columns}
    assert rates.WIDE == usual


def test_rows_of_methods_and_of_drops(monkeypatch):
    monkeypatch.setattr(calibrate.Original, "of", lambda name, folder: original())
    arguments = SimpleNamespace(**vars(ASKED), methods=["kmeans", "gptq"], bits=[3.0], max_drop=[0.5, 3.0])
    rows = list(calibrate.measured("digits", arguments))
    assert [(row["method"], row["draw"]) for row in rows] == [("kmeans", 0), ("gptq", 0), ("gptq", 1)]
    for row in rows:
        assert 2.8 < row["bits"] <= 3
        assert row["kl"] > 0
    assert "| kmeans | " in calibrate.tables(rows)
    monkeypatch.setattr(arguments, "draws", 1)
    rows = list(calibrate.bounded("digits", arguments))
    assert [row["bound"] for row in rows] == [0.5, 3.0]
    assert rows[1]["bits"] < 0.8 * rows[0]["bits"]
    for row in rows:
        assert row["validation"] == 200
        assert row["drop"] + row["standard_error"] <= row["bound"]
        assert row["float_error"] == pytest.approx(100 - 100 * float(right(original().outputs).mean()))
        assert f"| {row['error'] - row['float_error']:.2f} ± " in calibrate.bounds_table(rows)


def right(outputs: torch.Tensor) -> torch.Tensor:
    return outputs.argmax(1).eq(original().images.split("test")[1]).double()


def test_an_interpreter_without_nncodec_is_told_of():
    with pytest.raises(SystemExit, match=r"No module named 'nncodec'.*the interpreter of an environment with it"):
        rival_codecs.nncodec(Path(sys.executable), learned().module.state_dict(), {}, 1000)


@pytest.mark.parametrize("size", [1, 7, 50, 99, 100, 1000])
def test_the_finest_step_is_found(size):
    def encode(step: int) -> bytes:
        return bytes(100 // (step + 21))  # of 100 bytes at step −20

    fits = [step for step in range(-20, 80) if len(encode(step)) <= size]
    assert len(nnc.finest(encode, size, -20, 79)) == len(encode(fits[0]))


def test_no_step_is_fine_enough():
    assert nnc.finest(lambda step: b"12", 1, -20, 79) == b""


@pytest.mark.parametrize("biased", [False, True])
def test_a_folded_norm_is_the_network_again(biased):
    """NNCodec scales the layer by γ/√(v + ε), and gives it a bias; what belongs together it is told."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=biased), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).eval()
    for tensor in (net[1].weight.data, net[1].bias.data, net[1].running_mean, net[1].running_var):
        tensor.uniform_(0.5, 2)
    tensors = {name: t.numpy().copy() for name, t in net.state_dict().items() if t.ndim}
    told = nnc.blocks(list(tensors), {"1": "0"})
    assert {told["block_identifier"][name] for name in tensors if name[0] in "01"} == {"0"}
    assert told["parameter_type"]["1.weight"] == "bn.gamma"
    assert (told["block_identifier"]["3.bias"], told["parameter_type"]["3.bias"]) == ("3", "bias")

    gain = tensors["1.weight"] / np.sqrt(tensors["1.running_var"] + 1e-5)
    shift = (tensors.get("0.bias", 0) - tensors["1.running_mean"]) * gain + tensors["1.bias"]
    decoded = {"0.weight": tensors["0.weight"] * gain[:, None, None, None]}
    decoded |= {
        "0.bias" if biased else "0.weight.bias": shift,
        "3.weight": tensors["3.weight"],
        "3.bias": tensors["3.bias"],
    }
    found = nnc.named(decoded, {name: t.shape for name, t in tensors.items()}, {"1": "0"})
    assert found.keys() == tensors.keys()
    inputs = torch.randn(5, 3, 4, 4)
    before = net(inputs)
    net.load_state_dict({name: torch.from_numpy(np.float32(t)) for name, t in found.items()}, strict=False)
    assert torch.allclose(net(inputs), before, atol=1e-5)


def test_stand_ins_are_for_missing_packages_alone(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, nnc.StandIns({"nowhere"})])
    assert import_module("nowhere.deep").anything.at.all
    with pytest.raises(ModuleNotFoundError):
        import_module("elsewhere")
    for name in [name for name in sys.modules if name.split(".")[0] == "nowhere"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_run_that_is_resumed_has_the_same_bytes_and_solves_nothing(tmp_path: Path, monkeypatch):
    arguments = SimpleNamespace(**{**vars(ASKED), "resume": tmp_path})
    files = list[bytes]()
    for solver in (sequence.quantized, None):
        monkeypatch.setattr(sequence, "quantized", solver)
        trial, _ = original().ready(0, arguments)[0].within(1000, TRIES["fast"], {})
        files.append(container.dumps(trial.codes))
    assert files[0] == files[1]
