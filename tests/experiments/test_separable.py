"""The recipe of a separable ResNet-20: as many multiply-adds in both networks, and a run that is stopped goes on."""

import json
from dataclasses import replace

import pytest

from laconic import Optimization
from laconic.experiments.recipes import recipe, reproduce, separable


def still(modules, images, counts, seconds):
    """Times of a machine that takes a millisecond for everything: a graph takes seconds."""
    return {str(count): dict.fromkeys(modules, 1.0) for count in counts}


@pytest.mark.usefixtures("cifar10")
def test_both_networks_have_as_many_multiply_adds_and_a_stopped_run_goes_on(cifar10, tmp_path, monkeypatch):
    small = separable._SMALL
    teaching, choosing = Optimization(1, 0.01), replace(small.choosing, steps=1)
    tiny = replace(
        small, epochs=(0, 1), teaching=teaching, choosing=choosing, images=20, batch=10, validation=10, samples=10
    )
    monkeypatch.setattr(separable, "_SMALL", tiny)
    monkeypatch.setattr(separable, "_STEP", 1 / 8)
    monkeypatch.setattr(separable, "milliseconds", still)
    chosen, told = recipe("separable-resnet20"), list[str]()

    def stopping(done, text):
        if "separable, 1 epochs: epoch 1/1" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(chosen, tmp_path, stopping, data_dir=cifar10)
    first = reproduce(chosen, tmp_path, lambda done, text: told.append(text), data_dir=cifar10)
    assert not any("rewriting" in text for text in told), "it goes on where it was stopped"
    again = reproduce(chosen, tmp_path, lambda done, text: pytest.fail(text), data_dir=cifar10)
    assert first.record == again.record
    whole, *others = json.loads((tmp_path / "result.json").read_text("utf-8"))["rows"]
    assert [(row["network"], row["epochs"]) for row in others] == [
        ("separable", 0), ("separable", 1), ("shrunk", 0), ("shrunk", 1),
    ]  # fmt: skip
    adds = {row["network"]: row["multiply-adds"] for row in (whole, *others)}
    assert adds["whole"] > 4 * adds["separable"]
    assert adds["shrunk"] == pytest.approx(adds["separable"], rel=0.6), "as near as eighths of the channels come"
    assert all(row["bytes"] < whole["bytes"] / 3 for row in others)
    page = (tmp_path / "report.md").read_text("utf-8")
    assert "after 1 epochs the separable network errs less than the shrunk one" in page
