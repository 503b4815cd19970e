"""Compact networks: counts by closed form and in print, names and shapes of the common zoos, and bad inputs."""

from functools import cache

import pytest
import torch
from torch import nn

from laconic.errors import DataError, WeightsError
from laconic.models import data, nets
from laconic.models.counting import counted
from laconic.models.data.images import Images
from laconic.models.nets import MobileNetV1, MobileNetV2, blocks
from laconic.models.params import apply_to, params_of


@cache
def of_class(kind, width=1.0, side=224, **options):
    """A network without numbers: what has a shape can be counted."""
    with torch.device("meta"):
        module = kind((3, side, side), 1000, width=width, **options)
        inputs = torch.zeros(1, 3, side, side)
    return module, counted(module, lambda: module(inputs))


# --- blocks ------------------------------------------------------------------------------------------


def size(module):
    """Parameters but those of normalizations, and the one counter's multiply-adds on maps of 12 × 8."""
    own = [p for part in module.modules() if not isinstance(part, nn.BatchNorm2d) for p in part.parameters(False)]
    return sum(p.numel() for p in own)


def taken(module, channels):
    inputs = torch.randn(1, channels, 12, 8)
    return counted(module, lambda: module(inputs)).multiply_adds


D_IN, D_OUT, K, T = 16, 24, 3, 6


@pytest.mark.parametrize(
    ("block", "weights", "multiply_adds"),
    [
        (lambda: blocks.pointwise(D_IN, D_OUT), D_IN * D_OUT, 96 * D_IN * D_OUT),
        (lambda: blocks.grouped(D_IN, D_OUT, 8), K**2 * D_IN * D_OUT // 8, 96 * K**2 * D_IN * D_OUT // 8),
        (lambda: blocks.grouped(D_IN, D_OUT, 4, kernel=5, stride=2), 25 * 96, 24 * 25 * 96),
        (lambda: blocks.depthwise(D_IN), K**2 * D_IN, 96 * K**2 * D_IN),
        *(
            (
                lambda stride=stride: blocks.DepthwiseSeparable(D_IN, D_OUT, stride),
                K**2 * D_IN + D_IN * D_OUT,
                96 // stride**2 * (K**2 * D_IN + D_IN * D_OUT),
            )
            for stride in (1, 2)
        ),
        *(
            (
                lambda stride=stride, t=t: blocks.InvertedResidual(D_IN, D_OUT, stride, t),
                (D_IN * t * D_IN if t > 1 else 0) + K**2 * t * D_IN + t * D_IN * D_OUT,
                (96 * D_IN * t * D_IN if t > 1 else 0) + 96 // stride**2 * (K**2 * t * D_IN + t * D_IN * D_OUT),
            )
            for stride in (1, 2)
            for t in (1, T)
        ),
    ],
)
def test_blocks_have_the_counts_of_their_docstrings(block, weights, multiply_adds):
    module = block()
    assert size(module) == weights
    assert taken(module, D_IN) == multiply_adds


def test_ratios_of_the_source():
    """1 × 1 has a ninth of the weights of 3 × 3; a separable convolution 1/D_out + 1/k² of the multiply-adds."""
    full = blocks.grouped(D_IN, D_OUT, 1)
    assert size(full) == 9 * size(blocks.pointwise(D_IN, D_OUT))
    share = taken(blocks.DepthwiseSeparable(D_IN, D_OUT, 1), D_IN) / taken(full, D_IN)
    assert share == pytest.approx(1 / D_OUT + 1 / K**2)


def test_depthwise_separable_is_one_convolution_where_nothing_is_between():
    """A depthwise kernel times a pointwise weight is a full kernel: the twin is torch's own convolution."""
    one, other = blocks.depthwise(4), blocks.pointwise(4, 6)
    inputs = torch.randn(2, 4, 7, 5)
    full = torch.einsum("oi,ihw->oihw", other.weight[:, :, 0, 0], one.weight[:, 0])
    assert torch.allclose(other(one(inputs)), nn.functional.conv2d(inputs, full, padding=1), atol=1e-5)


def test_shortcuts_are_where_shapes_are_the_same_and_projections_are_linear():
    inputs = torch.randn(2, 8, 6, 6)
    for block, added in (
        (blocks.InvertedResidual(8, 8, 1, 6), True),
        (blocks.InvertedResidual(8, 8, 1, 6, shortcut=False), False),
        (blocks.InvertedResidual(8, 16, 1, 6), False),
        (blocks.InvertedResidual(8, 8, 2, 6), False),
    ):
        written = block.eval().conv(inputs)
        assert torch.equal(block(inputs), inputs + written if added else written)
        assert (written < 0).any()
    positive = blocks.InvertedResidual(8, 8, 1, 6, linear=False, shortcut=False)(inputs)
    assert positive.min() == 0


# --- counts in print ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "side", "millions", "parameters"),
    [
        (1.0, 224, 569, "4.2"), (0.75, 224, 325, "2.6"), (0.5, 224, 149, "1.3"), (0.25, 224, 41, "0.5"),
        (1.0, 192, 418, "4.2"), (1.0, 160, 290, "4.2"), (1.0, 128, 186, "4.2"),
    ],
)  # fmt: skip
def test_mobilenet_v1_has_the_counts_of_its_paper(width, side, millions, parameters):
    """Tables 6 and 7; 149.497 and 290.675 million are printed as 149 and 290, 568.740 as 569."""
    module, count = of_class(MobileNetV1, width, side)
    assert millions in (int(count.multiply_adds / 1e6), round(count.multiply_adds / 1e6))
    assert f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f}" == parameters


@pytest.mark.parametrize(
    ("width", "side", "millions", "parameters"),
    [
        (1.4, 224, 582, 6.06), (1.0, 224, 300, 3.47), (0.75, 224, 209, 2.61), (0.5, 224, 97, 1.95),
        (0.35, 224, 59, 1.66), (1.0, 192, 221, 3.47), (1.0, 160, 154, 3.47), (1.0, 128, 99, 3.47),
        (1.0, 96, 56, 3.47), (0.35, 96, 11, 1.66),
    ],
)  # fmt: skip
def test_mobilenet_v2_has_the_counts_of_its_authors(width, side, millions, parameters):
    """The table in the authors' repository: multiply-adds cut to millions, parameters without normalizations."""
    module, count = of_class(MobileNetV2, width, side)
    assert int(count.multiply_adds / 1e6) == millions
    assert round(size(module) / 1e6, 2) == parameters


def test_the_widths_have_the_parameters_of_the_common_zoos():
    assert sum(p.numel() for p in of_class(MobileNetV1)[0].parameters()) == 4_231_976
    assert sum(p.numel() for p in of_class(MobileNetV2)[0].parameters()) == 3_504_872


# --- names of the common zoos ------------------------------------------------------------------------


def norm(name, channels):
    numbers = dict.fromkeys((f"{name}.{key}" for key in ("weight", "bias", "running_mean", "running_var")), (channels,))
    return numbers | {f"{name}.num_batches_tracked": ()}


def torchvision_v2():
    """Table 2 of the paper by the names that torchvision's module tree gives."""
    table = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    names = {"features.0.0.weight": (32, 3, 3, 3)} | norm("features.0.1", 32)
    before, place = 32, 1
    for t, c, n in table:
        for _ in range(n):
            inner, at = t * before, f"features.{place}.conv"
            if t == 1:
                depthwise, projection, last = "0", "1", "2"
            else:
                names |= {f"{at}.0.0.weight": (inner, before, 1, 1)} | norm(f"{at}.0.1", inner)
                depthwise, projection, last = "1", "2", "3"
            names |= {f"{at}.{depthwise}.0.weight": (inner, 1, 3, 3)} | norm(f"{at}.{depthwise}.1", inner)
            names |= {f"{at}.{projection}.weight": (c, inner, 1, 1)} | norm(f"{at}.{last}", c)
            before, place = c, place + 1
    names |= {"features.18.0.weight": (1280, 320, 1, 1)} | norm("features.18.1", 1280)
    return names | {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}


def timm_v1():
    """Table 1 of the paper by the names that timm's module tree gives."""
    stages = [[64], [128] * 2, [256] * 2, [512] * 6, [1024] * 2]
    names, before = {"conv_stem.weight": (32, 3, 3, 3)} | norm("bn1", 32), 32
    for stage, widths in enumerate(stages):
        for place, after in enumerate(widths):
            at = f"blocks.{stage}.{place}"
            names |= {f"{at}.conv_dw.weight": (before, 1, 3, 3), f"{at}.conv_pw.weight": (after, before, 1, 1)}
            names |= norm(f"{at}.bn1", before) | norm(f"{at}.bn2", after)
            before = after
    return names | {"classifier.weight": (1000, 1024), "classifier.bias": (1000,)}


@pytest.mark.parametrize(("kind", "names"), [(MobileNetV1, timm_v1()), (MobileNetV2, torchvision_v2())])
def test_names_and_shapes_are_those_of_the_common_zoos(kind, names):
    for options in ({}, {"small": True}) + (({"linear": False, "shortcut": False},) if kind is MobileNetV2 else ()):
        own = of_class(kind, **options)[0].state_dict()
        assert {name: tuple(tensor.shape) for name, tensor in own.items()} == names


# --- the zoo -----------------------------------------------------------------------------------------


def test_small_images_keep_their_maps_longer():
    """A stem for CIFAR leaves 4 × 4 positions of 32 × 32, one for ImageNet 1."""
    inputs = torch.zeros(1, 3, 32, 32)
    for small, side in ((True, 4), (False, 1)):
        with torch.device("meta"):
            module = MobileNetV2((3, 32, 32), 10, width=0.35, small=small).eval()
        assert module.features(inputs.to("meta")).shape[2:] == (side, side)
    assert of_class(MobileNetV2, 0.5, 32, small=True)[1].multiply_adds < 41e6  # ResNet-20's


def test_preprocessing_of_the_authors_maps_pixels_to_one_and_minus_one():
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 1, 1, 3).expand(4, 3, 2, 3).contiguous()
    images = Images("cifar10", (pixels, torch.arange(4)), (pixels, torch.arange(4)))
    ready = data.prepare(images, nets.preprocessing_of("mobilenet-v1", "cifar10"), validation=0)
    assert ready.split("test")[0][0, 0, 0].tolist() == pytest.approx([-1.0, 1.0, -0.6])


def test_first_weights_are_cut_off_at_two_deviations():
    params = params_of(nets.build("mobilenet-v2-0.5-cifar"))
    for name in ("features.1.conv.0.0.weight", "features.18.0.weight", "classifier.1.weight"):
        assert params[name].abs().max() <= 0.18
    assert params["features.18.0.weight"].std() == pytest.approx(0.09 * 0.8796, rel=0.02)  # of a cut-off normal one
    assert not params["classifier.1.bias"].any()


# --- bad inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("mobilenet-v1", "conv_stem"), ("mobilenet-v1-cifar", "blocks.1.0.conv_dw"),
        ("mobilenet-v2", "features.0.0"), ("mobilenet-v2-cifar", "features.4.conv.1.0"),
    ],
)  # fmt: skip
def test_an_odd_image_size_names_the_layer_and_both_sizes(name, layer):
    with pytest.raises(DataError, match=rf"{layer}, of stride 2, .*225x224 and write 113x112.*\(3, 224, 224\)"):
        nets.build(name, (3, 225, 224))
    with pytest.raises(DataError, match="takes images"):
        nets.build(name, (784,))


def test_the_layer_that_is_named_is_the_first_that_halves():
    for kind, small, layer in (
        (MobileNetV1, False, "conv_stem"), (MobileNetV1, True, "blocks.1.0.conv_dw"),
        (MobileNetV2, False, "features.0.0"), (MobileNetV2, True, "features.4.conv.1.0"),
    ):  # fmt: skip
        module = of_class(kind, 0.25, 32, small=small)[0]
        strided = [n for n, part in module.named_modules() if isinstance(part, nn.Conv2d) and part.stride == (2, 2)]
        assert strided[0] == layer


def test_a_width_that_no_group_divides_names_the_layer_and_both_shapes():
    for before, after in ((10, 12), (12, 10)):
        with pytest.raises(DataError, match=rf"mixed cannot have 4 groups.*\({after}, {before}, 3, 3\).*'{before}/4'"):
            blocks.grouped(before, after, 4, layer="mixed")


def test_a_checkpoint_of_another_width_names_the_layer_and_both_shapes():
    wide, narrow = (nets.build(f"mobilenet-v2-{name}cifar") for name in ("", "0.5-"))
    with pytest.raises(WeightsError, match=r"features.0.0.weight: .*\(16, 3, 3, 3\), not \(32, 3, 3, 3\)"):
        apply_to(narrow, params_of(wide))
