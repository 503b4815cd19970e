"""The recipe of compact networks that are compressed: both networks, each way, and what cannot be is told."""

from dataclasses import replace

import pytest

from laconic import Optimization, Training
from laconic.experiments.recipes import compact_first, recipe, reproduce
from laconic.models.nets import mobilenet_v2


@pytest.mark.usefixtures("cifar10")
def test_both_networks_are_trained_alike_and_compressed_to_the_same_bytes(cifar10, tmp_path, monkeypatch):
    monkeypatch.setattr(mobilenet_v2, "_STAGES", ((1, 8, 1, 2), (2, 16, 1, 2)))
    monkeypatch.setattr(mobilenet_v2, "divisible", lambda channels: 8 if channels < 128 else 24)
    none = replace(compact_first._SMALL.learning.finetune, epochs=0)
    learning = Training(steps=1, l_step=Optimization(1, 0.01), batches=1, finetune=none)
    tiny = replace(
        compact_first._SMALL, reference=Optimization(1, 0.01), sizes=(9_000,), learning=learning, images=20,
        batch=10, validation=10,
    )  # fmt: skip
    monkeypatch.setattr(compact_first, "_SMALL", tiny)
    monkeypatch.setattr(compact_first, "_SAMPLES", 10)
    chosen = recipe("compact-then-compress")
    first = reproduce(chosen, tmp_path, lambda done, text: None, data_dir=cifar10)
    again = reproduce(chosen, tmp_path, lambda done, text: pytest.fail(text), data_dir=cifar10)
    assert first.record == again.record, "a run that is whole computes nothing again"
    rows = {(row["network"], row["way"], row["size"]): row for row in first.record["rows"]}
    assert len(rows) == 2 * (1 + 3)
    for net in compact_first.NETS:
        assert 0 < rows[net, "LC", 9_000]["bytes"] <= 9_000
        assert rows[net, "LC", 9_000]["multiply-adds"] == rows[net, "as trained", None]["multiply-adds"]
    refused = [row for row in rows.values() if "why not" in row]
    assert [(row["network"], row["way"]) for row in refused] == [("mobilenet-v2-0.5-cifar", "calibrate")], "too large"
    page = (tmp_path / "report.md").read_text("utf-8")
    assert "within 9,000 bytes, each by its best way: the compact network errs less than the large one" in page
    assert all(row["why not"] in page and row["error"] is None for row in refused)
    texts = [one["text"] for one in first.record["verdicts"]]
    assert len(texts) == 1 + 4
