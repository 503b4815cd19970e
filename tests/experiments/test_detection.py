"""The recipes of detection: tables 5 and 6 by counting, and a detector that is trained and compressed like any net."""

import json
from functools import partial

import pytest

import laconic
from laconic.experiments.recipes import recipe, reproduce
from laconic.experiments.recipes.detection import compressed
from laconic.experiments.recipes.detection.compressed import LEAST, LOST, Settings, judged, made

SMALL = Settings(side=48, train=16, test=8, epochs=10, batch=4, width=0.1, bits=(8,), samples=16)


def silent(done, text):
    """Say nothing."""


def test_tables_5_and_6_by_counting(tmp_path):
    outcome = reproduce(recipe("detection-counts"), tmp_path / "counts", silent)
    rows = {(row["detector"], row["place"]): row for row in outcome.record["rows"]}
    own = {key: (row["parameters"], row["multiply-adds"]) for key, row in rows.items()}
    assert own == {
        ("SSD, MobileNetV2", "table 5"): (14_776_629, 1_259_068_672),
        ("SSDLite, MobileNetV2", "table 5"): (2_113_141, 177_617_344),
        ("SSDLite, MobileNetV1", "table 6"): (5_100_661, 1_309_162_944),
        ("SSDLite, MobileNetV2", "table 6"): (4_337_013, 788_830_144),
        ("SSD300", "table 6"): (34_305_206, 34_360_351_232),
        ("SSD512", "table 6"): (36_038_196, 98_628_936_704),
        ("YOLOv2, as in its configuration", "table 6"): (50_962_889, 14_732_084_224),
        ("YOLOv2, as in its paper", "table 6"): (67_445_065, 17_500_980_224),
    }
    for name, parameters, billions in (("MobileNetV1", "5.1", "1.3"), ("MobileNetV2", "4.3", "0.8")):
        weights, taken = own[f"SSDLite, {name}", "table 6"]
        assert (f"{weights / 1e6:.1f}", f"{taken / 1e9:.1f}") == (parameters, billions)
    said = {one["text"]: one["answer"] for one in outcome.record["verdicts"]}
    for text, answer in (
        ("SSDLite, MobileNetV2, head and maps after the backbone: 0.35 billion multiply-adds", "does not hold"),
        ("SSDLite, MobileNetV2, head and maps after the backbone: 0.35 billion multiplications and additions", "holds"),
        ("SSD, MobileNetV2, head and maps after the backbone: 14.8 million parameters", "holds"),
        ("SSD300, the network: 36.1 million parameters", "does not hold"),
        ("YOLOv2, as in its paper, the network: 17.5 billion multiply-adds", "holds"),
    ):
        assert said[text] == answer
    assert "| SSD300 (table 6) | 300 | the network | 34.305 | 36.1 | 34.36 | 35.2 |" in outcome.page


def uncalibrated(params, plan, task, effort, *, bits, samples, seed):
    """Compress by the weights alone, whatever is asked: it takes less time."""
    return laconic.compress(params, plan, task, "direct", bits=bits, quality="fast", seed=seed)


@pytest.mark.parametrize(
    "compress", [uncalibrated, pytest.param(partial(laconic.compress, quality="fast"), marks=pytest.mark.slow)]
)
def test_the_recipe_goes_from_images_to_files_and_a_second_run_finds_all_again(compress, tmp_path, monkeypatch):
    monkeypatch.setattr(compressed, "FAST", SMALL)
    monkeypatch.setattr(compressed, "compress", compress)
    outcome = reproduce(recipe("detection"), tmp_path / "one", silent, fast=True)
    assert [row["file"] for row in outcome.record["rows"]] == ["as trained", "8 bits, direct", "8 bits, calibrate"]
    task = made(SMALL, 0)
    weights = sum(p.numel() for p in task.module.parameters() if p.ndim > 1)
    for row in outcome.record["rows"][1:]:
        assert 0.97 * weights < row["bytes"] <= weights
    assert all(0 <= row["mAP@.5"] <= 1 for row in outcome.record["rows"])
    assert (tmp_path / "one" / "detection.png").stat().st_size > 20_000
    monkeypatch.setattr(compressed, "compress", lambda *arguments, **named: pytest.fail("it is kept"))
    again = reproduce(recipe("detection"), tmp_path / "one", silent, fast=True)
    assert json.dumps(again.record) == json.dumps(outcome.record)


def test_verdicts_follow_from_the_figures():
    def said(first, fourth, seconds=60.0):
        rows = [{"file": "as trained", "mAP@.5": first}, {"file": "8 bits, calibrate", "mAP@.5": fourth}]
        return [one.answer for one in judged(rows, seconds, SMALL)]

    assert said(LEAST, LEAST) == ["holds"] * 3
    assert said(LEAST - 0.01, 0.5, 2401.0) == ["does not hold"] * 3
    assert said(0.9, 0.9 - LOST + 0.001)[2] == "holds"


def test_a_detector_goes_through_the_lc_algorithm_like_any_network():
    task = made(SMALL, 0)
    still = laconic.Optimization(epochs=0)
    training = laconic.Training(steps=2, l_step=laconic.Optimization(epochs=1, lr=0.01), finetune=still)
    plan = laconic.Plan({"backbone.conv_stem.weight": laconic.AdaptiveCodebook(4)})
    result = laconic.compress(task.module, plan, task, training=training)
    assert len(result.history) >= 2
    assert len(result.params["backbone.conv_stem.weight"].unique()) <= 4
    assert result.evaluate(task).keys() == {"loss", "error"}
