"""`laconic compress` of checkpoints of which nothing may change, and of quantized ones."""

import json

import pytest
import quantized_layouts as others
import torch
from safetensors.torch import load_file, save_file

from laconic.cli import run

TORN = {"fc.weight": torch.randn(64, 256, generator=torch.Generator().manual_seed(0)) / 9, "fc.bias": torch.ones(64)}


@pytest.fixture
def awq(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file(others.packed(TORN, "AWQ, 4 bits"), "awq.safetensors")


@pytest.fixture
def refused(capsys):
    """Function: arguments → the error."""

    def start(*arguments):
        assert run([*arguments]) == 1
        return capsys.readouterr().err

    return start


def test_a_quantized_checkpoint_is_recoded_and_comes_back_byte_by_byte(awq, call, tmp_path):
    record = json.loads(call("compress", "awq.safetensors", "-o", "a.lac", "--json"))
    assert record["bytes"] < record["reference_bytes"]
    call("decompress", "a.lac", "-o", "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "awq.safetensors").read_bytes()
    assert "as they were" in call("inspect", "a.lac", "--against", "awq.safetensors")


def test_what_it_stands_for_is_compressed_where_that_is_asked(awq, call):
    call("compress", "awq.safetensors", "-o", "a.lac", "--requantize", "--bits", "6")
    call("decompress", "a.lac", "-o", "back.safetensors")
    back = load_file("back.safetensors")
    assert set(back) == {"fc.weight", "fc.bias"}
    assert back["fc.weight"].dtype == torch.float16
    assert float((back["fc.weight"] - TORN["fc.weight"]).norm() / TORN["fc.weight"].norm()) < 0.2


def test_nothing_of_any_checkpoint_changes_where_that_is_asked(awq, call):
    save_file({name: tensor.bfloat16() for name, tensor in TORN.items()}, "half.safetensors")
    call("compress", "half.safetensors", "-o", "half.lac", "--recode")
    call("decompress", "half.lac", "-o", "back.safetensors")
    back = load_file("back.safetensors")
    assert all(torch.equal(back[name], tensor.bfloat16()) for name, tensor in TORN.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("awq.safetensors --bits 3", "--bits: the checkpoint is quantized already (1 weights as AWQ, 4 bits)"),
        ("awq.safetensors --codebook 4 --lossless fc.*", "--codebook, --lossless: the checkpoint is quantized already"),
        ("awq.safetensors --recode --requantize", "give one of them"),
        ("plain.safetensors --requantize", "no weights are quantized here in a layout that is known"),
        ("plain.safetensors --recode --size 10KB", "--size: --recode leaves every tensor as it is"),
        ("strange.safetensors --bits 3", "--bits: quant_method 'exotic' is not known here"),
    ],
)
def test_what_does_not_go_together_is_refused(awq, refused, options, message):
    save_file(TORN, "plain.safetensors")
    save_file(TORN, "strange.safetensors", {"quantization_config": '{"quant_method": "exotic"}'})
    weights, *rest = options.split()
    assert message in refused("compress", weights, "-o", "a.lac", *rest)
