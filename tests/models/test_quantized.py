"""Checkpoints that somebody has quantized already: recognised, back bit by bit, smaller, and what they stand for."""

import json
import lzma

import numpy as np
import pytest
import quantized_layouts as others
import torch
import zstandard

import laconic
from laconic.errors import WeightsError
from laconic.format.codes import PackedCode
from laconic.format.codes.words import Words
from laconic.models.checkpoints import checkpoint_bytes
from laconic.models.quantized import quantized
from laconic.models.standing import weight_of


def network(rows=256, columns=384, seed=0):
    """A layer whose rows have scales of their own, and a bias."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.exp(torch.randn(rows, 1, generator=generator) / 4)
    heavy = torch.randn(rows, columns, generator=generator) * (1 + torch.rand(rows, columns, generator=generator))
    return {"fc.weight": heavy * spread / 30, "fc.bias": torch.randn(rows, generator=generator)}


@pytest.mark.parametrize("layout", others.LAYOUTS)
def test_a_quantized_network_comes_back_bit_by_bit_from_fewer_bytes_than_others_take(layout):
    packed = others.packed(network(), layout)
    result = laconic.recode(packed)
    assert list(result.params) == list(packed)
    for name, tensor in packed.items():
        assert result.params[name].dtype == tensor.dtype
        assert torch.equal(result.params[name], tensor), name
    found = quantized(packed, {})
    assert len(found.layers) == 1
    assert found.layers[0].layout in layout or layout == "int8 with scales"
    assert layout == "int8 with scales" or isinstance(result.codes[found.layers[0].parts["integers"]], PackedCode)
    raw = checkpoint_bytes(packed)
    assert result.file_bytes < min(
        len(zstandard.ZstdCompressor(level=19).compress(raw)), len(lzma.compress(raw, preset=9))
    )


def stood_for(weight, layout):
    """What the packer rounds to, from its own integers, in float64."""
    bits = 3 if "3 bits" in layout else 4
    if layout == "int8 with scales":
        integers, scales = others.symmetric(weight, 8, weight.shape[1])
        zeros = np.zeros_like(scales)
    elif layout == "compressed-tensors, 4 bits":
        integers, scales = others.symmetric(weight, 4, 128)
        zeros = np.zeros_like(scales)
    else:
        integers, zeros, scales = others.asymmetric(weight, bits, 128)
    wide = [np.repeat(np.float64(each), weight.shape[1] // each.shape[1], axis=1) for each in (zeros, scales)]
    return (integers - wide[0]) * wide[1]


@pytest.mark.parametrize("layout", [name for name in others.LAYOUTS if "act order" not in name])
def test_weights_are_what_the_integers_stand_for(layout):
    params = network()
    packed = others.packed(params, layout)
    weights = laconic.dequantized(packed)
    assert list(weights) == ["fc.weight", "fc.bias"]
    exact = torch.from_numpy(stood_for(params["fc.weight"], layout)).to(weights["fc.weight"].dtype)
    assert torch.equal(weights["fc.weight"], exact)


def test_columns_in_another_order_have_the_scales_of_their_groups():
    params = network()
    straight, shuffled = (others.gptq(params["fc.weight"], shuffled=seed) for seed in (None, 7))
    assert not torch.equal(straight["g_idx"], shuffled["g_idx"])
    weight = laconic.dequantized({f"fc.{k}": v for k, v in shuffled.items()})["fc.weight"].float()
    steps = (weight - params["fc.weight"]).abs() / shuffled["scales"].float().T[:, shuffled["g_idx"].long()]
    assert float(steps.max()) < 0.51
    shuffled["g_idx"][3] = 3
    with pytest.raises(WeightsError, match=r"fc\.g_idx: it is no group, below 3"):
        laconic.dequantized({f"fc.{k}": v for k, v in shuffled.items()})


def test_zeros_of_the_second_version_of_gptq_are_stored_as_they_are():
    packed = {f"fc.{k}": v for k, v in others.gptq(network()["fc.weight"]).items()}
    found = quantized(packed, {"quantization_config": '{"quant_method": "gptq", "checkpoint_format": "gptq_v2"}'})
    assert found.notes == ()
    second, first = weight_of(packed, found.layers[0]), laconic.dequantized(packed)["fc.weight"]
    scales = packed["fc.scales"].float().T.repeat_interleave(128, dim=1)
    assert torch.allclose(second.float() - first.float(), scales, rtol=0.01)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_compressed_tensors_of_any_bits_are_unpacked_whichever_way_they_are_packed(bits, dense):
    params = network(64, 256)
    packed = others.compressed_tensors(params["fc.weight"], bits, dense=dense)
    named = {f"fc.{k}": v for k, v in packed.items()}
    signed, scales = others.symmetric(params["fc.weight"], bits, 128)
    weight = laconic.dequantized(named)["fc.weight"]
    assert torch.equal(
        weight, (torch.from_numpy(signed) * torch.from_numpy(scales).repeat_interleave(128, 1)).bfloat16()
    )
    code = laconic.recode(named).codes["fc.weight_packed"]
    assert isinstance(code, PackedCode)
    assert code.words.bits == bits


@pytest.mark.parametrize(("bits", "span", "width"), [(3, 3, 32), (4, 1, 32), (5, 5, 32), (7, 7, 64), (2, 1, 8)])
def test_words_are_a_string_of_bits(bits, span, width):
    integers = np.random.default_rng(0).integers(0, 1 << bits, (5, 2 * span * width // bits))
    string = "".join(f"{n:0{bits}b}"[::-1] for n in integers[3].tolist())
    words = Words(bits, span, 1).packed(integers, np.dtype(f"u{width // 8}"))
    assert [int(string[at : at + width][::-1], 2) for at in range(0, len(string), width)] == words[3].tolist()
    assert (Words(bits, span, 1).unpacked(words) == integers).all()
    assert (Words(bits, span, 0).unpacked(words.T) == integers).all()


def test_what_has_no_known_layout_is_kept_and_said():
    packed = others.packed(network(), "AWQ, 4 bits")
    for spoilt in ("fc.scales", "fc.qzeros"):
        params = {**packed, spoilt: packed[spoilt][:, :-1].contiguous()}
        found = quantized(params, {"config.json": '{"quantization_config": {"quant_method": "awq"}}'})
        assert found.layers == ()
        assert "'awq', but no tensors have its layout" in found.notes[0]
        result = laconic.recode(params)
        assert all(torch.equal(result.params[name], tensor) for name, tensor in params.items())
    assert quantized(packed, {"quantization_config": "{"}).notes == ()
    strange = quantized(network(), {"quantization_config": '{"quant_method": "exotic"}'})
    assert strange.notes == ("quant_method 'exotic' is not known here: its tensors are kept as they are, without loss",)


def test_words_with_bits_between_the_integers_are_kept_as_they_are():
    packed = others.compressed_tensors(network(64, 256)["fc.weight"], 3, dense=False)
    packed["weight_packed"][0, 0] |= -1 << 31  # a bit that belongs to no integer
    result = laconic.recode(packed)
    assert not isinstance(result.codes["weight_packed"], PackedCode)
    assert torch.equal(result.params["weight_packed"], packed["weight_packed"])


MODELOPT = {
    "fc.weight": torch.zeros(8, 16, dtype=torch.uint8),
    "fc.weight_scale": torch.ones(8, 2).to(torch.float8_e4m3fn),
    "fc.weight_scale_2": torch.ones(()),
}


@pytest.mark.parametrize(
    "params",
    [
        MODELOPT,
        {**MODELOPT, "fc.weight_scale": torch.ones(8, 2)},
        {name: MODELOPT[name] for name in ("fc.weight", "fc.weight_scale")},
        {"fc.weight": torch.zeros(8, 16, dtype=torch.uint8), "fc.weight_scale": torch.ones(8, 1)},
        {"fc.weight": torch.zeros(8, 16, dtype=torch.int8), "fc.weight_scale": torch.ones(8, 1).double()},
    ],
)
def test_bytes_with_scales_that_may_mean_anything_else_are_no_weights(params):
    assert quantized(params, {}).layers == ()
    assert quantized(params, {}).unknown


def test_float8_without_scales_are_weights():
    alone = {"fc.weight": torch.ones(8, 16).to(torch.float8_e4m3fn)}
    assert quantized(alone, {}).unknown is None
    assert quantized({**alone, "fc.weight_scale_inv": torch.ones(1, 1)}, {}).unknown


def test_of_an_unknown_method_nothing_is_taken_for_weights_but_words_are_still_packed():
    packed = others.packed(network(), "AWQ, 4 bits")
    told = {"quantization_config": '{"quant_method": "exotic"}'}
    found = quantized(packed, told)
    assert (found.layers, found.unknown) == ((), "exotic")
    assert found.words == quantized(packed, {}).words
    assert laconic.dequantized(packed, told).keys() == packed.keys()


def test_compressed_tensors_have_the_bits_that_the_configuration_says():
    packed = {  # a word of a row may be of 2 integers of 4 bits, or of 3, or of 8
        "fc.weight_packed": torch.zeros(8, 1, dtype=torch.int32), "fc.weight_scale": torch.ones(8, 1),
        "fc.weight_shape": torch.tensor([8, 2]),
    }  # fmt: skip
    assert quantized(packed, {}).layers[0].bits == 4
    told = {"config_groups": {"group_0": {"weights": {"num_bits": 3}}}, "quant_method": "compressed-tensors"}
    assert quantized(packed, {"quantization_config": json.dumps(told)}).layers[0].bits == 3
    told["config_groups"]["group_0"]["weights"]["num_bits"] = 24
    assert quantized(packed, {"quantization_config": json.dumps(told)}).layers == ()
