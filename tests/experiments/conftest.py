"""Data of which recipes run in seconds."""

from functools import partial
from importlib import import_module

import numpy as np
import pytest

from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.data.cifar import read_cifar10
from laconic.models.nets import vgg, zoo
from laconic.models.nets.resnet import ResNet
from laconic.models.params import params_of


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    """Random images in the official layout, 10 a file, and random weights for the published network.

    Networks have the layers of a stage once: a file of 50 small tensors takes its time.
    """
    folder, source = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (folder / "cifar10").mkdir()
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        records = source.integers(0, 256, (10, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(10)
        (folder / "cifar10" / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "models").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "ResNet", lambda shape, classes, blocks: ResNet(shape, classes, 1))
        weights = params_of(nets.build("resnet20", seed=1))
        save_checkpoint(folder / "models" / "resnet20_cifar10.safetensors", weights, {})
        patch.setattr(import_module("laconic.models.data.load"), "read_cifar10", partial(read_cifar10, records=10))
        patch.setattr(vgg, "_CHANNELS", ((8,), (8,), (16,), (16,), (16,)))
        patch.setattr("laconic.lc.learning._ANSWERED", 2)
        patch.setattr("torch.cuda.is_available", lambda: False)
        yield folder
