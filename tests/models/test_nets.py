import pytest
import torch
from beartype import beartype
from crossing import usually
from jaxtyping import TypeCheckError, jaxtyped

from laconic.errors import DataError
from laconic.models import data, nets
from laconic.models.data import Images
from laconic.models.data.cifar import read_batch
from laconic.models.nets.resnet import shortcut
from laconic.models.params import apply_to, params_of
from laconic.training.task import classification

PARAMETERS = {
    "lenet300": 266_610,
    "lenet300-tanh": 266_610,
    "lenet5": 431_080,
    "mlp256": 269_322,
    "conv2": 4_301_642,
    "conv5-fc3": 2_342_602,
    "conv7-fc1": 9_303_434,
    "vgg16": 14_728_266,
    "polino-5.3m": 5_346_142,
    "polino-1.0m": 1_000_235,
    "polino-0.3m": 318_415,
    "polino-0.1m": 111_935,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "mobilenet-v1": 4_231_976,
    "mobilenet-v1-0.75": 2_585_560,
    "mobilenet-v1-0.5": 1_331_592,
    "mobilenet-v1-0.25": 470_072,
    "mobilenet-v1-cifar": 3_217_226,
    "mobilenet-v2": 3_504_872,
    "mobilenet-v2-1.4": 6_108_776,
    "mobilenet-v2-0.75": 2_636_424,
    "mobilenet-v2-0.5": 1_968_680,
    "mobilenet-v2-0.35": 1_677_128,
    "mobilenet-v2-cifar": 2_236_682,
    "mobilenet-v2-0.5-cifar": 700_490,
    "mobilenet-v2-0.5-cifar-nonlinear": 700_490,
    "mobilenet-v2-0.5-cifar-no-shortcut": 700_490,
    "efficientnet-lite1": 5_416_680,
}


@pytest.mark.parametrize("name", nets.NETS)
def test_parameters_and_outputs(name):
    module = nets.build(name).eval()
    assert sum(parameter.numel() for parameter in module.parameters()) == PARAMETERS[name]
    inputs = torch.zeros(2, *nets.NETS[name].shape)
    assert module(inputs).shape == (2, nets.NETS[name].classes)
    assert nets.NETS[name].preprocessing in data.PREPROCESSING


@pytest.mark.parametrize("name", ["lenet300", "lenet300-tanh", "resnet20"])
def test_other_inputs_and_classes(name):
    assert nets.build(name, (1, 8, 8), 4)(torch.zeros(3, 1, 8, 8)).shape == (3, 4)
    assert nets.build("lenet5", (3, 32, 17), 4)(torch.zeros(3, 3, 32, 17)).shape == (3, 4)


def test_shapes_that_do_not_suit():
    for shape in ((1, 8, 8), (784,)):
        with pytest.raises(DataError, match=r"at least 16x16.*lenet300"):
            nets.build("lenet5", shape)
    with pytest.raises(DataError, match="takes images"):
        nets.build("resnet20", (784,))
    for name in ("conv5-fc3", "conv7-fc1", "vgg16", "polino-0.1m"):
        with pytest.raises(DataError, match=f"{name} takes images of 32x32"):
            nets.build(name, (3, 28, 28))


def test_unknown_names_get_a_hint():
    with pytest.raises(DataError, match="did you mean 'resnet20'"):
        nets.build("resnet-20")
    with pytest.raises(DataError, match=r"Known are lenet300, .*resnet110"):
        nets.build("vgg")


def test_initialization_is_a_function_of_the_seed():
    before = torch.get_rng_state()
    for name in ("lenet300", "resnet20"):
        first, again, other = (params_of(nets.build(name, seed=seed)) for seed in (1, 1, 2))
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not all(torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_initialization_by_its_definition():
    lenet, resnet = params_of(nets.build("lenet300")), params_of(nets.build("resnet20"))
    assert lenet["fc1.weight"].abs().max() == pytest.approx((6 / 1084) ** 0.5, rel=1e-3)
    assert resnet["layer3.1.conv2.weight"].std() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    mlp = params_of(nets.build("mlp256"))
    assert mlp["fc1.weight"].abs().max() == pytest.approx(1 / 28, rel=1e-3)
    assert 0.9 / 28 < mlp["fc1.bias"].abs().max() <= 1 / 28
    assert not any(tensor.any() for params in (lenet, resnet) for key, tensor in params.items() if key.endswith("bias"))


def test_resnets_have_no_counter_and_load_strictly():
    module = nets.build("resnet20")
    assert not [key for key in module.state_dict() if "num_batches" in key]
    module.load_state_dict(params_of(nets.build("resnet20", seed=1)), strict=True)
    module.train()(torch.randn(4, 3, 32, 32))
    assert module.state_dict()["bn1.running_mean"].any()


def test_plain_networks_have_the_published_weights_and_no_scales():
    """The sums of the convolutions and of the linear layer are those of the checkpoint that the paper loads."""
    weights = [tensor.numel() for tensor in params_of(nets.build("conv7-fc1")).values() if tensor.ndim == 4]
    assert (len(weights), sum(weights)) == (7, 9_293_184)
    for name, convolutions, linear in (("conv7-fc1", 7, 1), ("conv5-fc3", 5, 3)):
        params = params_of(nets.build(name))
        assert [sum(t.ndim == axes for t in params.values()) for axes in (4, 2)] == [convolutions, linear]
        assert not [key for key in params if ".bn." in key and not key.endswith(("running_mean", "running_var"))]


def test_dropout_belongs_to_training():
    module, inputs = nets.build("mlp256"), torch.ones(1, 1, 28, 28)
    assert not torch.equal(module(inputs), module(inputs))
    module.eval()
    assert torch.equal(module(inputs), module(inputs))


def test_shortcut_of_option_a():
    inputs = torch.randn(2, 4, 6, 6)
    assert shortcut(inputs, 4, 1) is inputs
    wide = shortcut(inputs, 8, 2)
    assert torch.equal(wide[:, 2:6], inputs[:, :, ::2, ::2])
    assert not wide[:, :2].any()
    assert not wide[:, 6:].any()


def test_shapes_are_types():
    forward = jaxtyped(typechecker=beartype)(nets.LeNet5.forward)
    module = nets.build("lenet5")
    assert forward(module, torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(TypeCheckError):
        forward(module, torch.zeros(2, 784))


def test_identity():
    assert nets.preprocessing_of("lenet5", "mnist") == "pixels/256"
    assert nets.preprocessing_of("lenet5", "digits") == "pixels/16"
    metadata = nets.identity("lenet300", "mnist", "pixels/255 standardized")
    nets.check_identity(metadata, "lenet300", "mnist")
    nets.check_identity(metadata, "lenet300", "fashion-mnist")
    nets.check_identity({}, "lenet300", "mnist")
    nets.check_identity({"format": "pt"}, "lenet300", "mnist")
    with pytest.raises(DataError, match="net 'lenet300', not 'lenet300-tanh'"):
        nets.check_identity(metadata, "lenet300-tanh", "mnist")
    with pytest.raises(DataError, match="preprocessing 'pixels/255 standardized', not 'pixels/16'"):
        nets.check_identity(metadata, "lenet300", "digits")
    with pytest.raises(DataError, match="not 'pixels/256'"):
        nets.check_identity(metadata, "lenet300", "mnist", "pixels/256")
    with pytest.raises(DataError, match="no network"):
        nets.check_identity({}, "lenet301x", "mnist")


def measured(images: Images, name: str, params: dict[str, torch.Tensor]) -> dict[str, float]:
    module = nets.build(name)
    apply_to(module, params)
    module.load_state_dict(params, strict=True)
    ready = data.prepare(images, nets.NETS[name].preprocessing, validation=0)
    return classification(module, ready).evaluate(params, "test")


@usually(
    "file, name, accuracy, loss",
    [("lenet300_mnist", "lenet300-tanh", 97.87, 0.0874)],
    else_=[("lenet5_mnist", "lenet5", 99.14, 0.0273)],
)
def test_published_lenets(mnist, checkpoint, file, name, accuracy, loss):
    found = measured(mnist, name, checkpoint(file))
    assert found["error"] == pytest.approx(100 - accuracy, abs=0.011)
    assert found["loss"] == pytest.approx(loss, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "accuracy", "loss"), [("resnet20", 91.73, 0.3727), ("resnet32", 92.63, 0.3741)])
def test_published_resnets(cifar10, checkpoint, name, accuracy, loss):
    few = Images("cifar10", (cifar10.train[0][:9], cifar10.train[1][:9]), cifar10.test)
    found = measured(few, name, checkpoint(f"{name}_cifar10"))
    assert found["error"] == pytest.approx(100 - accuracy, abs=0.011)
    assert found["loss"] == pytest.approx(loss, abs=1e-4)


def test_a_published_resnet_on_a_few_images(data_dir, checkpoint):
    """Eighteen of two hundred: as often wrong as on all ten thousand."""
    params = checkpoint("resnet20_cifar10")
    for path in data_dir.glob("cifar10/test_batch.bin*"):
        pixels, labels = (torch.from_numpy(array[:200].copy()) for array in read_batch(path, 10_000))
        few = Images("cifar10", (pixels[:9], labels[:9].long()), (pixels, labels.long()))
        found = measured(few, "resnet20", params)
        assert found["error"] == 9
        assert found["loss"] == pytest.approx(0.3936, abs=1e-4)
