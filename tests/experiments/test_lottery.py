"""The recipe of lottery tickets: every network once, runs that are stopped go on, and verdicts follow from errors."""

import json
from dataclasses import replace

import numpy as np
import pytest

from laconic.experiments.recipes import lottery, recipe, reproduce
from laconic.experiments.recipes.lottery.claims import judged
from laconic.experiments.recipes.lottery.runs import CONTROLS, DENSE, LC, SCRATCH_B, SCRATCH_E, TICKET, TUNED, Row


def silent(done, text):
    pass


def test_every_network_is_trained_once_and_a_stopped_run_ends_alike(tmp_path, monkeypatch):
    tiny = lottery.settings.DIGITS
    how = replace(tiny.learning, steps=1, finetune=replace(tiny.learning.finetune, epochs=1))
    tiny = replace(tiny, how=replace(tiny.how, epochs=1), every=4, levels=(1, 2), compared=(2,), learning=how, draws=2)
    monkeypatch.setattr(lottery, "DIGITS", tiny)
    chosen, told = recipe("lottery"), []

    def stopping(done, text):
        if "level 2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(chosen, tmp_path / "run", stopping, fast=True)
    record = reproduce(chosen, tmp_path / "run", lambda _, text: told.append(text), fast=True).record
    assert not [text for text in told if "dense: epoch" in text or "level 1: epoch" in text]
    monkeypatch.setattr(lottery, "figures", lambda rows, title: {})  # they take their time
    whole = reproduce(chosen, tmp_path / "whole", silent, fast=True).record
    assert json.dumps(record) == json.dumps(whole)
    found = [(row["method"], row["level"]) for row in record["rows"]]
    beside = [(CONTROLS[0], 2), *((method, 2) for method in CONTROLS), (LC, 2), (DENSE, 2)]
    assert found == [(TICKET, 0), (TICKET, 1), (TICKET, 2), *beside, (TUNED, 0), (SCRATCH_E, 0), (SCRATCH_B, 0)]
    by = {(row["method"], row["level"]): row for row in record["rows"]}
    assert len({round(by[method, 2]["density"], 3) for method in (TICKET, *CONTROLS)}) == 1
    assert by[TICKET, 2]["bytes"] * 0.8 < by[DENSE, 2]["bytes"] < by[TICKET, 2]["bytes"] * 1.02
    assert by[SCRATCH_E, 0]["density"] == by[SCRATCH_B, 0]["density"] == by[TUNED, 0]["density"] < 0.5
    page = (tmp_path / "run" / "report.md").read_text("utf-8")
    for name in ("lottery-error.png", "lottery-steps.png", "lottery-bytes.png"):
        assert (tmp_path / "run" / name).exists()
        assert name in page


def rows(rates, steps):
    """Networks of three seeds whose errors are drawn at a rate of each method and level."""
    source, made = np.random.default_rng(0), []
    for (method, level), rate in rates.items():
        for seed in range(3):
            errors = (source.random(2000) < rate).astype(float)
            step = steps.get((method, level))
            made.append(Row(method, seed, level, 0.8**level, 1000, step and step + seed, errors, errors))
    return made


def test_a_verdict_holds_where_all_seeds_agree_or_errors_are_fewer_beyond_chance():
    levels = (7, 9, 12)
    rates = {(TICKET, 0): 0.1} | {(TICKET, level): 0.05 for level in levels}
    rates |= {(method, level): 0.2 for method in CONTROLS for level in levels}
    rates |= {(LC, level): 0.02 for level in levels} | {(DENSE, level): 0.01 for level in levels}
    rates |= {(TUNED, 0): 0.1, (SCRATCH_E, 0): 0.05, (SCRATCH_B, 0): 0.2}
    steps = {(TICKET, 0): 900} | {(TICKET, level): 500 for level in levels} | {("re-initialised", 7): 400}
    steps |= {("re-initialised", level): 400 for level in levels}
    answers = {one.text: one.answer for one in judged(rows(rates, steps), ("", "", ""), 0)}

    def answer(part):
        (found,) = [said for text, said in answers.items() if part in text]
        return found

    assert answer("earlier than the dense network") == "holds"
    assert answer("earlier than its mask") == "does not hold"
    assert answer("13.5 %") == "holds"
    assert answer("3.6 %") == "not measured"
    for part in (
        "lower error than its mask with",
        "mask shuffled",
        "random places",
        "LC has a lower error than tickets",
    ):
        assert answer(part) == "holds"
    for part in (
        "from other first weights",
        "a ticket has a lower error than a small",
        "LC has a lower error than a small",
    ):
        assert answer(part) == "does not hold"
    assert [answer(SCRATCH_E), answer(SCRATCH_B)] == ["holds", "does not hold"]
