"""What the tests of the command line share: a trained network, one of the published size, and a way to call."""

import pytest

from laconic.cli import run
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of

from .commands import TRAIN


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    assert run([*TRAIN, "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """LeNet-300-100 as published, with random weights: ratios do not depend on them."""
    path = tmp_path_factory.mktemp("published") / "lenet300.safetensors"
    save_checkpoint(path, params_of(nets.build("lenet300")), {})
    return path


@pytest.fixture
def call(capsys):
    """Function: arguments → what was printed, after a success."""

    def start(*arguments):
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return start
