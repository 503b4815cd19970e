"""Measuring: every case runs and is what it says; what the system tells of its caches is read."""

import numpy as np
import pytest
import torch

from laconic.csteps.layers import Layer
from laconic.csteps.profile import LAYOUTS, Setting
from laconic.deploy import profiling
from laconic.deploy.profiling import Effort, cases, measure
from laconic.deploy.runtimes import Torch, _Columns, _Tiles
from laconic.errors import DataError

LAYERS = [
    Layer("dense", 40, 7), Layer("convolution", 40, 3, (3, 3), positions=64),
    Layer("convolution", 40, 3, (1, 1), positions=64),
    Layer("convolution", 40, 3, (5, 5), positions=81), Layer("grouped", 8, 8, (3, 3), 4, 64),
]  # fmt: skip


def runtimes():
    yield Torch()
    onnx = pytest.importorskip("laconic.deploy.onnx_runtime", reason="needs onnx and onnxruntime")
    yield onnx.OnnxRuntime()


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_layout_writes_the_same_numbers_of_outputs(layer):
    threads = torch.get_num_threads()
    try:
        for runtime in runtimes():
            for layout in LAYOUTS[layer.kind]:
                run = runtime.prepared(layer, Setting(layout, 16 if layout == "tiles" else 0, 1), 2)
                if run is not None:
                    found = run()
                    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else found[0].shape
                    assert shape[:2] == ((2, 40) if layer.kind != "grouped" else (2, 8))
                    assert np.prod(shape) == 2 * layer.outputs * layer.positions
    finally:
        torch.set_num_threads(threads)


def test_a_transposed_weight_and_tiles_compute_what_the_layer_does():
    layer = LAYERS[1]
    plain = torch.nn.Conv2d(3, 40, 3, padding="same")
    columns, tiles = _Columns(layer), _Tiles(layer, 16)
    with torch.no_grad():
        columns.transposed.copy_(plain.weight.reshape(40, -1).T)
        columns.bias.copy_(plain.bias)
        for block, weight, bias in zip(tiles.blocks, plain.weight.split(16), plain.bias.split(16), strict=True):
            block.weight.copy_(weight)
            block.bias.copy_(bias)
        x = torch.rand(2, 3, 8, 8)
        torch.testing.assert_close(columns(x), plain(x))
        torch.testing.assert_close(tiles(x), plain(x))


def test_a_profile_has_what_was_asked_for(monkeypatch):
    few = [case for case in cases(Effort(every=9, batches=(1,)), (1,)) if case.layer.positions < 1000]
    monkeypatch.setattr(profiling, "cases", lambda effort, threads: few)
    before, done = torch.get_num_threads(), []
    profile = measure(Torch(), (1,), Effort(seconds=0, rounds=2, repeats=1), "here", done.append)
    assert torch.get_num_threads() == before
    assert {(p.layer, p.setting, p.batch) for p in profile.points} == set(few)
    assert all(0 < point.seconds < 60 for point in profile.points)
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
    assert profile.name == "here"
    with pytest.raises(DataError, match="threads are numbers from 1 on"):
        measure(Torch(), ())


def test_every_kind_and_layout_is_measured():
    wanted = {(kind, layout) for kind, layouts in LAYOUTS.items() for layout in layouts}
    for effort in (Effort(), profiling.QUICK):
        found = {(case.layer.kind, case.setting.layout) for case in cases(effort, (1, 2))}
        assert wanted < found
        assert {case.setting.threads for case in cases(effort, (1, 2))} == {1, 2}


def test_caches_are_what_the_system_says(tmp_path):
    levels = [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "1024K"), ("3", "Unified", "32M")]
    for number, texts in enumerate([*levels, ("x", "Data", "many")]):
        (tmp_path / f"index{number}").mkdir()
        for key, text in zip(("level", "type", "size"), texts, strict=True):
            (tmp_path / f"index{number}" / key).write_text(f"{text}\n")
    (tmp_path / "index9").mkdir()
    assert profiling.caches(tmp_path) == (48 * 1024, 1024**2, 32 * 1024**2)
    assert profiling.caches(tmp_path / "none") == ()
