"""What a report is made of: parts and stages that add up to the file, and errors as a slow twin has them."""

import json
import math

import numpy as np
import pytest
import torch

import laconic
from laconic import AdaptiveCodebook, Additive, Joint, KeepLargest, Lossless, LowRank, Plan, UniformGrid
from laconic.cli.console import Output, plain
from laconic.cli.jobs.report import of_file
from laconic.insight.anatomy import classes
from laconic.insight.comparison import BINS, compared, filters, signal
from laconic.insight.grids import rounded_to
from laconic.insight.report import grouped

FILES = {
    "lossless": Plan({"*": Lossless()}),
    "codebook": Plan({"*.weight": Joint(AdaptiveCodebook(4))}),
    "pruned": Plan({"*.weight": KeepLargest(0.03)}),
    "pruned, few values": Plan({"*.weight": KeepLargest(0.03, values=AdaptiveCodebook(4))}),
    "low rank": Plan({"*.weight": LowRank(2, left=AdaptiveCodebook(4))}),
    "sum": Plan({"*.weight": Additive((AdaptiveCodebook(2), KeepLargest(0.02)))}),
    "grid": Plan({"*.weight": UniformGrid(bits=2.0, scales=True)}),
}


@pytest.fixture(scope="module")
def weights():
    generator = torch.Generator().manual_seed(0)
    net = {f"{layer}.weight": torch.randn(40, 60, generator=generator) for layer in ("a", "b")}
    return {**net, "tied.weight": net["a.weight"], "norm.running_var": torch.ones(64), "a.bias": torch.randn(40)}


def report_of(tmp_path, weights, plan):
    path = tmp_path / "a.lac"
    laconic.compress(weights, plan).save(path, force=True)
    return of_file(Output(json=False, quiet=True), path, None)


@pytest.mark.parametrize("name", FILES)
def test_parts_and_stages_add_up_to_the_file(tmp_path, weights, name):
    report = report_of(tmp_path, weights, FILES[name])
    size = report.account.file_bytes
    assert sum(piece.coded + piece.beside for piece in report.pieces) + report.header == size
    assert all(piece.coded >= 0 <= piece.beside for piece in report.pieces)
    assert sum(one.bytes for one in classes(report.pieces)) + report.header == size
    assert sum(stage.change for stage in report.stages) == report.stages[-1].bytes == size
    back = laconic.load(tmp_path / "a.lac")
    zeros = sum(int((back[piece.entry.name] == 0).sum()) for piece in report.pieces)
    assert sum(piece.zeros for piece in report.pieces) == zeros
    json.dumps(plain(report.record()), allow_nan=False)


def test_stages_are_those_that_the_file_has(tmp_path, weights):
    names = {kind: [one.name for one in report_of(tmp_path, weights, plan).stages] for kind, plan in FILES.items()}
    assert "survivors, factors" in names["pruned"]
    assert "survivors, factors" in names["low rank"]
    assert "survivors, factors" not in names["grid"]
    assert "fixed-length indices" in names["grid"]
    assert all("constants" in own for own in names.values()), "norm.running_var is all 1"
    stages = {one.name: one for one in report_of(tmp_path, weights, FILES["pruned"]).stages}
    left = 4 * (2 * round(0.03 * 2400) + 40)
    assert stages["survivors, factors"].bytes == left


def test_errors_and_histograms_are_those_of_a_slow_twin():
    rng = np.random.default_rng(0)
    before = {"w": rng.normal(size=(9, 7)).astype(np.float32), "b": np.ones(3, np.float32), "n": np.arange(4)}
    after = {**before, "w": np.round(before["w"])}
    changes = {one.name: one for one in compared(before, after)}
    error = sum((float(w) - float(v)) ** 2 for w, v in zip(before["w"].flat, after["w"].flat, strict=True))
    energy = sum(float(w) ** 2 for w in before["w"].flat)
    assert list(changes) == ["w", "b"]
    assert changes["w"].error == pytest.approx(error)
    assert changes["w"].snr == pytest.approx(10 * math.log10(energy / error)) == signal(before, after)
    assert (changes["w"].share, changes["b"].snr, changes["b"].histogram) == (1.0, None, None)
    spread = changes["w"].histogram
    assert sum(spread.before) == sum(spread.after) == 63
    width = (spread.high - spread.low) / BINS
    for count, at in zip(spread.after[1:-1], range(1, BINS - 1), strict=True):
        low = spread.low + at * width
        assert count == sum(low <= value < low + width for value in np.clip(after["w"], spread.low, spread.high).flat)


def test_filters_are_of_the_first_weight_that_is_images():
    kernels = {"conv": np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)}
    found = filters(kernels, {"conv": 0 * kernels["conv"]})
    assert found.before.shape == (5, 3, 3, 3)
    assert (found.after == 128).all()
    assert filters({"w": np.ones((4, 10), np.float32)}, {"w": np.ones((4, 10), np.float32)}) is None
    assert filters({"w": np.ones((4, 64), np.float32)}, {"w": np.ones((4, 64), np.float32)}).before.shape == (
        4,
        8,
        8,
        1,
    )


def test_rounding_to_nearest_goes_to_the_nearest_level():
    weights = np.random.default_rng(1).normal(size=200).astype(np.float32)
    rounded, integers = rounded_to(weights, 3)
    levels = np.abs(weights).max() / 3 * np.arange(-3, 4)
    assert np.allclose(rounded, [levels[np.abs(levels - weight).argmin()] for weight in weights], atol=1e-6)
    assert set(integers) <= set(range(7))


def test_a_layer_is_the_path_of_the_module():
    assert grouped(["a.b.weight", "w", "a.b.bias"]) == {"a.b": ("a.b.weight", "a.b.bias"), "w": ("w",)}
