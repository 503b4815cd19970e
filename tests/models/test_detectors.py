"""Detectors: counts in print, names of the common zoo, default boxes by their formulas, and bad inputs."""

import math
from functools import cache

import pytest
import torch
from torch import nn

from laconic.errors import DataError
from laconic.models.nets.default_boxes import default_boxes, scales_of, sides_of
from laconic.models.nets.ssd import Detector, halving, initialize_detector, predictor
from laconic.models.nets.ssd_vgg import SSDVGG


@cache
def of_shapes(make, side):
    """A network without numbers, in evaluation mode."""
    with torch.device("meta"):
        return make().eval()


def ssdlite_v2():
    return Detector((3, 320, 320), 80)


def ssdlite_v1():
    return Detector((3, 320, 320), 80, base="mobilenet-v1")


def ssd300():
    return SSDVGG(300, 90)


def test_ssd300_has_the_parameters_of_torchvision_s():
    """Multiply-adds and all other counts are tested with the recipe that counts them."""
    assert sum(p.numel() for p in of_shapes(ssd300, 300).parameters()) == 35_641_826


def test_maps_and_boxes_are_those_of_the_configurations():
    """SSD300 has 8,732 default boxes, as in its paper; SSDLite at 320 has 2,034."""
    for make, side, boxes in (
        (ssd300, 300, 8732),
        (ssdlite_v2, 320, 2034),
    ):
        module = of_shapes(make, side)
        assert module(torch.zeros(1, 3, side, side, device="meta")).shape[:2] == (1, boxes)
    for make in (ssdlite_v1, ssdlite_v2):
        module = of_shapes(make, 320)
        assert module.maps == [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
        maps = module.backbone(torch.zeros(1, 3, 320, 320, device="meta"))
        assert [tuple(one.shape[2:]) for one in maps] == module.maps
        assert [one.shape[1] for one in maps] == list(module.backbone.channels)
        assert len(module.default_boxes) == 2034


@pytest.mark.parametrize(
    "options", [{}, {"base": "mobilenet-v1"}, {"small": True}, {"base": "mobilenet-v1", "small": True}]
)
def test_maps_have_the_sides_that_default_boxes_are_made_for(options):
    with torch.device("meta"):
        module = Detector((3, 84, 66), 3, width=0.25, extras=2, **options).eval()
    maps = module.backbone(torch.zeros(1, 3, 84, 66, device="meta"))
    assert [tuple(one.shape[2:]) for one in maps] == module.maps
    assert len(module.default_boxes) == module(torch.zeros(1, 3, 84, 66, device="meta")).shape[1]


def test_names_are_those_of_torchvision_s_detectors():
    names = set(of_shapes(ssdlite_v2, 320).state_dict())
    for name in (
        "backbone.features.0.0.weight", "backbone.features.14.conv.0.0.weight", "backbone.features.18.1.running_var",
        "backbone.extra.0.0.0.weight", "backbone.extra.3.2.1.bias",
        "head.classification_head.module_list.0.0.0.weight", "head.classification_head.module_list.5.1.bias",
        "head.regression_head.module_list.0.0.1.weight", "head.regression_head.module_list.5.1.weight",
    ):  # fmt: skip
        assert name in names
    shapes = {name: tuple(tensor.shape) for name, tensor in of_shapes(ssd300, 300).state_dict().items()}
    assert shapes["backbone.features.21.weight"] == (512, 512, 3, 3)
    assert shapes["backbone.extra.0.7.1.weight"] == (1024, 512, 3, 3)
    assert shapes["backbone.extra.4.2.weight"] == (256, 128, 3, 3)
    assert shapes["head.classification_head.module_list.1.weight"] == (6 * 91, 1024, 3, 3)
    assert not any("default" in name for name in names)  # they are made, not stored


@pytest.mark.parametrize("lite", [True, False])
def test_parts_have_the_counts_of_their_docstrings(lite):
    d, k = 24, 18
    part = predictor(d, k, lite=lite)
    assert sum(p.numel() for p in part.parameters()) == (9 * d + 2 * d + d * k + k if lite else 9 * d * k + k)
    assert part(torch.zeros(1, d, 7, 5)).shape == (1, k, 7, 5)
    assert halving(d, 32, lite=lite)(torch.zeros(1, d, 7, 5)).shape == (1, 32, 4, 3)
    assert any(c.groups > 1 for c in halving(d, 32, lite=lite).modules() if isinstance(c, nn.Conv2d)) == lite


def test_what_is_written_belongs_to_the_default_box_of_its_place():
    """A head of which one position of one map is set writes at the numbers of the boxes that lie there."""
    module = Detector((3, 64, 64), 2, base="mobilenet-v1", width=0.25, small=True, extras=1).eval()
    for number in module.head.parameters():
        number.data.abs_()  # no activation is cut off
    maps = [torch.zeros(1, c, *side) for c, side in zip(module.backbone.channels, module.maps, strict=True)]
    plain = module.head.regression_head(maps)
    maps[1][0, :, 2, 1] += 1000
    moved = (module.head.regression_head(maps) != plain).any(-1)[0].nonzero()[:, 0]
    centres = module.default_boxes[moved, :2]
    stride = 16  # of the second map; kernels reach one position further
    assert ((centres - torch.tensor([1.5, 2.5]) * stride).abs() <= stride).all()
    assert len(moved) == 9 * 6


def test_the_number_of_images_is_free_in_an_exported_graph():
    """Of the head alone, where maps become boxes: the layers before it are torch's own."""
    head = Detector((3, 32, 32), 2, base="mobilenet-v1", width=0.25, small=True, extras=0).eval().head
    maps = [torch.randn(3, part[0][0].in_channels, 2, 2) for part in head.regression_head.module_list]
    free = ([{0: torch.export.Dim.AUTO}] * len(maps),)
    graph = torch.export.export(head, ([one[:2] for one in maps],), dynamic_shapes=free, strict=False)
    with torch.no_grad():
        assert graph.module()(maps) == pytest.approx(head(maps), abs=1e-5)


def test_default_boxes_by_the_formulas_of_ssd():
    assert scales_of(6) == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0])
    first, second, *_, last = sides_of(6)
    r = math.sqrt(2)
    assert sum(first, ()) == pytest.approx((0.1, 0.1, 0.2 * r, 0.2 / r, 0.2 / r, 0.2 * r))
    assert [w / h for w, h in second] == pytest.approx([1, 2, 1 / 2, 3, 1 / 3, 1])
    assert second[-1][0] == pytest.approx(math.sqrt(0.35 * 0.5))
    assert last[-1][0] == pytest.approx(math.sqrt(0.95))
    boxes = default_boxes((40, 80), [(2, 4), (1, 1)])
    assert boxes.shape == (2 * 4 * 3 + 6, 4)
    assert boxes[3].tolist() == pytest.approx([30, 10, 0.1 * 80, 0.1 * 40])  # second position of the first row
    assert boxes[-6].tolist() == pytest.approx([40, 20, 0.95 * 80, 0.95 * 40])


def test_first_weights_of_the_head_are_small_and_biases_none():
    module = Detector((3, 64, 64), 2, width=0.35, extras=1)
    initialize_detector(module, torch.Generator().manual_seed(0))
    assert module.head.classification_head.module_list[0][1].weight.abs().max() <= 0.06
    assert module.backbone.features[0][0].weight.abs().max() > 0.06
    assert not module.head.regression_head.module_list[1][1].bias.any()


def test_images_that_leave_no_cells_and_other_bad_inputs_name_the_layer():
    with pytest.raises(DataError, match=r"images of 64x64 give layer backbone.extra.1 a map of 1x1.*extras=1"):
        Detector((3, 64, 64), 3, width=0.35)
    with pytest.raises(DataError, match=r"features.0.0, of stride 2, .*33x64"):
        Detector((3, 33, 64), 3, width=0.35)
    with pytest.raises(DataError, match="side 300 or 512, not 32"):
        SSDVGG(32)
    with pytest.raises(DataError, match="mobilenet-v1 or mobilenet-v2, not on 'vgg'"):
        Detector((3, 64, 64), 3, base="vgg")
    with pytest.raises(DataError, match="0 to 4 extra maps, not 3, 5"):
        Detector((3, 64, 64), 3, extras=5)
    with pytest.raises(DataError, match=r"0 < least <= most <= 1, not 0.5, 0.2"):
        default_boxes((32, 32), [(2, 2)], 0.5, 0.2)
