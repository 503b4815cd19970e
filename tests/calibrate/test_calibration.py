"""What a calibration finds in networks of every awkward kind, against loops that are obviously right."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from toys import DOUBLE, classifier, generator, mlp, normal, seeded_module

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.sensitivity import energy
from laconic.errors import DataError, PlanError, WeightsError
from laconic.models.params import params_of
from laconic.theory.importance import input_moments
from laconic.theory.importance.columns import columns_of
from laconic.training.judges import cross_entropy
from laconic.training.task import Task


class Language(nn.Module):
    """Tokens to logits of each next token, the embedding tied to the last layer; with parts that are awkward."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.rnn = nn.LSTM(4, 4, 2, batch_first=True, dropout=0.5)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.twice = nn.Linear(4, 4)
        self.idle = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(4, 4))
        self.last = nn.Linear(4, 7)
        self.last.weight = self.table.weight

    def forward(self, tokens: Tensor) -> SimpleNamespace:
        hidden, _ = self.rnn(input=self.table(tokens))
        hidden = hidden + self.attend(hidden, hidden, hidden)[0] @ self.scale
        hidden = self.twice(nn.functional.dropout(self.twice(hidden), 0.5, self.training)).relu_()
        return SimpleNamespace(logits=self.last(hidden))


def tokens(samples: int = 11) -> Tensor:
    return torch.randint(0, 7, (samples, 5), generator=generator(0))


def language() -> tuple[Calibration, dict[str, Tensor]]:
    module = seeded_module(Language).double()
    return Calibration.of(module, [tokens()[:4], tokens()[4:]]), params_of(module)


def test_a_survey_tells_what_can_be_calibrated_and_why_the_rest_cannot():
    calibration, params = language()
    survey = calibration.survey(params)
    assert [(place.name, place.layer, place.leaf, place.calls) for place in survey.places] == [
        *((f"rnn.weight_{kind}_l{k}", "rnn", f"weight_{kind}_l{k}", (1, 1)) for k in (0, 1) for kind in ("ih", "hh")),
        ("twice.weight", "twice", "weight", (2, 2)),
        ("table.weight", "last", "weight", (1, 1)),
    ]
    assert [place.name for place in survey.places if place.embeds] == ["table.weight"]
    assert set(survey.alone) == {"scale", "attend.in_proj_weight", "attend.out_proj.weight"}
    assert "Language" in survey.alone["scale"]
    assert survey.unreached == ("idle.weight",)
    assert survey.notes == (
        "table.weight is an embedding as well: it is calibrated as the matrix that it is elsewhere",
    )
    for name, why in (("idle.weight", "never been called"), ("scale", "Language"), ("last.bias", "no weight of this")):
        with pytest.raises(DataError, match=f"{name} cannot be calibrated: .*{why}"):
            survey.place(name)


def test_moments_are_those_of_what_layers_read():
    """All in one run, one by one, under other weights, and by hand."""
    calibration, params = language()
    other = {name: tensor + 0.1 * torch.ones_like(tensor) for name, tensor in params.items()}
    every, seen = calibration.moments(params), torch.cat(calibration.seen)
    assert sum(map(len, calibration.seen)) == 9
    for name, moments in every.items():
        assert torch.equal(moments.second, calibration.moments_at(params, name).second)
        assert moments.positions == (10 if name == "twice.weight" else 5)
        crossed = calibration.moments_at(other, name, original=params)
        torch.testing.assert_close(crossed.second, calibration.moments(other, [name])[name].second)
        assert not torch.equal(crossed.second, moments.second) or name == "rnn.weight_ih_l0"
    module = calibration.module.eval()
    with torch.no_grad():
        first = module.table(seen)
        hidden = module.rnn(first)[0]
        below = nn.LSTM(4, 4, batch_first=True).double()
        below.load_state_dict({name: getattr(module.rnn, name) for name in below.state_dict()})
        between = below(first)[0]
        late = hidden + module.attend(hidden, hidden, hidden)[0] @ module.scale
        middle = module.twice(late)
        read = {
            "rnn.weight_ih_l0": first,
            "rnn.weight_ih_l1": between,
            "rnn.weight_hh_l1": torch.cat([torch.zeros(9, 1, 4), hidden[:, :-1]], 1),
            "twice.weight": torch.cat([late, middle]),
            "table.weight": module.twice(middle).relu(),
        }
    for name, x in read.items():
        torch.testing.assert_close(every[name].second[0], x.flatten(0, 1).T @ x.flatten(0, 1) / 9)


def test_cross_moments_are_of_the_same_positions_of_two_networks():
    module, inputs = mlp(), normal(10, 3)
    calibration, params = Calibration.of(module, inputs), params_of(module)
    other = {name: 0.5 * tensor for name, tensor in params.items()}
    x, y = ((inputs[:8] @ given["0.weight"].T + given["0.bias"]).tanh() for given in (params, other))
    moments = calibration.moments_at(other, "2.weight", params)
    torch.testing.assert_close(moments.cross[0], y.T @ x / 8)
    torch.testing.assert_close(moments.second[0], y.T @ y / 8)


def test_moments_agree_with_those_of_importance():
    task = classifier(samples=80, batch=20)
    params, calibration = params_of(task.module), Calibration.of(task)
    split = [(batch[0], torch.zeros(len(batch[0]))) for batch in calibration.seen]
    expected = input_moments(Task.of(task.module, lambda *_: split, cross_entropy), params)
    found = calibration.moments(params)
    assert found.keys() == expected.keys()
    for name, moments in found.items():
        torch.testing.assert_close(moments.second[0].float(), expected[name])


def test_an_embedding_has_frequencies():
    module = seeded_module(lambda: nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(20, 2)))
    calibration, params = Calibration.of(module, tokens(10)), params_of(module)
    assert torch.equal(calibration.frequencies(params, "0.weight"), torch.bincount(tokens(10)[:8].flatten()) / 8)
    assert [(place.name, place.diagonal) for place in calibration.survey(params).places] == [
        ("0.weight", True), ("2.weight", False)
    ]  # fmt: skip
    assert list(calibration.moments(params)) == ["2.weight"]
    with pytest.raises(DataError, match="no embedding"):
        calibration.frequencies(params, "2.weight")


class Counted(nn.Module):
    """Parts in a row, the first of which changes its input in place; counts those that have run."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts, self.runs = nn.ModuleList(nn.Linear(3, 3) for _ in range(parts)), 0

    def forward(self, inputs: Tensor) -> Tensor:
        for part in self.parts:
            self.runs += 1
            try:
                inputs = part(inputs.add_(1))
            except Exception:
                self.runs += 100
        return inputs


def test_a_run_ends_where_the_weight_is_and_leaves_the_module_and_the_data_as_they_were():
    module, inputs = seeded_module(lambda: Counted(4)).train(), normal(10, 3).float()
    calibration, params = Calibration.of(module, inputs), params_of(module)
    calibration.survey(params)
    module.parts[2].eval()
    module.runs, before = 0, module.state_dict(keep_vars=True)
    (meeting,) = calibration.meetings(params, "parts.1.weight")
    assert module.runs == 2
    expected = nn.functional.linear(inputs[:8] + 1, params["parts.0.weight"], params["parts.0.bias"]) + 1
    torch.testing.assert_close(meeting.columns()[0][0], expected)
    with pytest.raises(WeightsError, match="lack"):
        list(calibration.meetings({}, "parts.1.weight"))
    assert [part.training for part in module.modules()] == [True, True, True, True, False, True]
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())
    assert all(tensor is before[name] for name, tensor in module.state_dict(keep_vars=True).items())
    assert torch.equal(inputs, normal(10, 3).float())
    for _ in calibration.meetings(params, "parts.0.weight"):
        assert torch.is_grad_enabled()


def test_fused_attention_is_taken_apart():
    module = seeded_module(lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), 1))
    calibration, params = Calibration.of(module.eval(), normal(6, 3, 4).float()), params_of(module)
    with torch.no_grad():
        assert torch.allclose(
            calibration.outputs(params, calibration.seen[0]), module(calibration.seen[0]).flatten(1), atol=1e-5
        )
    assert [place.name for place in calibration.survey(params).places] == [
        "layers.0.linear1.weight",
        "layers.0.linear2.weight",
    ]
    assert torch.backends.mha.get_fastpath_enabled()


# --- sensitivities ----------------------------------------------------------------------------------------------------


def exact(calibration: Calibration, params: dict[str, Tensor], name: str, layer: str | None) -> Tensor:
    """s by a loop over samples, rows and classes: √f_c (e_c − f) for each class c."""
    leaves = {key: tensor.clone().requires_grad_() for key, tensor in params.items()}
    module, kept = calibration.module.eval(), list[Tensor]()
    total, count = torch.zeros(()), 0

    def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()  # what follows changes it in place

    handle = module.get_submodule(layer).register_forward_hook(keep) if layer else None
    for sample in torch.cat(calibration.seen).split(1):
        kept.clear()
        rows = torch.func.functional_call(module, leaves, (sample,)).logits.flatten(0, -2)
        count += sum(output[..., 0].numel() for output in kept)
        f = rows.detach().softmax(-1)
        for n, c in itertools.product(*map(range, rows.shape)):
            way = torch.zeros_like(rows)
            way[n] = f[n, c].sqrt() * (torch.eye(rows.shape[1], dtype=DOUBLE)[c] - f[n])
            slopes = torch.autograd.grad(rows, kept if layer else [leaves[name]], way, retain_graph=True)
            total = total + sum((slope.flatten(0, -2) if layer else slope.T).square().sum(0) for slope in slopes)
    if handle is not None:
        handle.remove()
        return total / count
    return total / (9 * float(calibration.moments_at(params, name).second[0].trace()))


def test_sensitivities_are_in_expectation_a_loop_over_classes():
    """Of a layer that is called twice, of one that is tied, and of matrices of a recurrent layer by their own law."""
    calibration, params = language()
    draws = [calibration.sensitivities(params, seed) for seed in range(60)]
    assert not any(draw.guessed for draw in draws)
    for name, layer in (
        ("twice.weight", "twice"),
        ("table.weight", "last"),
        *((f"rnn.weight_{kind}_l1", None) for kind in ("ih", "hh")),
    ):
        mean = torch.stack([draw.rows[name] for draw in draws]).mean(0)
        expected = exact(calibration, params, name, layer)
        assert (mean - expected).norm() < 0.2 * expected.norm()


def test_by_weights_the_whole_is_the_square_of_their_gradients():
    """Below a mean over positions all gradients point one way, and errors of one weight add up over them."""

    class Mean(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.mean(-1)

    module = seeded_module(lambda: nn.Sequential(nn.Conv1d(2, 3, 2), Mean())).double()
    inputs = normal(400, 2, 6)
    inputs[:, :, 1:] = inputs[:, :, :1]  # the same at each position
    calibration, params = Calibration.of(module, inputs), params_of(module)
    outputs, weights = (
        torch.stack([calibration.sensitivities(params, seed, by).rows["0.weight"] for seed in range(15)]).mean(0)
        for by in ("outputs", "weights")
    )
    sigma, error = calibration.moments(params)["0.weight"].second[0], normal(3, 4, seed=5)
    changed = {**params, "0.weight": params["0.weight"] + error.view(3, 2, 2)}
    moved = [calibration.outputs(changed, batch) - calibration.outputs(params, batch) for batch in calibration.seen]
    cost = torch.cat(moved).square().sum(1).mean()
    torch.testing.assert_close(outputs, torch.full((3,), 1 / 25, dtype=DOUBLE))
    torch.testing.assert_close(weights.sum() * sigma.trace(), 5 * outputs.sum() * sigma.trace(), rtol=0.15, atol=0)
    torch.testing.assert_close((weights * ((error @ sigma) * error).sum(1)).sum(), cost, rtol=0.15, atol=0)
    with pytest.raises(PlanError, match="'outputs' or by 'weights'"):
        calibration.sensitivities(params, by="inputs")


def test_the_energy_of_columns_is_their_sum_of_squares():
    layer = nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2, padding_mode="reflect").double()
    for inputs in (normal(3, 4, 5, 5), normal(4, 5, 5)):
        expected = columns_of(layer, "weight", (inputs,)).square().sum()
        assert energy(layer, "weight", (inputs,)) == pytest.approx(float(expected))


def test_sensitivities_of_values_are_squares_of_the_jacobian():
    module = mlp()
    calibration, params = Calibration.of(module, normal(500, 3)), params_of(module)
    found = calibration.sensitivities(params)
    hidden = nn.functional.linear(torch.cat(calibration.seen), params["0.weight"], params["0.bias"])
    expected = (params["2.weight"].square().sum(0) * (1 - hidden.tanh().square()).square()).mean(0)
    torch.testing.assert_close(found.rows["2.weight"], torch.ones(2, dtype=DOUBLE))
    torch.testing.assert_close(found.rows["0.weight"], expected, rtol=0.15, atol=0)
    again = calibration.sensitivities(params)
    assert all(torch.equal(rows, again.rows[name]) for name, rows in found.rows.items())


def test_what_has_no_gradient_has_the_mean_of_the_others_and_is_named():
    class Cut(nn.Sequential):
        def forward(self, inputs: Tensor) -> Tensor:
            return self[2](self[1](self[0](inputs).detach()))

    module = seeded_module(lambda: Cut(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(4, 3))).double()
    found = Calibration.of(module, normal(9, 1, 4)).sensitivities(params_of(module))
    assert found.guessed == ("0.weight",)
    torch.testing.assert_close(found.rows["0.weight"], found.rows["2.weight"].mean().expand(2))
