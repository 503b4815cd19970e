"""Diagonal importances against a loop over samples, on networks of every awkward kind."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from toys import DOUBLE, generator, seeded_module

from laconic.errors import DataError, PlanError
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.theory import importance
from laconic.theory.importance.directions import roots
from laconic.theory.importance.gradients import _known, squared_gradients
from laconic.theory.importance.reading import first_rows, leaves_of
from laconic.theory.metric import Diagonal, Quartic
from laconic.training.judges import cross_entropy, least_squares
from laconic.training.task import Task, classification, mode

from .importance_twins import NETS, by_class, by_loss, by_output, classifier_of, looped, regression_of

each = pytest.mark.parametrize("name", NETS)


def plain(metrics):
    assert all(isinstance(metric, Diagonal) for metric in metrics.values())
    return {name: metric.importance for name, metric in metrics.items()}


def same(found, expected):
    assert list(found) == list(expected)
    for name in found:
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )


def near(found, expected, share):
    for name in expected:
        assert float((found[name] - expected[name]).norm()) <= share * float(expected[name].norm()), name


# --- each estimator is its formula ----------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_unsupervised_classification_is_the_printed_formula(name, temperature):
    task = classifier_of(name)
    found = importance.unsupervised(task, params_of(task.module), temperature=temperature)
    same(plain(found), looped(task, by_class(temperature)))


@each
def test_unsupervised_regression_is_the_printed_formula(name):
    task = regression_of(name)
    same(plain(importance.unsupervised(task, params_of(task.module))), looped(task, by_output))


@each
@pytest.mark.parametrize("make", [classifier_of, regression_of])
def test_gradient_is_the_mean_square_of_each_samples_gradient(name, make):
    task = make(name)
    same(plain(importance.gradient(task, params_of(task.module))), looped(task, by_loss(task)))


@each
def test_second_order_is_the_mean_of_each_samples_square(name):
    task = classifier_of(name, samples=4, batch=4)
    params = params_of(task.module)
    found = squared_gradients(task, params, importance.of_model("classification"), order=2)
    inputs, labels = next(iter(task.batches("train", 0)))
    expected = {key: torch.zeros_like(tensor) for key, tensor in found.items()}
    for n in range(4):
        alone = Task.of(task.module, lambda split, seed, n=n: [(inputs[n : n + 1], labels[n : n + 1])], cross_entropy)
        for key, diagonal in looped(alone, by_class(1.0)).items():
            expected[key] += diagonal.square() / 4
    same(found, expected)


# --- sampling -------------------------------------------------------------------------------------------------------


def test_sampled_labels_converge_to_the_sum_over_classes():
    task = classifier_of("convolutions", samples=20, batch=20)
    params = params_of(task.module)
    exact = plain(importance.unsupervised(task, params, temperature=2.0))
    few, many = (
        plain(importance.unsupervised(task, params, generator(0), draws=draws, temperature=2.0)) for draws in (1, 400)
    )
    near(many, exact, 0.06)
    assert (few["8.weight"] - exact["8.weight"]).norm() > 3 * (many["8.weight"] - exact["8.weight"]).norm()


def test_random_signs_converge_to_the_sum_over_outputs():
    task = regression_of("normalized", samples=20, batch=20)
    params = params_of(task.module)
    exact = plain(importance.unsupervised(task, params))
    near(plain(importance.unsupervised(task, params, generator(0), draws=600)), exact, 0.06)


@pytest.mark.parametrize("make", [classifier_of, regression_of])
def test_sampled_curvature_converges_to_the_exact_one(make):
    task = make("mlp", samples=20, batch=20)
    params = params_of(task.module)
    exact = plain(importance.hessian(task, params))
    near(plain(importance.hessian(task, params, generator(0), draws=600)), exact, 0.06)
    own = Task.of(task.module, task.batches, lambda outputs, batch: task.loss(outputs, batch))
    near(plain(importance.hessian(own, params, generator(0), draws=600)), exact, 0.06)


def test_the_same_generator_gives_the_same_bits():
    task = classifier_of("convolutions")
    params = params_of(task.module)
    one, two, other = (plain(importance.unsupervised(task, params, generator(seed), draws=2)) for seed in (3, 3, 4))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["8.weight"], other["8.weight"])


@pytest.mark.parametrize(("make", "scale"), [(classifier_of, 1.0), (regression_of, 2.0)])
def test_curvature_at_the_outputs_in_closed_form_is_that_of_the_eigenvectors(make, scale):
    task = make("mlp")
    batch = first_rows(task, 3)
    outputs = task.outputs(params_of(task.module), batch)
    closed, found = importance.of_curvature(task)(outputs, batch), roots(task)(outputs, batch)
    torch.testing.assert_close(torch.einsum("kni,knj->nij", closed, closed), torch.einsum("kni,knj->nij", found, found))
    if make is regression_of:
        assert float(found.square().sum()) == pytest.approx(scale * 9)


# --- which layers tell their gradients -----------------------------------------------------------------------------

FAST = {
    "mlp": {"0.weight", "0.bias", "2.weight"},
    "normalized": {"0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"},
    "convolutions": {
        "0.weight",
        "1.weight",
        "1.bias",
        "3.weight",
        "3.bias",
        "5.weight",
        "5.bias",
        "8.weight",
        "8.bias",
    },
    "positions": {"0.weight", "0.bias", "2.weight", "2.bias"},
    "folded": set(),
    "tied": {"first.bias", "second.bias", "last.bias"},
    "twice": {"once.weight", "once.bias"},
    "doubled": {"2.weight", "2.bias"},
}


@each
def test_layers_are_taken_at_their_word_only_where_it_is_true(name):
    task = classifier_of(name)
    params = params_of(task.module)
    with mode(task.module, training=False):
        known = _known(task, params, list(leaves_of(task, params)), first_rows(task, 2))
    assert known == FAST[name]


def test_positions_before_samples_of_the_same_number_are_not_mistaken():
    """Four positions and batches of four samples: only the values tell which axis is which."""
    task = classifier_of("folded", samples=8, batch=4)
    same(plain(importance.unsupervised(task, params_of(task.module))), looped(task, by_class(1.0)))


def test_a_tied_weight_has_the_importance_of_moving_in_both_places():
    task = classifier_of("tied")
    params = params_of(task.module)
    assert "second.weight" not in importance.gradient(task, params)
    renamed = {("second.weight" if name == "first.weight" else name): tensor for name, tensor in params.items()}
    found, other = importance.gradient(task, params), importance.gradient(task, renamed)
    torch.testing.assert_close(found["first.weight"].importance, other["second.weight"].importance)
    both = {**params, "second.weight": params["first.weight"]}
    same(plain(importance.gradient(task, both)), plain(found))
    assert importance.kronecker(task, both).keys() == found.keys()
    assert importance.input_moments(task, both).keys() == importance.input_moments(task, params).keys()
    assert importance.hessian(task, both, method="exact").keys() == found.keys()
    assert importance.full_matrix(task, both, importance.of_loss(task)).shapes.keys() == found.keys()


def test_modules_whose_control_flow_looks_at_values_go_sample_by_sample():
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.scale = nn.Linear(4, 3), nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

        def forward(self, inputs):
            return self.linear(inputs) * self.scale if float(inputs[0, 0]) > 0 else self.linear(inputs) + self.scale

    module, still = seeded_module(Moody).double(), classifier_of("mlp")
    (inputs, labels), *_ = still.batches("train", 0)
    task = Task.of(
        module, lambda split, seed: [(inputs[n : n + 1], labels[n : n + 1]) for n in range(3)], cross_entropy
    )
    same(plain(importance.gradient(task, params_of(module))), looped(task, by_loss(task)))
    whole = Task.of(module, lambda split, seed: [(inputs.abs(), labels)], cross_entropy)
    same(plain(importance.gradient(whole, params_of(module))), looped(whole, by_loss(whole)))


# --- what goes in and comes out ------------------------------------------------------------------------------------


def test_the_module_keeps_its_mode_its_buffers_and_its_hooks():
    task = classifier_of("convolutions")
    params = params_of(task.module)
    before = {name: tensor.clone() for name, tensor in params.items()}
    importance.unsupervised(task, params)
    assert all(part.training for part in task.module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in params_of(task.module).items())
    assert not any(part._forward_hooks for part in task.module.modules())
    assert all(parameter.grad is None for parameter in task.module.parameters())


def test_buffers_and_integers_have_no_importance():
    task = classifier_of("convolutions")
    found = importance.gradient(task, params_of(task.module))
    assert list(found) == [name for name, _ in task.module.named_parameters()]


def test_a_limit_takes_the_first_samples_of_the_order():
    task = classifier_of("mlp")
    inputs, labels = (torch.cat(parts) for parts in zip(*task.batches("train", 0), strict=True))
    first = Task.of(task.module, lambda split, seed: [(inputs[:4], labels[:4])], cross_entropy)
    params = params_of(task.module)
    same(plain(importance.gradient(task, params, samples=4)), plain(importance.gradient(first, params)))
    same(plain(importance.gradient(task, params, samples=99)), plain(importance.gradient(task, params)))


@pytest.mark.parametrize(("samples", "steps"), [(None, [(3, 7), (6, 7), (7, 7)]), (4, [(3, 4), (4, 4)]), (99, 3)])
def test_progress_is_told(samples, steps):
    task = classifier_of("mlp")
    seen = []
    importance.gradient(task, params_of(task.module), samples=samples, watch=lambda *at: seen.append(at))
    assert seen == steps if isinstance(steps, list) else seen[-1] == (7, 7)


def test_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.scale = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

        def forward(self, one, two):
            return self.left(one) * self.scale + two

    module = seeded_module(Sum).double()
    one, two = (torch.randn(5, size, generator=generator(size), dtype=DOUBLE) for size in (4, 3))
    labels = torch.tensor([0, 1, 2, 0, 1])
    task = Task.of(module, lambda split, seed: [((one, two), labels)], cross_entropy)
    found = plain(importance.unsupervised(task, params_of(module)))
    f = torch.softmax(module(one, two), 1)
    curvature = torch.diag_embed(f) - f.unsqueeze(2) * f.unsqueeze(1)
    rise = module.left(one)
    torch.testing.assert_close(found["scale"], (curvature.diagonal(dim1=1, dim2=2) * rise.square()).mean(0))


def test_half_precision_weights_have_single_precision_importances():
    module = seeded_module(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3)))
    inputs, labels = torch.randn(9, 4, generator=generator(0)), torch.arange(9) % 3
    task = classification(module, Dataset("noise", {"train": (inputs, labels)}), batch=9)
    expected = plain(importance.unsupervised(task, params_of(module)))
    half = Task.of(deepcopy(module).bfloat16(), lambda split, seed: [(inputs.bfloat16(), labels)], cross_entropy)
    found = plain(importance.unsupervised(half, {k: t.bfloat16() for k, t in params_of(module).items()}))
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    near(found, expected, 0.05)


def test_saturated_networks_have_finite_importances():
    task = classifier_of("mlp")
    params = {name: 1e4 * tensor for name, tensor in params_of(task.module).items()}
    assert all(bool(torch.isfinite(t).all()) for t in plain(importance.unsupervised(task, params)).values())


def test_the_kind_is_never_guessed():
    task = classifier_of("mlp")
    params = params_of(task.module)
    own = Task.of(task.module, task.batches, lambda outputs, batch: cross_entropy(outputs, batch))
    with pytest.raises(PlanError, match="kind must be 'classification'"):
        importance.unsupervised(own, params)
    same(
        plain(importance.unsupervised(own, params, kind="classification")), plain(importance.unsupervised(task, params))
    )
    as_values = Task.of(task.module, task.batches, least_squares)
    same(
        plain(importance.unsupervised(task, params, kind="regression")),
        plain(importance.unsupervised(as_values, params)),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws=0"),
        ({"draws": 2, "generator": None}, "come with a generator"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
        ({"kind": "regression", "temperature": 2.0}, "belongs to kind='classification'"),
        ({"kind": "ranking"}, "not 'ranking'"),
        ({"samples": 0}, "samples must be at least 1"),
    ],
)
def test_bad_arguments(options, message):
    task = classifier_of("mlp")
    with pytest.raises(PlanError, match=message):
        importance.unsupervised(task, params_of(task.module), **{"generator": generator(0), **options})


def test_bad_data():
    module, nothing = nn.Linear(2, 2), Task.of(nn.Linear(2, 2), lambda split, seed: [], cross_entropy)
    with pytest.raises(DataError, match="no samples"):
        importance.gradient(nothing, params_of(module))
    summed = Task.of(
        module, lambda split, seed: [(torch.ones(3, 2), torch.ones(3))], lambda outputs, batch: outputs.sum()
    )
    flat = Task.of(nn.Sequential(module, Flat()), summed.batches, summed.loss)
    with pytest.raises(DataError, match=r"row of outputs for each of the 2 samples"):
        importance.gradient(flat, params_of(flat.module))
    images = Task.of(module, lambda split, seed: [(torch.ones(3, 2, 2), torch.ones(3).long())], cross_entropy)
    with pytest.raises(DataError, match=r"logits \(samples, classes\)"):
        importance.unsupervised(images, params_of(module))


class Flat(nn.Module):
    def forward(self, inputs):
        return inputs.sum()


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", importance.IMPORTANCES)
def test_every_importance_has_a_name(name):
    task = classifier_of("convolutions")
    params = params_of(task.module)
    found = importance.estimate(name, task, params, generator(0), samples=5)
    assert list(found) == [key for key, _ in task.module.named_parameters()]
    kind = Quartic if name == "gradient+hessian" else Diagonal
    assert all(isinstance(metric, kind) for metric in found.values())
    shifted = {key: params[key] + 0.1 for key in found}
    assert all(metric.error(params[key], shifted[key]) > 0 for key, metric in found.items())


def test_a_name_that_is_none_is_an_error():
    task = classifier_of("mlp")
    with pytest.raises(PlanError, match=r"one of unsupervised, gradient, hessian, gradient\+hessian, not 'taylor'"):
        importance.estimate("taylor", task, params_of(task.module))
    with pytest.raises(PlanError, match="gradient takes the options samples, watch, not draws, temperature"):
        importance.estimate("gradient", task, params_of(task.module), draws=3, temperature=2.0)
