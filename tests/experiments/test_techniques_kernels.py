"""The recipe of techniques on networks with kernels: each technique has what it is for, and what cannot be says why."""

import json
from dataclasses import replace

import pytest
import torch
from toys import digits

from laconic import Canonical, KeepGroups, LowRank, Tucker
from laconic.api import compress
from laconic.errors import DataError, WeightsError
from laconic.experiments.recipes import Cache, Context, recipe, reproduce
from laconic.experiments.recipes.equal_sizes import kernels, truncation
from laconic.experiments.recipes.equal_sizes.settings import COMPARED
from laconic.experiments.recipes.equal_sizes.subject import learning
from laconic.experiments.recipes.records import network
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.data import Dataset
from laconic.models.params import params_of

BY = {setting.label: setting for setting in COMPARED}


def published(folder, net, shape, name):
    """Weights of a network that nobody trained, where the published ones are looked for."""
    params = params_of(nets.build(net, shape, 10, 0))
    (folder / "models").mkdir()
    save_checkpoint(folder / "models" / name, params, {})
    return params


def images(patch, side, channels):
    """Digits, enlarged, in place of the data."""
    pixels, labels = digits(300)
    large = pixels.reshape(-1, 1, 8, 8).repeat_interleave(side // 8, 2).repeat_interleave(side // 8, 3)
    large = large.expand(-1, channels, -1, -1).contiguous()
    parts = {"train": slice(0, 200), "validation": slice(200, 250), "test": slice(250, 300)}
    ready = Dataset("digits", {split: (large[part], labels[part]) for split, part in parts.items()}, 10, "none")
    patch.setattr(network.data, "load", lambda *_, **__: ready)


@pytest.fixture
def lenet5(tmp_path, monkeypatch):
    """A folder with 16 x 16 digits for MNIST and a LeNet-5 of them."""
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").touch()
    images(monkeypatch, 16, 1)
    published(tmp_path, "lenet5", (1, 16, 16), "lenet5_mnist.safetensors")
    return tmp_path


def test_every_label_is_a_setting():
    assert set(kernels.LABELS) <= set(BY)
    assert {"two_components", "tucker", "cp", "filters", "channels", "heads", "rank after orthogonality"} <= set(
        kernels.LABELS
    )


def test_kernels_and_matrices_have_rows_of_their_own():
    params = params_of(nets.build("lenet5", (1, 28, 28), 10, 0))

    def rows(label, strength):
        return {
            name: row for names, row in BY[label].plan(strength, params).tensors.items() for name in names.split(", ")
        }

    components = rows("two_components", 3)
    assert list(components) == ["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"]
    assert [row.view for row in components.values()] == ["out.kw|in.kh"] * 2 + ["out|in.kh.kw"] * 2
    assert all(isinstance(row, LowRank) and row.rank == 3 for row in components.values())
    channels, filters = rows("channels", 0.5), rows("filters", 0.5)
    assert [isinstance(row, KeepGroups) for row in channels.values()] == [False, True, True, True]
    assert [isinstance(row, KeepGroups) for row in filters.values()] == [True, True, True, False]
    assert {type(row) for row in rows("tucker", 3).values()} == {Tucker}
    assert {type(row) for row in rows("cp", 3).values()} == {Canonical}
    file = compress(params, BY["two_components"].plan(3, params))
    assert all(torch.linalg.matrix_rank(file.params[f"fc{n}.weight"]) == 3 for n in (1, 2))


def test_a_run_on_lenet5(lenet5, tmp_path, monkeypatch):
    few = replace(
        kernels._LENET5, images=128, targets=(6_000,), learning=learning(1, 2, 1, lr=0.02), tries=1, prices=(1e-2,)
    )
    monkeypatch.setattr(kernels, "_LENET5", few)
    monkeypatch.setattr(kernels, "LABELS", ("channels", "heads", "two_components", "rank after orthogonality"))
    reproduce(recipe("techniques-lenet5"), tmp_path / "run", lambda done, text: None, data_dir=lenet5)
    record = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    rows = {(row["setting"], row["method"]): row for row in record["rows"]}
    assert len(rows) == 8
    assert "20 rows do not make 50 heads" in rows["heads", "direct"]["reason"] == rows["heads", "LC"]["reason"]
    for label in ("channels", "two_components", "rank after orthogonality"):
        assert rows[label, "direct"]["reached"]
        assert rows[label, "LC"]["bytes"] > 0
    page = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "Starts of k-means" not in page
    assert "(techniques-lenet5.png)" in page
    assert (tmp_path / "run" / "techniques-lenet5.png").exists()


def test_resnet20_has_constant_statistics_and_says_the_same(tmp_path, monkeypatch):
    images(monkeypatch, 8, 3)
    params = published(tmp_path, "resnet20", (3, 8, 8), "resnet20_cifar10.safetensors")
    subject = kernels.resnet20(Context(Cache(tmp_path / "run", {}), tmp_path))
    assert subject.task.still
    assert subject.task.count("train") == 4, "fewer images than an epoch has, in batches of 50"
    assert all(not t.any() for name, t in subject.params.items() if name.endswith("running_mean"))
    own = replace(subject.task, still=()).evaluate(params, "test")
    assert subject.task.evaluate(subject.params, "test") == pytest.approx(own, rel=1e-3)
    small, full = (
        kernels.resnet20(Context(Cache(tmp_path / str(train), {}), tmp_path, train=train)) for train in (False, True)
    )
    epochs = [one.effort.before.epochs + one.effort.learning.finetune.epochs for one in (small, full)]
    assert epochs == [30, 770]
    assert kernels.resnet20(Context(Cache(tmp_path / "f", {}), tmp_path, fast=True)).effort.targets == (53_944,)


def test_what_is_missing_is_named(tmp_path, lenet5):
    with pytest.raises(DataError, match="needs MNIST"):
        kernels.lenet5(Context(Cache(tmp_path / "a", {})))
    with pytest.raises(DataError, match=r"CIFAR-10 and models/resnet20_cifar10\.safetensors.*--data-dir"):
        kernels.resnet20(Context(Cache(tmp_path / "b", {})))
    (lenet5 / "models" / "lenet5_mnist.safetensors").unlink()
    with pytest.raises(
        DataError, match=r"LeNet-5 starts from the published network .*lenet5_mnist\.safetensors, which is missing"
    ):
        kernels.lenet5(Context(Cache(tmp_path / "c", {}), lenet5))


def test_a_price_at_which_training_diverges_has_a_reason_for_a_row_and_is_not_tried_again(lenet5, monkeypatch):
    tried = []

    def diverging(*given):
        tried.append(given)
        raise WeightsError("training diverged")

    monkeypatch.setattr(truncation, "trained", diverging)
    for _ in range(2):
        subject = kernels.lenet5(Context(Cache(lenet5 / "run", {}), lenet5, fast=True))
        rows = truncation.truncated_rows(subject, BY["rank after nuclear norm"], tuned=True)
        assert [(row.method, row.figures["reason"]) for row in rows] == [
            ("direct", "training diverged"), ("LC", "training diverged"),
        ]  # fmt: skip
    assert len(tried) == 1
