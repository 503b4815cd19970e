import pytest
import torch
from torch import nn

from laconic.errors import DataError, WeightsError
from laconic.models import data, nets
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.training.judges import cross_entropy, error, least_squares
from laconic.training.task import Task, classification, regression


def digits_task(name: str = "lenet300", **options: int) -> Task:
    ready = data.load("digits", None, "pixels/16")
    return classification(nets.build(name, ready.shape, ready.classes), ready, **options)


def copies(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in params_of(module).items()}


def test_outputs_are_those_of_the_given_weights():
    task = digits_task()
    other = nets.build("lenet300", (1, 8, 8), seed=5)
    batch = next(iter(task.batches("test", 0)))
    before = copies(task.module)
    assert torch.equal(task.outputs(params_of(other), batch), other(batch[0]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in params_of(task.module).items())


def test_gradients_reach_the_given_weights_alone():
    task = digits_task()
    params = {name: tensor.requires_grad_() for name, tensor in copies(task.module).items()}
    batch = next(iter(task.batches("train", 0)))
    task.loss(task.outputs(params, batch), batch).backward()
    assert all(tensor.grad is not None and tensor.grad.any() for tensor in params.values())
    assert all(parameter.grad is None for parameter in task.module.parameters())


def test_batchnorm_updates_the_given_statistics_alone():
    task = digits_task("resnet20")
    params, before = copies(task.module), copies(task.module)
    batch = next(iter(task.batches("train", 0)))
    task.module.train()
    task.outputs(params, batch)
    assert not torch.equal(params["bn1.running_mean"], before["bn1.running_mean"])
    assert torch.equal(params["bn1.weight"], before["bn1.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in params_of(task.module).items())


def test_buffers_that_are_not_given_are_not_changed_either():
    task = digits_task("resnet20")
    before = copies(task.module)
    task.module.train()
    task.outputs(dict(task.module.named_parameters()), next(iter(task.batches("train", 0))))
    assert all(torch.equal(tensor, before[name]) for name, tensor in params_of(task.module).items())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.last.weight = self.first.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(inputs))


@pytest.mark.parametrize("name", ["first.weight", "last.weight"])
def test_tied_parameters_go_by_any_of_their_names(name):
    task = Task.of(Tied(), lambda split, seed: [], least_squares)
    weight, inputs = torch.randn(3, 3), torch.randn(4, 3)
    torch.testing.assert_close(task.outputs({name: weight}, (inputs, inputs)), inputs @ weight.T @ weight.T)


def test_names_must_fit():
    task = digits_task()
    params = copies(task.module)
    batch = next(iter(task.batches("test", 0)))
    with pytest.raises(WeightsError, match=r"no fc4\.weight"):
        task.outputs({**params, "fc4.weight": params["fc1.weight"]}, batch)
    del params["fc2.bias"]
    with pytest.raises(WeightsError, match=r"lack fc2\.bias"):
        task.outputs(params, batch)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_means_are_weighted_by_batch_size(split):
    many, one = digits_task(batch=7, evaluation_batch=7), digits_task(batch=5000, evaluation_batch=5000)
    params = params_of(many.module)
    found = many.evaluate(params, split)
    assert found == pytest.approx(one.evaluate(params, split), rel=1e-5)
    assert found.keys() == {"loss", "error"}
    assert 70 < found["error"] <= 100


def test_evaluation_gives_every_part_its_mode_back():
    task = digits_task("resnet20")
    task.module.train()
    task.module.bn1.eval()
    params = copies(task.module)
    before = {name: tensor.clone() for name, tensor in params.items()}
    task.evaluate(params, "test")
    assert all(torch.equal(params[name], before[name]) for name in params)
    assert [name for name, part in task.module.named_modules() if not part.training] == ["bn1"]
    with pytest.raises(DataError):
        task.evaluate(params, "no such split")
    assert task.module.training


def test_a_split_without_batches_is_an_error():
    with pytest.raises(DataError, match="'test' has no samples"):
        Task.of(Tied(), lambda split, seed: [], least_squares).evaluate({"first.weight": torch.eye(3)}, "test")


class Density(nn.Module):
    """A normal density: maximum likelihood needs no targets."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return 0.5 * ((inputs - self.mean) / scale).square() + scale.log()


def test_a_loss_of_ones_own_with_several_inputs_and_no_targets():
    batch = (torch.tensor([1.0, 3.0]), torch.ones(2)), torch.empty(0)
    task = Task.of(Density(), lambda split, seed: [batch, batch], lambda outputs, batch: outputs.mean())
    assert task.evaluate({"mean": torch.tensor(2.0)}, "test") == {"loss": 0.5}


def test_losses_by_their_definition():
    logits, labels = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1, 1])
    expected = -torch.log_softmax(logits, 1)[range(3), labels].mean()
    batch = (torch.zeros(3), labels)
    assert cross_entropy(logits, batch) == pytest.approx(float(expected))
    assert cross_entropy(logits.bfloat16(), batch).dtype == torch.float32
    assert cross_entropy(logits.double(), batch).dtype == torch.float64
    assert float(error(logits, batch)) == pytest.approx(100 / 3)
    outputs, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert least_squares(outputs, (outputs, targets)) == 4.5
    assert least_squares(outputs[:, 0], (outputs, targets[:, 0])) == 0.5
    with pytest.raises(DataError, match=r"\(2, 2\).*\(2,\)"):
        least_squares(outputs, (outputs, labels[:2]))


def test_regression_finds_a_line():
    inputs = torch.linspace(-1, 1, 64).view(-1, 1)
    split = inputs, 3 * inputs + 1
    task = regression(nn.Linear(1, 1), Dataset("line", {"train": split, "test": split}), batch=16)
    solution = {"weight": torch.tensor([[3.0]]), "bias": torch.tensor([1.0])}
    assert task.evaluate(solution, "train") == {"loss": 0.0}
    assert task.evaluate({**solution, "bias": torch.tensor([0.0])}, "test") == pytest.approx({"loss": 1.0})


def test_training_learns_digits():
    task = digits_task(batch=50)
    params = {name: tensor.requires_grad_() for name, tensor in copies(task.module).items()}
    optimizer = torch.optim.SGD(params.values(), lr=0.1, momentum=0.9)
    for epoch in range(6):
        for batch in task.batches("train", epoch):
            optimizer.zero_grad()
            task.loss(task.outputs(params, batch), batch).backward()
            optimizer.step()
    assert task.evaluate(params, "validation")["error"] < 8
