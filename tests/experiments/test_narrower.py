"""The recipe of a narrower ResNet-20: a run that is stopped goes on, and what is cut is what was asked for."""

import json
import shutil
from dataclasses import replace

import pytest

from laconic.experiments.recipes import narrower, recipe, reproduce
from laconic.training.optimization import Optimization


def chosen_already(whole, folder):
    """Make ``folder`` what a run leaves that is killed before it teaches."""
    shutil.copytree(whole / "kept", folder / "kept")
    shutil.copy(whole / "job.json", folder)
    lines = (whole / "points.jsonl").read_text("utf-8").splitlines(keepends=True)
    first = [line for line in lines if json.loads(line)["key"] in ("whole", "0.5 of the channels/chosen")]
    assert len(first) == 2 < len(lines)
    (folder / "points.jsonl").write_text("".join(first), "utf-8")


@pytest.mark.usefixtures("cifar10")
def test_half_of_the_channels_are_chosen_cut_out_and_taught_and_a_stopped_run_ends_alike(
    cifar10, tmp_path, monkeypatch
):
    small = replace(
        narrower._SMALL,
        choosing=narrower._choosing(2, 1, 2.0),
        teaching=Optimization(2, 0.01),
        images=20,
        batch=10,
        validation=10,
        shares=(0.5,),
        longer=((0.5, 3),),
    )
    monkeypatch.setattr(narrower, "_SMALL", small)
    monkeypatch.setattr(narrower, "_SECONDS", 0.01)
    monkeypatch.setattr(narrower, "_runner", lambda module, images: lambda: module(images))  # a graph takes seconds
    chosen = recipe("narrower-resnet20")

    reproduce(chosen, tmp_path / "whole", lambda done, text: None, data_dir=cifar10)
    chosen_already(tmp_path / "whole", tmp_path / "run")

    def stopping(done, text):
        if "epoch 1/2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(chosen, tmp_path / "run", stopping, data_dir=cifar10)
    told = []
    reproduce(chosen, tmp_path / "run", lambda done, text: told.append(text), data_dir=cifar10)
    assert [text for text in told if "epoch" in text], "it goes on where it was stopped"
    assert not [text for text in told if "epoch 1/2" in text or "step" in text]
    records = [json.loads((tmp_path / name / "result.json").read_text("utf-8")) for name in ("run", "whole")]
    for record in records:
        whole, half = record["rows"]
        assert record["scale"] == "small"
        assert half["multiply-adds before"] / half["multiply-adds"] > 3.5
        assert half["parameters"] < whole["parameters"] / 3.5
        (longer,) = record["taught longer"]
        assert (longer["epochs"], half["epochs"]) == (3, 2)
        assert longer["parameters"] == half["parameters"]
        for row in (whole, half, longer):
            row.pop("times")
        record.pop("verdicts")
    assert records[0] == records[1]
    page = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert "half of the channels: at most 3 points" in page
    assert "| 0.5 | 3 | " in page
