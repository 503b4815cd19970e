"""The samples of a calibration: drawn, split and judged by, whatever they come in."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from toys import mlp, normal, seeded_module

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.errors import DataError, PlanError
from laconic.models.params import params_of
from laconic.training.batches import size_of
from laconic.training.task import Task

SOURCES = {
    "tensor": lambda x: x,
    "list": lambda x: [x[:3], x[3:]],
    "pairs": lambda x: [(x[:30], torch.zeros(7)), [x[30:]]],
    "dicts": lambda x: [{"input": part} for part in x.split(6)],
    "loader": lambda x: DataLoader(TensorDataset(x), batch_size=8),
    "generator": lambda x: (part for part in x.split(1)),
    "function": lambda x: lambda: iter(x.split(10)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_fifth_of_the_samples_is_held_out_whatever_they_come_in(source):
    module, inputs = nn.Sequential(nn.Linear(3, 2)).double(), normal(130, 3)
    calibration = Calibration.of(module, SOURCES[source](inputs), samples=101)
    assert sum(map(size_of, calibration.seen)) == 81
    assert sum(map(size_of, calibration.unseen)) == 20
    assert max(map(size_of, calibration.batches)) <= 64
    assert not calibration.notes
    outputs = [calibration.outputs(params_of(module), batch) for batch in calibration.batches]
    expected = module(inputs[:101])
    torch.testing.assert_close(torch.cat(outputs).sort(0).values, expected.sort(0).values)


def test_few_samples_are_a_note_and_none_an_error():
    module = nn.Linear(3, 2)
    (note,) = Calibration.of(module, torch.ones(3, 3)).notes
    assert note == f"calibration: of {SAMPLES:,} samples there are only 3"
    one = Calibration.of(module, torch.ones(1, 3), samples=1)
    assert one.seen == one.unseen
    assert "of one sample" in one.notes[0]
    for source, error, why in (
        (torch.ones(0, 3), DataError, "no samples"),
        (None, DataError, "brings no data"),
        ([torch.full((2, 3), torch.nan)], DataError, r"batch 0 .*float32 \(2, 3\).* NaN"),
        ((torch.ones(2, 3), torch.ones(2)), DataError, "this is one batch"),
    ):
        with pytest.raises(error, match=why):
            Calibration.of(module, source)
    with pytest.raises(PlanError, match="at least 1"):
        Calibration.of(module, torch.ones(2, 3), samples=0)
    with pytest.raises(DataError, match="not of a str"):
        Calibration.of("net", torch.ones(2, 3))


def test_what_does_not_fit_is_named():
    module = mlp()
    wrong = Calibration.of(module, [normal(6, 3), normal(6, 5)], seed=3)
    for run in (wrong.survey, wrong.sensitivities, lambda params: list(wrong.meetings(params, "0.weight"))):
        with pytest.raises(DataError, match=r"fails on batch 1 .*float64 \(5, 5\): .*shapes"):
            run(params_of(module))
    right, broken = Calibration.of(module, normal(6, 3)), params_of(module)
    broken["0.bias"] = broken["0.bias"] * torch.nan
    for run in (right.survey, right.moments):
        with pytest.raises(DataError, match="layer '2' reads numbers that are NaN"):
            run(broken)


@pytest.mark.parametrize(
    ("give", "expected"),
    [
        (lambda x: (x, x + 1), lambda x: x.flatten(1)),
        (lambda x: [{"a": x.long()}, x], None),
        (lambda x: {"loss": x.sum(), "logits": x}, lambda x: x.flatten(0, -2)),
        (lambda x: SimpleNamespace(logits=x), lambda x: x.flatten(0, -2)),
        (lambda x: SimpleNamespace(values=x), None),
        (lambda x: x.sum(), None),
    ],
)
def test_outputs_are_rows_of_the_first_tensor_or_of_logits(give, expected):
    class Giving(nn.Module):
        def forward(self, inputs: Tensor) -> object:
            return give(inputs)

    inputs = normal(2, 3, 4)
    calibration = Calibration.of(Giving(), inputs.expand(2, 3, 4), samples=2)
    if expected is None:
        with pytest.raises(DataError, match=r"values \(samples, ...\), not .*forward"):
            calibration.outputs({}, inputs)
    else:
        assert torch.equal(calibration.outputs({}, inputs), expected(inputs))


def test_logits_of_a_task_have_their_classes_along_the_second_axis():
    module = seeded_module(lambda: nn.Conv1d(2, 5, 1))
    inputs = normal(6, 2, 4).float()
    task = Task(module, [(inputs, torch.zeros(6, 4).long())], nn.CrossEntropyLoss())
    calibration = Calibration.of(task)
    rows = calibration.outputs(params_of(module), calibration.seen[0])
    assert torch.equal(rows, module(inputs[:5]).transpose(1, 2).reshape(-1, 5))
    assert calibration.sensitivities(params_of(module)).rows["weight"].shape == (5,)


def test_a_task_is_called_as_it_says_and_keeps_the_targets_that_its_forward_looks_at():
    def forward(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return module(batch[0]) * batch[1].unsqueeze(1)

    module, inputs, factors = mlp(), normal(20, 3), 2 + normal(20)
    data = DataLoader(TensorDataset(inputs, factors), batch_size=4, shuffle=True)
    task = Task(module, data, lambda outputs, batch: outputs.sum(), forward=forward, validation=[])
    calibration, params = Calibration.of(task, samples=20), params_of(module)
    for batch in calibration.batches:
        assert torch.equal(calibration.outputs(params, batch), forward(module, batch))
    seen = torch.cat([batch[1] for batch in calibration.seen])
    found = calibration.sensitivities(params).rows["2.weight"]
    torch.testing.assert_close(found, seen.square().mean().expand(2))
    again, other = Calibration.of(task, samples=20), Calibration.of(task, samples=20, seed=1)
    assert torch.equal(again.seen[0][0], calibration.seen[0][0])
    assert not torch.equal(other.seen[0][0], calibration.seen[0][0])
