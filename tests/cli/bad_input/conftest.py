"""What the tests of bad input share: a network, its file, and the refusal that is asked for."""

from pathlib import Path

import pytest

from laconic.cli import run
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of

from .folders import contents


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, which is empty, and no data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LACONIC_DATA", raising=False)
    return tmp_path


@pytest.fixture
def net():
    """`net.safetensors`: LeNet-300-100 for digits, not trained; it says what it is."""
    module = nets.build("lenet300", (1, 8, 8))
    save_checkpoint(Path("net.safetensors"), params_of(module), nets.identity("lenet300", "digits", "pixels/16"))
    return "net.safetensors"


@pytest.fixture
def lac(net):
    """`net.lac`, of `net.safetensors`."""
    assert run(["compress", net, "-o", "net.lac", "--codebook", "4", "--quiet"]) == 0
    return "net.lac"


@pytest.fixture
def refused(capsys):
    """Function: arguments → the one line on standard error; nothing else is said and no file has changed."""

    def start(*arguments):
        before = contents()
        assert run([str(argument) for argument in arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert contents() == before
        return err

    return start
