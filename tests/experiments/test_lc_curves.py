"""The curves of the LC algorithm: ratios as printed, verdicts by their words, rows that go on where they stopped."""

import json
from dataclasses import replace

import numpy as np
import pytest

from laconic.errors import DataError, WeightsError
from laconic.experiments.recipes import lc_curves, recipe, reproduce, resumed
from laconic.experiments.recipes.lc_curves import claims, measurements, networks, ratios
from laconic.experiments.recipes.lc_curves.claims import judged
from laconic.experiments.recipes.lc_curves.measurements import Network, Row
from laconic.experiments.recipes.lc_curves.settings import Effort, adaptive, fixed, learning, pruning
from laconic.experiments.recipes.records import mnist
from laconic.models import nets
from laconic.models.params import params_of
from laconic.training.optimization import Optimization, adam


@pytest.mark.parametrize(
    ("net", "counts", "printed"),
    [
        ("lenet300", (266_200, 410), (30.52, 15.63, 10.50, 7.90, 6.33, 5.28)),
        ("lenet5", (430_500, 580), (30.70, 15.67, 10.52, 7.92, 6.34, 5.29)),
    ],
)
def test_ratios_are_those_that_the_formula_gives_for_the_lenets(net, counts, printed):
    params = params_of(nets.build(net))
    network = Network(net, None, params, (1, None), None, None)
    weights = sum(tensor.numel() for tensor in params.values() if tensor.ndim > 1)
    assert (weights, sum(tensor.numel() for tensor in params.values()) - weights) == counts
    found = [ratios.quantization(*counts, 2**k, len(network.shapes)) for k in range(1, 7)]
    assert [round(one, 2) for one in found] == list(printed)


def test_a_row_of_a_network_is_counted_by_the_same_formulas():
    module = nets.build("lenet300")
    task = type("Named", (), {"module": module})
    network = Network("LeNet-300-100", task, params_of(module), (1, None), None, None)
    assert round(network.counted(adaptive(4)), 2) == 15.63
    assert round(network.counted(pruning(0.05)), 2) == 12.19
    plain, scaled = fixed()[:2]
    assert network.counted(adaptive(2)) < network.counted(scaled) < network.counted(plain)
    assert network.counted(plain) == pytest.approx(ratios.quantization(266_200, 410, 2, 0))


def _rows(errors):
    """Return rows in which so many of 1,000 images are named wrongly, in places drawn anew for each."""
    rows = []
    for number, ((setting, method), wrong) in enumerate(errors.items()):
        places = np.random.default_rng(number).permutation(1000) < wrong
        size = 1000.0 if setting is None else 30_000 / setting.number
        figures = {"rho": 2.0, "bytes": size, "images": 3000, "seconds": 1.0, "validation": 0.0}
        if setting is not None:
            figures["rho"] = 32 / setting.number if setting.number > 1 else 1 / setting.number
        rows.append(Row(setting, method, figures, places.astype(np.float64)))
    return rows


def test_verdicts_follow_the_errors_of_the_rows():
    two, four, some, few = adaptive(2), adaptive(4), pruning(0.1), pruning(0.02)
    by = {(None, "reference"): 20}
    by |= {(two, "direct"): 500, (four, "direct"): 300, (two, "LC"): 120, (four, "LC"): 20}
    by |= {
        (some, "magnitude"): 30,
        (few, "magnitude"): 200,
        (some, "LC"): 25,
        (few, "LC"): 195,
        (fixed()[0], "LC"): 400,
    }
    context = type("Seeded", (), {"seed": 0})
    network = Network("two", None, {}, (1000, None), None, context)
    said = {"K = 2": "some", "K = 4": "none", "P = 10 %": "nearly none", "P = 2 %": "nearly none"}
    answers = {one.text: one.answer for one in judged(network, _rows(by), said)}
    assert answers["K = 2: some lost"] == answers["K = 4: none lost"] == "holds"
    assert answers["P = 10 %: nearly none lost"] == "undecided"
    assert answers["P = 2 %: nearly none lost"] == "does not hold"
    assert answers["more compression for the same loss: LC against direct"] == "holds"
    assert answers["more compression for the same loss: LC against magnitude pruning and retraining"] == "undecided"
    assert answers["adaptive codebooks beat fixed ones of as many values, as they are (±1)"] == "holds"
    assert answers["LC is not much slower than training the reference"] == "does not hold"
    (storage,) = (
        answer for text, answer in answers.items() if text.startswith("quantization beats pruning in storage")
    )
    assert storage == "does not hold"  # ρ = 10: 6 % between K = 2 and K = 4, where P = 10 % has 2.5


@pytest.fixture
def tiny(monkeypatch):
    before = replace(mnist.LENET300.small, reference=Optimization(2, 1e-3, optimizer=adam))
    effort = Effort(
        before, (adaptive(2), pruning(0.1), fixed()[0]), learning(3, 1, 1, mu=1e-2, growth=2, lr=0.05), 256, 64
    )
    monkeypatch.setattr(lc_curves, "LENETS", (replace(networks.LENETS[0], small=effort),))


def test_a_run_that_is_killed_within_a_row_ends_as_one_that_is_not(tiny, tmp_path, monkeypatch):
    whole = reproduce(recipe("lc-lenets"), tmp_path / "whole", lambda done, text: None)
    saved, save = [], resumed.save_state

    def dying(*given):
        save(*given)
        saved.append(given)
        if len(saved) == 6:  # in the second step of a row
            raise KeyboardInterrupt

    monkeypatch.setattr(resumed, "save_state", dying)
    with pytest.raises(KeyboardInterrupt):
        reproduce(recipe("lc-lenets"), tmp_path / "killed", lambda done, text: None)
    outcome = reproduce(recipe("lc-lenets"), tmp_path / "killed", lambda done, text: None)
    records = [json.loads(json.dumps(one.record)) for one in (whole, outcome)]
    for record in records:
        for row in record["networks"]["lenet300"]["rows"]:
            row.pop("seconds", None)
        record["networks"]["lenet300"].pop("reference")
        record["networks"]["lenet300"]["verdicts"].pop()  # which tells seconds
    assert records[0] == records[1]
    rows = records[0]["networks"]["lenet300"]["rows"]
    assert [(row.get("setting"), row["method"]) for row in rows[1:]] == [
        ("K = 2", "direct"), ("K = 2", "iDC"), ("K = 2", "LC"), ("P = 10 %", "magnitude"), ("P = 10 %", "LC"),
        ("±1", "LC"),
    ]  # fmt: skip
    assert rows[1]["images"] == 0 < rows[2]["images"] == rows[4]["images"] == 4 * 256
    assert "| P = 10 % | magnitude |" in (tmp_path / "killed" / "report.md").read_text(encoding="utf-8")
    assert not list((tmp_path / "killed" / "kept").glob("*state*"))


def test_a_row_whose_training_diverges_says_so_and_the_others_are_judged(tiny, tmp_path, monkeypatch):
    step = measurements.resumed

    def diverging(params, plan, task, how, *rest):
        if "FixedCodebook" in repr(plan):
            raise WeightsError("training diverged")
        return step(params, plan, task, how, *rest)

    monkeypatch.setattr(measurements, "resumed", diverging)
    outcome = reproduce(recipe("lc-lenets"), tmp_path / "run", lambda done, text: None)
    *others, last = outcome.record["networks"]["lenet300"]["rows"]
    assert last == {"family": "fixed", "setting": "±1", "method": "LC", "reason": "training diverged"}
    assert all("test" in row for row in others)
    assert "| ±1 | LC | training diverged |" in outcome.page
    assert not any("fixed codebooks" in one["place"] for one in outcome.record["networks"]["lenet300"]["verdicts"])


def test_the_resnets_ask_for_their_data_by_name(tmp_path):
    with pytest.raises(DataError, match=r"lc-resnets needs CIFAR-10 and models/resnet20_cifar10\.safetensors"):
        reproduce(recipe("lc-resnets"), tmp_path, lambda done, text: None)


@pytest.mark.parametrize("name", ["lc-lenets", "gao2019-mnist", "techniques", "deep-compression", "records-lenet300"])
def test_a_folder_without_what_is_asked_for_is_refused_and_digits_do_not_take_its_place(name, tmp_path):
    (tmp_path / "a file").touch()
    for place in (tmp_path, tmp_path / "a file", tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"has no train-images\* of mnist.*--data-dir"):
            reproduce(recipe(name), tmp_path / "run", lambda done, text: None, data_dir=place)


def test_what_is_nearly_nothing_is_said_in_points():
    assert claims._lost("nearly none", -0.2, 0.4) == "holds"
    assert claims._lost("nearly none", 0.1, 0.7) == "undecided"
    assert claims._lost("some", -0.1, 0.7) == "undecided"
