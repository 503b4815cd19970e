"""The recipe of parametrisations: files are within their sizes, the choice is on validation, and judged once."""

import json
from dataclasses import replace

import pytest

from laconic.errors import DataError, PlanError
from laconic.experiments.recipes import parametrisations, recipe, reproduce
from laconic.experiments.recipes.parametrisations import TRIALS, Trial, variants
from laconic.experiments.recipes.parametrisations.variants import BASELINE, Setting, settings_of
from laconic.lc.learning import Training
from laconic.models import nets
from laconic.models.params import params_of
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

FEW = (
    Setting(BASELINE, "weights"),
    Setting("drawn", "in turn", drawn=8.0, in_turn=True),
    Setting("drawn", "no room", drawn=1.0),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, read = tmp_path_factory.mktemp("parametrisations") / "run", []
    evaluate, effort, drawn = Task.evaluate, Trial.effort, variants.drawn_within

    def counting(self, params, split):
        read.append(split)
        return evaluate(self, params, split)

    def tiny(self, there, fast):
        found = effort(self, there, fast)
        return replace(
            found, reference=Optimization(2, 1e-3, optimizer=adam), sizes=(2_500,),
            learning=replace(found.learning, steps=1, finetune=replace(found.learning.finetune, epochs=1)),
        )  # fmt: skip

    def within(params, size, share, notes):
        return drawn(params, size if share > 1 else 300, share, notes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "evaluate", counting)
        patch.setattr(Trial, "effort", tiny)
        patch.setattr(Training, "within", lambda how, task, budget: how)
        patch.setattr(variants, "drawn_within", within)
        patch.setattr(parametrisations, "settings_of", lambda net, maps: FEW)
        for _ in range(2):  # the second time everything is there
            reproduce(recipe("records-parametrisations-lenet300"), folder, lambda done, text: None)
    return folder, read


def test_of_each_variant_one_row_is_chosen_on_validation_and_judged_once(whole):
    folder, read = whole
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    rows = record["networks"]["lenet300"]["rows"]
    assert [(row["variant"], row["setting"]) for row in rows] == [(s.variant, s.label) for s in FEW]
    baseline, drawn, none = rows
    assert not [row.get("reason") for row in (baseline, drawn) if "reason" in row]
    assert all(2_300 <= row["bytes"] <= 2_500 for row in (baseline, drawn))
    assert "test" in baseline
    assert "test" in drawn
    assert "too few" in none["reason"], "what does not fit says so, and is not lost"
    assert read.count("test") == 3, "the reference and each chosen row, once, and not again where it is kept"
    shown = (folder / "report.md").read_text(encoding="utf-8")
    assert "| 2,500 | drawn | blocks that are vectors of a seeded generator | in turn |" in shown
    assert "no room | – | 300 bytes are too few" in shown
    assert (folder / "lenet300.png").stat().st_size > 10_000


def test_every_variant_has_three_settings_at_the_sizes_of_the_records_and_twice_these():
    for net, maps in (("lenet300", (28, 28)), ("lenet5", (4, 4))):
        settings = settings_of(net, maps)
        found = {s.variant: [other.label for other in settings if other.variant == s.variant] for s in settings}
        assert {variant: len(set(labels)) for variant, labels in found.items()} == {
            BASELINE: 1, "cosine": 3, "shared": 3, "factors": 4, "drawn": 5,
        }  # fmt: skip
    assert [TRIALS[net].sizes for net in TRIALS] == [(20_000, 10_000, 5_000), (6_000, 3_000, 1_500)]
    long, short = TRIALS["lenet300"].subject.full.learning, TRIALS["lenet300"].effort(there=True, fast=False).learning
    assert short.growth**short.steps == pytest.approx(long.growth**long.steps)
    assert short.decay**short.steps == pytest.approx(long.decay**long.steps)


def test_rates_of_what_is_drawn_are_of_one_water_level_and_fit_the_size():
    params = params_of(nets.build("lenet300", seed=0))
    plan = variants.drawn_within(params, 10_000, 1, {})
    lengths = {name: row.length for name, row in plan.tensors.items()}
    energies = {name: float(params[name].square().mean()) for name in lengths}
    assert sorted(lengths, key=lengths.get) == sorted(energies, key=energies.get, reverse=True)
    assert sum(12 / 8 * params[n].numel() / length for n, length in lengths.items()) < 9_700
    with pytest.raises(PlanError, match="400 bytes are too few"):
        variants.drawn_within(params, 400, 1, {})


def test_lenet5_alone_asks_for_mnist(tmp_path):
    with pytest.raises(DataError, match="lenet5 needs MNIST"):
        reproduce(recipe("records-parametrisations-lenet5"), tmp_path / "run", lambda done, text: None)
