"""Hidden layers by name, and hints: a student predicts what a layer of its teacher writes."""

import copy

import pytest
import torch
from teaching_nets import Thin, task_of
from torch import nn

from laconic.errors import DataError
from laconic.models.params import params_of
from laconic.teachers.attention import attentive, attentive_by_gradients
from laconic.teachers.distillation import distilled
from laconic.teachers.hidden import carried, hidden_of, reading, teacher_of, written
from laconic.teachers.hints import hinted, with_student, without_regressor
from laconic.teachers.neurons import best_neurons
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization, adam


class Strange(nn.Module):
    """One layer runs twice, one never, one writes two things."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.never, self.pair = nn.Linear(3, 3), nn.Linear(3, 3), nn.GRU(3, 3, batch_first=True)

    def forward(self, x):
        return self.pair(self.twice(self.twice(x)))[0]


@pytest.mark.parametrize(("name", "said"), [("twice", "several times"), ("never", "has not run"), ("pair", "a tuple")])
def test_a_layer_that_cannot_be_read_is_named_and_hooks_are_taken_off(name, said):
    module = Strange()
    with pytest.raises(DataError, match=f"layer '{name}'.*{said}"), written(module, [name]):
        module(torch.ones(2, 4, 3))
    assert not any(part._forward_hooks for part in module.modules())


def test_layers_are_read_as_they_write_whatever_follows_changes():
    net = Thin()
    of = reading(reading(task_of(net), ["first"]), ["second", ""])
    pictures, _ = batch = next(of.batches("train", 0))
    outputs = of.outputs(params_of(net), batch)
    found = carried(outputs)
    assert set(found) == {"first", "second", ""}
    torch.testing.assert_close(found["first"], net.first(pictures))
    assert (found["first"] < 0).any(), "as it was before the activation in place"
    torch.testing.assert_close(found["second"], net.second(net.first(pictures).relu()))
    torch.testing.assert_close(found[""], outputs)
    with pytest.raises(DataError, match="not a copy"):
        carried(outputs * 1)


@pytest.mark.parametrize(
    ("hint", "guided", "regressor"),
    [
        ("second", "second", {"weight": (10, 6, 1, 1), "bias": (10,)}),  # 1 × 1 where maps are equally large
        ("second", "first", {"weight": (10, 3, 3, 3), "bias": (10,)}),  # 6 − 4 + 1 = 3
        ("last", "first", {"1.weight": (4, 108), "1.bias": (4,)}),
        ("last", "last", {}),
    ],
)
def test_a_regressor_leads_from_any_layer_to_any_smaller_one(hint, guided, regressor):
    student, teacher = Thin(3), Thin(5, seed=1)
    stage = hinted(task_of(student), teacher, hint, guided)
    own = params_of(stage.module)
    found = {name.removeprefix("regressor."): t.shape for name, t in own.items() if name.startswith("regressor.")}
    assert found == regressor
    assert without_regressor(own).keys() == params_of(student).keys()
    batch = next(stage.batches("train", 0))
    wanted = hidden_of(teacher_of(stage, teacher), batch, [hint])[hint]
    outputs = stage.outputs(own, batch)
    assert outputs.shape == wanted.shape
    by_hand = sum(float((o - w).square().sum()) / 2 for o, w in zip(outputs, wanted, strict=True)) / len(wanted)
    assert float(stage.loss(outputs, batch)) == pytest.approx(by_hand, rel=1e-5)


def test_stage_one_moves_the_student_up_to_its_layer_alone_and_learns_the_hint():
    student, teacher = Thin(3, norm=True), Thin(5, seed=1, norm=True)
    of = task_of(student)
    stage = hinted(of, teacher, "second", "norm", seed=2)
    start = {name: tensor + 0.01 for name, tensor in params_of(student).items() if tensor.is_floating_point()}
    first = with_student(stage, start)
    assert torch.equal(first["first.weight"], start["first.weight"])
    before = stage.evaluate(first, "train")["loss"]
    trained, _ = minimise(stage, first, Optimization(60, 1e-2, optimizer=adam, weight_decay=1e-4), seed=0)
    assert stage.evaluate(trained, "train")["loss"] < 0.3 * before
    left = without_regressor(trained)
    after = {name for name in left if not torch.equal(left[name], first[name])}
    assert after == {
        "first.weight", "first.bias", "norm.weight", "norm.bias",
        "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    }  # fmt: skip
    assert set(of.evaluate(left, "validation")) == {"loss", "error"}, "stage 2 goes on from here"


def test_units_of_a_hint_are_what_is_predicted():
    student, teacher = Thin(3), Thin(5, seed=1)
    stage = hinted(task_of(student), teacher, "second", "second", units=[7, 2])
    batch = next(stage.batches("train", 0))
    wanted = hidden_of(teacher_of(stage, teacher), batch, ["second"])["second"][:, [7, 2]]
    assert float(stage.loss(wanted, batch)) == 0
    with pytest.raises(DataError, match=r"numbers from 0 to 9, not \[10\]"):
        hinted(task_of(student), teacher, "second", "second", units=[10])


def test_layers_that_run_twice_or_write_nan_are_refused_before_training_and_whose_they_are_is_said():
    class Again(Thin):
        def forward(self, images):
            return super().forward(images) + self.last(self.second(self.first(images)).flatten(1))

    student, again, broken = Thin(), Again(), Thin(5)
    broken.first.weight.data[0] = float("nan")
    of, twice = task_of(student), task_of(again)
    for make in (
        lambda task, teacher: hinted(task, teacher, "first", "first"),
        lambda task, teacher: attentive(task, teacher, [("first", "first")]),
        lambda task, teacher: best_neurons(teacher, "first", task, 1),
    ):
        with pytest.raises(DataError, match="layer 'first' of the teacher runs several times"):
            make(of, again)
    for make in (hinted, lambda task, teacher, hint, guided: attentive(task, teacher, [(hint, guided)])):
        with pytest.raises(DataError, match="layer 'first' of the student runs several times"):
            make(twice, student, "first", "first")
        with pytest.raises(DataError, match=r"the teacher says NaN or infinity: .* layer 'first' writes"):
            make(of, broken, "first", "first")
        with pytest.raises(DataError, match="the student has no layer '9'"):
            make(of, student, "first", "9")
    with pytest.raises(DataError, match=r"the teacher (has gradients that are|says) NaN"):
        attentive_by_gradients(of, broken, 1.0)


@pytest.mark.parametrize("how", ["distilled", "hinted", "attentive", "by gradients"])
def test_a_teacher_stays_as_it_was_whatever_becomes_of_the_student_whose_module_it_is(how):
    """A module of its own with the same weights says what is right."""

    def loss_of(student, teacher):
        of = task_of(student)
        return of, {
            "distilled": lambda: distilled(of, teacher),
            "hinted": lambda: hinted(of, teacher, "second", "second"),
            "attentive": lambda: attentive(of, teacher, [("second", "second")]),
            "by gradients": lambda: attentive_by_gradients(of, teacher, 5.0),
        }[how]()

    values = []
    for same in (True, False):
        student = Thin()
        teacher = student if same else copy.deepcopy(student)
        of, with_term = loss_of(student, teacher)
        moved = {name: tensor + 0.05 for name, tensor in params_of(student).items()}
        batch = next(of.batches("train", 0))
        student.first.weight.data += 1.0  # nor does it follow its module
        student.train()
        values.append(float(with_term.minimised(with_term.outputs(moved, batch), batch).detach()))
        values.append(float(of.loss(of.outputs(moved, batch), batch).detach()))
    assert values[0] == values[2] != values[1]


def test_what_no_regressor_can_do_is_said_with_both_shapes():
    student, teacher = Thin(3), Thin(5)
    with pytest.raises(DataError, match=r"\(16, 5, 6, 6\).*\(16, 6, 4, 4\): no convolution makes maps larger"):
        hinted(task_of(student), teacher, "first", "second")
    with pytest.raises(DataError, match="no layer 'frist'; near are first"):
        hinted(task_of(student), teacher, "first", "frist")
