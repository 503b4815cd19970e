"""The recipe of Deep Compression: its stages shrink, its verdicts follow from errors, a second run does nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from laconic.experiments.recipes import deep_compression, recipe, reproduce
from laconic.experiments.recipes.deep_compression import pipeline, sweep
from laconic.experiments.recipes.deep_compression.claims import no_loss
from laconic.experiments.recipes.records import mnist
from laconic.training.optimization import Optimization, adam


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, trained = tmp_path_factory.mktemp("deep"), []
    small = replace(
        mnist.LENET300, small=replace(mnist.LENET300.small, reference=Optimization(3, 1e-3, optimizer=adam))
    )
    effort = pipeline.Effort(pruned=1, shared=1, sweep=1, images=256)
    compress = pipeline.compress

    def counting(*given, **named):
        trained.append(given)
        return compress(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deep_compression, "_NETWORKS", {"lenet300": (deep_compression.LENET300, small, effort)})
        patch.setattr(deep_compression, "_DIGITS", effort)
        patch.setattr(deep_compression, "VGG16", deep_compression.LENET5)
        patch.setattr(deep_compression, "ALEXNET", deep_compression.LENET300)
        patch.setattr(pipeline, "compress", counting)
        patch.setattr(sweep, "compress", counting)
        for name, values in {"TIMES": (1.0, 2.0), "VALUES": (4, 16), "RATES": (0.2, 0.4), "POWERS": (3,)}.items():
            patch.setattr(sweep, name, values)
        reproduce(recipe("deep-compression"), folder / "run", lambda done, text: None)
        before = len(trained)
        outcome = reproduce(recipe("deep-compression"), folder / "run", lambda done, text: None)
    return folder / "run", outcome, before, len(trained)


def test_every_stage_is_smaller_and_ours_is_smaller_than_its_own_layout(whole):
    folder, *_ = whole
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    stages = {one["stage"]: one["bytes"] for one in record["networks"]["lenet300"]["stages"]}
    assert list(stages) == list(pipeline.STAGES)
    last = stages["values trained"]
    assert stages["reference"]["float32"] > stages["pruned"]["P"] > last["P+Q"] > last["P+Q+H"]
    assert last["P+Q+H"] < last["file"]  # tables of Huffman codes
    assert last["laconic"] < last["file"]
    layers = record["networks"]["lenet300"]["layers"]
    assert [round(one["kept"]) for one in layers] == [8, 9, 26]


def test_a_second_run_trains_nothing_and_says_the_same(whole):
    folder, outcome, before, after = whole
    assert before == after > 0
    assert json.loads(json.dumps(outcome.record)) == json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert {"lenet300-curves.png", "lenet300-distributions.png"} <= {path.name for path in folder.iterdir()}


def test_no_loss_holds_unless_errors_have_grown_beyond_chance():
    before = np.zeros(1000)
    few, many = before.copy(), before.copy()
    few[:1], many[:50] = 1, 1
    assert no_loss(before, before, 0).answer == "holds"
    assert no_loss(before, few, 0).answer == "holds"
    assert no_loss(before, many, 0).answer == "does not hold"
    assert no_loss(many, before, 0).answer == "holds"
