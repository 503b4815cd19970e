"""`laconic compress` of checkpoints of which nothing may change, and of quantized ones."""

import json
from pathlib import Path

import pytest
import quantized_layouts as others
import torch
from safetensors.torch import load_file, save_file

import laconic
from laconic.cli import run
from laconic.cli.console import Output
from laconic.cli.jobs.tasks import weights_of
from laconic.format.lossless import is_mask_code

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


@pytest.fixture
def gptq_v2(tmp_path, monkeypatch):
    """Folder `m` whose configuration alone says that zeros are stored as they are; the weights that it stands for."""
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    packed = others.packed(TORN, "GPTQ, 4 bits")
    config = {"quant_method": "gptq", "checkpoint_format": "gptq_v2"}
    save_file(packed, "m/model.safetensors")
    Path("m/config.json").write_text(json.dumps({"vocab_size": 5, "quantization_config": config}))
    Path("m/quantize_config.json").write_text("{}")
    return laconic.dequantized(packed, {"quantization_config": json.dumps(config)})["fc.weight"].float()


def test_a_folder_that_is_requantized_has_no_word_of_how_it_was_quantized(gptq_v2, call):
    call("compress", "m", "-o", "small", "--requantize", "--bits", "6")
    call("decompress", "small", "-o", "back")
    assert "of" not in json.loads(Path("small/config.json").read_text())["quantization_config"]
    assert json.loads(Path("back/config.json").read_text()) == {"vocab_size": 5}
    assert not Path("back/quantize_config.json").exists()


def test_a_file_is_read_by_the_configuration_beside_it(gptq_v2, call):
    def near(path):
        return float((laconic.load(path)["fc.weight"].float() - gptq_v2).norm() / gptq_v2.norm()) < 0.05

    call("compress", "m/model.safetensors", "-o", "a.lac", "--requantize", "--bits", "6")
    assert near("a.lac")
    told = {"quantization_config": Path("m/config.json").read_text(), "config": Path("m/config.json").read_text()}
    save_file(load_file("m/model.safetensors"), "told.safetensors", told)
    call("compress", "told.safetensors", "-o", "told.lac", "--requantize", "--bits", "6")
    with laconic.open("told.lac") as file:
        assert "quantization_config" not in file.metadata
        assert file.metadata["config"] == '{"vocab_size": 5}'
    call("compress", "m", "-o", "small")
    for path in ("m", "m/model.safetensors", "small"):
        assert torch.equal(weights_of(Output(quiet=True), Path(path)).params["fc.weight"].float(), gptq_v2)
    Path("m/config.json").write_text("[")
    call("compress", "m/model.safetensors", "-o", "b.lac", "--requantize", "--bits", "6")
    assert not near("b.lac")


def test_what_the_quantizer_has_written_beside_settles_the_layout(gptq_v2, refused):
    """AutoGPTQ's own file, where `config.json` has no word of it, less of it, or another method."""
    said, other = {"bits": 4, "checkpoint_format": "gptq_v2"}, {"quant_method": "gptq", "checkpoint_format": "gptq"}
    cases = [({}, said, True), ({"quant_method": "gptq"}, said, True), (other, said, False), ({}, {"bits": 4}, False)]
    for config, beside, right in cases:
        Path("m/config.json").write_text(json.dumps({"quantization_config": config} if config else {}))
        Path("m/quantize_config.json").write_text(json.dumps(beside))
        for path in ("m", "m/model.safetensors"):
            found = weights_of(Output(quiet=True), Path(path)).params["fc.weight"].float()
            assert torch.equal(found, gptq_v2) == right, (config, beside, path)
    Path("m/config.json").unlink()
    Path("m/quantize_config.json").unlink()
    Path("m/hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    assert "'modelopt'" in refused("compress", "m", "-o", "x", "--requantize", "--bits", "6")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_all_words_of_two_bytes_come_back_without_a_warning():
    words = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.bfloat16, torch.float16):
        code = laconic.recode({"a": words.view(dtype)}).codes["a"]
        assert not is_mask_code(code)
        assert (code.decompress().view("u2") == words.numpy().view("u2")).all()


FLOAT8 = {"fc.weight": torch.randn(8, 16).to(torch.float8_e4m3fn), "fc.weight_scale_inv": torch.ones(1, 1)}
NVFP4 = {
    "fc.weight_packed": torch.zeros(8, 16, dtype=torch.uint8), "fc.weight_global_scale": torch.ones(()),
    "fc.weight_scale": torch.ones(8, 2).to(torch.float8_e4m3fn),
}  # fmt: skip
MXFP4 = {name: torch.zeros(8, 4, dtype=torch.uint8) for name in ("fc.weight_packed", "fc.weight_scale")}


@pytest.mark.parametrize("method", [None, "compressed-tensors"])
@pytest.mark.parametrize("params", [FLOAT8, NVFP4, MXFP4])
def test_bytes_with_scales_in_a_layout_that_is_not_known_lose_nothing(params, method, tmp_path, capsys):
    told = {} if method is None else {"quantization_config": json.dumps({"quant_method": method})}
    whole = {**params, "norm.weight": torch.randn(64), "fc.bias": torch.randn(8)}
    save_file(whole, tmp_path / "a.safetensors", told)
    command = ["compress", str(tmp_path / "a.safetensors"), "-o", str(tmp_path / "a.lac")]
    assert run([*command, "--bits", "3"]) == 1
    assert "in a layout that is not known here" in " ".join(capsys.readouterr().err.split())
    assert run(command) == 0
    after = laconic.load(tmp_path / "a.lac")
    assert after.keys() == whole.keys()
    for name, tensor in whole.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name].double(), tensor.double())
