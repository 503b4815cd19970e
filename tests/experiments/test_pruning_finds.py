"""The recipe of what pruning finds: runs prune as they say, go on after an interrupt, and verdicts follow from them."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from laconic.experiments.recipes import pruning_finds, recipe, reproduce
from laconic.experiments.recipes.pruning_finds import looks, runs
from laconic.experiments.recipes.pruning_finds.claims import judged
from laconic.experiments.recipes.pruning_finds.figures import chosen_neurons
from laconic.experiments.recipes.pruning_finds.looks import Look
from laconic.experiments.recipes.pruning_finds.runs import similar
from laconic.experiments.recipes.pruning_finds.subject import RETRAINED, Network, Run
from laconic.insight.sign_regions import regions
from laconic.training.optimization import Optimization

TINY = replace(pruning_finds.DIGITS, steps=2, epochs=1, retrained=2, shown=(1,), shares=(0.1, 0.3))


class Stopped(Exception):
    """Stands for Ctrl-C."""


def run(folder, stop_at=""):
    """Run the recipe, until it says that it is at some point."""

    def say(done, text):
        assert 0 <= done <= 1
        if stop_at and stop_at in text:
            raise Stopped

    return reproduce(recipe("pruning-finds"), folder, say)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, read = tmp_path_factory.mktemp("pruning"), []
    reference = replace(pruning_finds.NETWORK.small, reference=Optimization(3, 0.1))
    judge = runs.sample_by_sample

    def counting(task, params, split):
        read.append(split)
        return judge(task, params, split)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruning_finds, "NETWORK", replace(pruning_finds.NETWORK, small=reference))
        patch.setattr(pruning_finds, "DIGITS", TINY)
        patch.setattr(looks, "DRAWS", 19)
        patch.setattr(runs, "sample_by_sample", counting)
        outcome = run(folder / "run")
        first = read.count("test")
        run(folder / "run")
        again = read.count("test") - first
        for stop_at in ("ℓ0: step 1", "magnitude: retrained 3", "joins of magnitude"):
            with pytest.raises(Stopped):
                run(folder / "stopped", stop_at)
        resumed = run(folder / "stopped")
    return folder / "run", outcome, resumed, (first, again)


def test_each_run_prunes_as_it_says(whole):
    folder, outcome, *_ = whole
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    rows = {(row["run"], row["label"]): row for row in record["networks"]}
    assert [label for run, label in rows if run == "LC, ℓ0"] == ["pruned", "step 1", "step 2", RETRAINED]
    total = 64 * 300 + 300 * 100 + 100 * 10
    for (name, label), row in rows.items():
        if name in ("LC, ℓ0", "magnitude"):
            assert row["kept"] == pytest.approx(round(0.05 * total) / total, abs=1e-6), (name, label)
    assert rows["reference", "reference"]["widths"] == [64, 300, 100, 10]
    assert rows["LC, ℓ1 0.1", RETRAINED]["kept"] < rows["LC, ℓ1 0.3", RETRAINED]["kept"] < 1
    same = ("kept", "widths", "error")
    assert [rows["magnitude", "pruned"][key] for key in same] == [rows["LC, ℓ0", "pruned"][key] for key in same]
    assert [one["step"] for one in record["paths"]["LC, ℓ0"]] == [0, 1, 2]
    assert [one["step"] for one in record["paths"]["magnitude"]] == [0]
    assert {look["run"] for look in record["joins"]} == {"reference", "LC, ℓ0", "magnitude", record["judged"]}
    for name in outcome.figures:
        assert (folder / name).stat().st_size > 10_000
        assert f"]({name})" in outcome.page


def test_retraining_keeps_what_is_pruned(whole):
    folder, *_ = whole
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    joins = {(look["run"], look["label"]): look for look in record["joins"]}
    for key in ("joins", "near_used", "compact"):  # of places alone
        assert joins["LC, ℓ0", "pruned"]["joins"][0][key] == joins["magnitude", RETRAINED]["joins"][0][key]
        assert joins["LC, ℓ0", "step 2"]["joins"][0][key] == joins["LC, ℓ0", RETRAINED]["joins"][0][key]


def test_test_images_are_read_once_a_row_and_not_again(whole):
    _, outcome, _, (first, again) = whole
    assert (first, again) == (len(outcome.record["networks"]), 0)


def test_a_run_that_was_interrupted_says_what_one_that_was_not_does(whole):
    _, outcome, resumed, _ = whole
    assert json.dumps(outcome.record) == json.dumps(resumed.record)
    assert outcome.page == resumed.page


def network(shape, kept, errors, name="LC, ℓ1"):
    """A network of some widths of which the first so many units of each layer survive."""
    weights = [np.zeros((after, before)) for before, after in pairwise(shape)]
    for weight, before, after in zip(weights, kept[:-1], kept[1:], strict=True):
        weight[:after, :before] = 1.0
    wrong = (np.arange(1000) < errors).astype(float)
    return Network(name, RETRAINED, tuple(weights), wrong, wrong)


WHOLE = (784, 300, 100, 10)


def answers(kept, errors=40, images=()):
    """The verdicts on a network that ℓ1 has left, by the first words of the statement."""
    before, own = network(WHOLE, WHOLE, 40), network(WHOLE, kept, errors)
    seen = [Look(own, image, [one.record() for one in regions(image, (1,), 39, 0)]) for image in images]
    return [one.answer for one in judged(before, own, own, seen, 0)]


def test_verdicts_on_widths_and_errors_follow_from_them():
    assert answers((400, 64, 99, 10)) == ["holds"] * 4
    assert answers((480, 60, 90, 10)) == ["holds"] * 4
    assert answers((600, 64, 99, 10)) == ["does not hold", *["holds"] * 3]
    assert answers((400, 64, 99, 10), errors=140) == ["holds", "does not hold", "holds", "holds"]
    assert answers((400, 200, 99, 10)) == ["does not hold", "holds", "does not hold", "does not hold"]
    assert answers((400, 64, 10, 10))[2:] == ["does not hold"] * 2  # most of all in the second layer
    few = network((64, 300, 100, 10), (40, 64, 99, 10), 40)
    assert judged(few, few, few, [], 0)[0].answer == "not measured"


def test_verdicts_on_images_follow_from_their_joins():
    rng = np.random.default_rng(0)
    kept = rng.random((12, 14, 14)) < 0.3
    halves = np.where(np.arange(14) < 7, -1.0, 1.0) * kept
    chequered = np.where(np.indices((14, 14)).sum(0) % 2, -1.0, 1.0) * np.ones((3, 1, 1))
    block = np.zeros((4, 14, 14))
    block[:, 3:9, 3:9] = 1.0
    verdicts = answers((400, 64, 99, 10), images=(halves, chequered, block))[4:]
    assert verdicts == ["holds", "does not hold", "does not hold", "holds", "does not hold", "does not hold"]


def test_the_l1_run_of_fewest_weights_whose_error_is_similar_is_judged():
    before = network(WHOLE, WHOLE, 40)
    few, some, many = (
        Run((network(WHOLE, kept, errors, name),), [])
        for name, kept, errors in (("few", (90, 20, 50, 10), 80), ("some", (400, 64, 99, 10), 40), ("many", WHOLE, 30))
    )
    assert similar([few, some, many], before).name == "some"
    worse = network(WHOLE, WHOLE, 1)
    assert similar([few, some, many], worse).name == "many"


def test_neurons_that_are_shown_have_survivors_in_every_run():
    one, other = np.zeros((2, 30, 4, 4))
    one[:20] = 1.0
    other[15:] = 1.0
    assert chosen_neurons([one, other])[-5:] == [15, 16, 17, 18, 19]
