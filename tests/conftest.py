"""What all tests share: the options --slow and --all, and real data where there are any."""

import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import threads  # noqa: F401  as long as no benchmark has been imported
import torch

from laconic.models import data
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Images

torch.set_num_threads(1)  # with more, small batches wait for one another on a busy machine
for profile, examples in (("usual", 25), ("all", 150)):  # the same examples in every run
    hypothesis.settings.register_profile(profile, derandomize=True, deadline=None, max_examples=examples)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")
    parser.addoption("--all", action="store_true", help="run every case of the laws and of other tables, not a few")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("all" if config.getoption("--all") else "usual")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all"):
        left = [item for item in items if item.get_closest_marker("full")]  # keywords have names of folders, too
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow: runs with --slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for no examples in the docstrings of tests, whose class is one of modules, too: it takes seconds."""
    return [collector for collector in (yield) if type(collector) is pytest.Module]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A command that sets the number of threads, or is quiet, does so for its own test alone."""
    yield
    torch.set_num_threads(1)
    logging.getLogger("laconic").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data: LACONIC_DATA, or `shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LACONIC_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no data folder {folder}: set LACONIC_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def mnist(data_dir: Path) -> Images:
    if not any(data_dir.glob("mnist/train-images*")):
        pytest.skip(f"no MNIST in {data_dir}")
    return data.read("mnist", data_dir)


@pytest.fixture(scope="session")
def cifar10(data_dir: Path) -> Images:
    if not any(data_dir.glob("cifar10/**/test_batch.bin*")):
        pytest.skip(f"no CIFAR-10 in {data_dir}")
    return data.read("cifar10", data_dir)


@pytest.fixture(scope="session")
def checkpoint(data_dir: Path):
    """Function: name of a published network, such as "lenet5_mnist" → its weights."""

    def load(name: str) -> dict[str, torch.Tensor]:
        path = data_dir / "models" / f"{name}.safetensors"
        if not path.is_file():
            pytest.skip(f"no trained network {path}")
        return load_checkpoint(path)[0]

    return load
