"""Graphs of ONNX give what the network gives and hold the file's integers; nothing is written that does not run."""

import os
from copy import deepcopy

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from small_nets import Block, Language, normed
from torch import nn

import laconic
from laconic.csteps.fixed_codebook import TERNARY, FixedCodebook, integers, powers_of_two
from laconic.deploy import export, file
from laconic.deploy.calls import Call, Inputs
from laconic.deploy.fidelity import fidelity
from laconic.deploy.graph import graph_of
from laconic.deploy.integers import integers_of, requantized
from laconic.deploy.session import Session
from laconic.errors import DataError, ExportError, OutputExists, PlanError, WeightsError
from laconic.format.files import sha256

NOISE = torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """Times are not looked at here, and what has been traced is not traced again."""
    monkeypatch.setattr(export, "SECONDS", 0.0)
    monkeypatch.setattr(export, "graph_of", traced)


GRAPHS = {}


def traced(module, call):
    """The graph of a network: traced once for the same weights and inputs of one shape."""
    state = [(name, tensor.numpy().tobytes()) for name, tensor in module.state_dict().items()]
    key = repr((module, state, [tensor.shape for tensor in call.tensors()], list(call.named)))
    if key not in GRAPHS:
        GRAPHS[key] = graph_of(module, call)
    return deepcopy(GRAPHS[key])


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 3, bias=False)).eval()


def convolutional():
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    net = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()
    with torch.no_grad():
        net[1].weight.uniform_(-1, 1)
    return normed(*net).eval()


IMAGES = torch.randn(9, 1, 8, 8, generator=NOISE)
NETS = {
    "convolutions": (convolutional, torch.randn(5, 2, 4, 4, generator=NOISE)),
    "tied": (lambda: Language(tied=True), torch.randint(0, 40, (4, 7), generator=NOISE)),
    "attention": (Block, torch.randn(4, 3, 6, generator=NOISE)),
}


def outputs(path, *tensors):
    return Session.of(path, 1).run(Session.of(path, 1).feeds(Call(tensors, {})))


@pytest.mark.parametrize("name", NETS)
def test_a_graph_in_floats_gives_what_the_network_gives_for_any_number_of_samples(name, tmp_path):
    make, inputs = NETS[name]
    net = make().eval()
    result = laconic.compress(net, laconic.LowRank(3))
    made = laconic.export(result, net, inputs, tmp_path / "net.onnx")
    assert made.fidelity.largest < 1e-5
    assert made.fidelity.samples == len(inputs)
    more = torch.cat([inputs] * 3)
    with torch.no_grad():
        wanted = result.module(net, materialize=True).eval()(more)
    np.testing.assert_allclose(outputs(tmp_path / "net.onnx", more)[0], wanted, atol=1e-4)
    content = (tmp_path / "net.onnx").read_bytes()
    assert os.path.dirname(__file__).encode() not in content, "no path of the machine it was made on"
    assert made.written.bytes == len(content)


def constants(path):
    graph = onnx.load(path)
    return graph, {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}


def test_low_rank_runs_as_two_thin_products(tmp_path):
    net = mlp()
    made = laconic.export(laconic.compress(net, laconic.LowRank(3)), net, IMAGES, tmp_path / "net.onnx")
    assert sorted(made.forms) == ["1"]
    assert sorted(a.shape for a in constants(tmp_path / "net.onnx")[1].values() if a.ndim == 2) == [
        (3, 48),
        (3, 64),
        (48, 3),
    ]


def test_a_shrunk_network_is_a_small_graph_with_its_thin_layers(tmp_path):
    net, inputs = convolutional(), NETS["convolutions"][1]
    plan = laconic.Plan({"0.weight": laconic.KeepGroups(laconic.Groups("filters"), keep=0.5)})
    masked = laconic.compress(net, laconic.coupled(plan, net, inputs))
    low = laconic.compress(net, laconic.Plan({"3.weight": laconic.LowRank(1)}))
    for before, shapes in ((masked, {(4, 2, 3, 3), (4, 4, 3, 3)}), (low, {(8, 2, 3, 3), (1, 8, 3, 3), (4, 1, 1, 1)})):
        small = before.shrink(net, inputs)
        for weights in (small, small.save(tmp_path / "net.lac", force=True)):
            made = laconic.export(weights, net, inputs, tmp_path / "net.onnx", force=True)
            assert made.fidelity.largest < 1e-5
            assert {a.shape for a in constants(tmp_path / "net.onnx")[1].values() if a.ndim == 4} == shapes
        with torch.no_grad():
            wanted = before.module(net, materialize=True)(inputs)
            np.testing.assert_allclose(outputs(tmp_path / "net.onnx", inputs)[0], wanted, atol=1e-5)
            torch.testing.assert_close(small.module(net)(inputs), wanted, atol=1e-5, rtol=0)
    assert net[0].out_channels == 8, "the network stays"


@pytest.mark.parametrize(("precision", "compression"), [
    ("int4", FixedCodebook(integers(16), block=16)),
    ("int4", FixedCodebook(TERNARY)),
    ("int8", FixedCodebook(integers(256), rows=True)),
    ("int8", FixedCodebook(powers_of_two(6), rows=True)),
])  # fmt: skip
def test_the_integers_of_the_file_are_those_of_the_graph(precision, compression, tmp_path):
    net = mlp()
    result = laconic.compress(net, compression)
    made = laconic.export(result, net, IMAGES, tmp_path / "net.onnx", precision=precision)
    assert [(one.name, one.form, one.origin) for one in made.layers] == [
        ("1.weight", precision, "file"), ("3.weight", precision, "file"),
    ]  # fmt: skip
    assert made.fidelity.largest < 0.05
    graph, arrays = constants(tmp_path / "net.onnx")
    for node in graph.graph.node:
        if node.op_type == "MatMulNBits":
            back = unpacked(node, arrays)
        elif node.op_type == "MatMulInteger":
            back = arrays[node.input[1]].T * arrays[node.input[1].replace("integers", "scales")][:, None]
        else:
            continue
        name = "1.weight" if len(back) == 48 else "3.weight"
        np.testing.assert_array_equal(back, result.params[name].numpy())


def unpacked(node, arrays):
    """The weights of MatMulNBits, by its definition, one after the other."""
    options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    weights, scales = arrays[node.input[1]], arrays[node.input[2]].reshape(options["N"], -1)
    back = np.zeros((options["N"], options["K"]), np.float32)
    for row in range(options["N"]):
        for column in range(options["K"]):
            block, place = divmod(column, options["block_size"])
            byte = int(weights[row, block, place // 2])
            back[row, column] = ((byte >> 4 * (place % 2) & 15) - 8) * scales[row, block]
    return back


def test_convolutions_keep_the_integers_of_the_file_beneath_a_folded_norm(tmp_path):
    net = convolutional()
    result = laconic.compress(net, FixedCodebook(integers(16), rows=True))
    made = laconic.export(result, net, NETS["convolutions"][1], tmp_path / "net.onnx", precision="int8")
    assert {(one.form, one.origin) for one in made.layers} == {("int8", "file")}
    assert made.fidelity.largest < 0.1
    graph, arrays = constants(tmp_path / "net.onnx")
    held = arrays["0.weight_quantized"].reshape(8, -1)
    own = integers_of(result.codes["0.weight"]).values
    sign = np.sign(arrays["0.weight_scale"] * net[1].weight.detach().numpy() + 0)[:, None]
    np.testing.assert_array_equal(held, own * sign)
    zeros = [arrays[node.input[2]] for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    assert len(zeros) >= 3
    assert sum(int(zero) == 0 for zero in zeros) >= 2, "what comes after a ReLU begins at 0, or nothing is fused"


def test_integers_that_are_not_the_graphs_are_made_only_where_that_is_asked_for(tmp_path):
    net, path = mlp(), tmp_path / "net.onnx"
    result = laconic.compress(net, bits=4)
    for precision in ["int4"]:
        with pytest.raises(ExportError, match=r"integers of 1\.weight, 3\.weight are not those .*--requantize"):
            laconic.export(result, net, IMAGES, path, precision=precision)
        assert not path.exists()
        made = laconic.export(result, net, IMAGES, path, precision=precision, requantize=True, force=True)
        assert {one.origin for one in made.layers} == {"requantized"}
        assert 0 < made.fidelity.divergence < 0.05
        path.unlink()
    rows = laconic.compress(net, FixedCodebook(integers(16), block=16))
    with pytest.raises(ExportError, match="are not those of a graph in int8"):
        laconic.export(rows, net, IMAGES, path, precision="int8")
    lossless = laconic.compress(net, laconic.Lossless())
    with pytest.raises(ExportError, match=r"no layer would be in int4 \(1\.weight: stored without loss"):
        laconic.export(lossless, net, IMAGES, path, precision="int4")
    mixed = laconic.compress(net, laconic.Plan({"1.weight": FixedCodebook(integers(16), rows=True)}))
    made = laconic.export(mixed, net, IMAGES, path, precision="int8")
    assert [one.form for one in made.layers] == ["int8", "float"]


@pytest.mark.parametrize("bits", [4, 8])
def test_integers_that_are_made_are_near(bits):
    weight = np.random.default_rng(0).standard_normal((6, 40)).astype(np.float32)
    made = requantized(weight, bits, 8)
    assert made.bits == bits
    error = np.abs(made.weights() - weight).max() / np.abs(weight).max()
    assert error < {4: 0.15, 8: 0.005}[bits]
    assert np.all(requantized(0 * weight, bits, 8).weights() == 0)


@pytest.mark.parametrize(
    "compression", [laconic.AdaptiveCodebook(4), FixedCodebook((-0.3, 1.0)), FixedCodebook(TERNARY, group=7)]
)
def test_what_is_no_integer_times_a_scale_is_told(compression):
    weights = {"w": torch.randn(4, 10, generator=NOISE)}
    assert integers_of(compression.project(weights)["w"]) is None


# --- what goes wrong -------------------------------------------------------------------------------


class Exponential(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 4))

    def forward(self, x):
        return torch.linalg.matrix_exp(x * self.scale)


class Branching(Exponential):
    def forward(self, x):
        return x * self.scale if x.sum() > 0 else x


def test_what_cannot_be_a_graph_is_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"of somebody")
    for net, reason in ((Exponential(), r"no operator for aten\.linalg_matrix_exp"), (Branching(), "other values")):
        with pytest.raises(ExportError, match=reason):
            laconic.export(laconic.compress(net, laconic.Lossless()), net, torch.ones(3, 4, 4), path, force=True)
    assert path.read_bytes() == b"of somebody"
    assert [one.name for one in tmp_path.iterdir()] == ["net.onnx"]


def test_bad_input_has_a_sentence(tmp_path):
    net, path = mlp(), tmp_path / "net.onnx"
    result = laconic.compress(net, laconic.Lossless())
    with pytest.raises(DataError, match=r"fails on the inputs \(float32 \(2, 1, 7, 8\)\)"):
        laconic.export(result, net, torch.ones(3, 1, 7, 8), path)
    with pytest.raises(DataError, match="values that are NaN"):
        laconic.export(result, net, IMAGES * torch.nan, path)
    for empty, words in (([], "no inputs"), (IMAGES[:0], "is empty"), ("text", "has no tensor")):
        with pytest.raises(DataError, match=words):
            laconic.export(result, net, empty, path)
    with pytest.raises(PlanError, match="precision is one of float, int8, int4, not 'int2'"):
        laconic.export(result, net, IMAGES, path, precision="int2")
    with pytest.raises(PlanError, match="requantize goes with integers"):
        laconic.export(result, net, IMAGES, path, requantize=True)
    with pytest.raises(ExportError, match=r"name it net\.onnx"):
        laconic.export(result, net, IMAGES, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="the module lacks"):
        laconic.export(result, convolutional(), IMAGES, path)
    with torch.no_grad():
        net[1].weight[0, 0] = torch.nan
    with pytest.raises(WeightsError, match=r"1\.weight: 1 of 3072 weights are NaN"):
        laconic.export(laconic.compress(net, laconic.Lossless()), net, IMAGES, path)
    path.write_bytes(b"")
    with pytest.raises(OutputExists):
        laconic.export(result, net, IMAGES, path)


def test_a_graph_that_runs_otherwise_replaces_nothing(tmp_path, monkeypatch):
    net, path = mlp(), tmp_path / "net.onnx"
    result = laconic.compress(net, laconic.Lossless())
    laconic.export(result, net, IMAGES, path)
    before = sha256(path)
    run = Session.run
    monkeypatch.setattr(Session, "run", lambda self, feeds: [one * 1.01 for one in run(self, feeds)])
    with pytest.raises(ExportError, match=r"differ from those of the network by 1\.0e-02"):
        laconic.export(result, net, IMAGES, path, force=True)
    monkeypatch.setattr(Session, "run", lambda self, feeds: [one[:1] for one in run(self, feeds)])
    with pytest.raises(ExportError, match="outputs of shapes"):
        laconic.export(result, net, IMAGES, path, force=True)
    monkeypatch.undo()
    monkeypatch.setattr(export, "graph_of", lambda *_: onnx.ModelProto())
    with pytest.raises(ExportError, match="onnxruntime does not load the graph"):
        laconic.export(result, net, IMAGES, path, force=True)
    assert sha256(path) == before
    assert [one.name for one in tmp_path.iterdir()] == ["net.onnx"]


def test_constants_beside_the_graph_are_found_and_old_ones_go(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    for seed in range(2):
        net = mlp()
        with torch.no_grad():
            net[1].weight += seed
        made = laconic.export(laconic.compress(net, laconic.Lossless()), net, IMAGES, path, external=True, force=True)
        assert sorted(tmp_path.iterdir()) == sorted([path, made.written.constants])
        assert made.written.constants.stat().st_mode == path.stat().st_mode
        with torch.no_grad():
            np.testing.assert_allclose(outputs(path, IMAGES)[0], net(IMAGES), atol=1e-5)
    monkeypatch.setattr(file, "LARGE", 10)
    assert laconic.export(laconic.compress(net, laconic.Lossless()), net, IMAGES, path, force=True).written.constants


# --- inputs, and how far outputs are -----------------------------------------------------------------


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, shift=None):
        return {"logits": self.layer(x) + shift, "hidden": x}


def test_inputs_may_be_batches_by_place_and_by_name_or_a_task(tmp_path):
    net = Named().eval()
    result = laconic.compress(net, laconic.Lossless())
    x, shift = torch.randn(6, 4, generator=NOISE), torch.randn(6, 3, generator=NOISE)
    targets = torch.zeros(6, dtype=torch.int64)
    task = laconic.Task(net, [({"x": x, "shift": shift}, targets)], loss=lambda outputs, batch: outputs["logits"].sum())
    own = laconic.Task(
        net,
        [(x, targets)],
        loss=lambda outputs, _: outputs.sum(),
        forward=lambda net, b: net(b[0], b[0][:, :3])["logits"],
    )
    for inputs in ([{"x": x, "shift": shift}], [(x, shift)], (x, shift), task, own):
        found = Inputs.of(inputs, net, samples=5)
        assert [call.rows for call in found.judged] == [5]
        assert all(
            torch.equal(one, all_) for one, all_ in zip(found.seen[0].tensors(), (x[:5], shift[:5]), strict=True)
        ) or (inputs is own and torch.equal(found.seen[0].tensors()[1], x[:5, :3]))
    for number, inputs in enumerate((task, (x, shift))):
        made = laconic.export(result, net, inputs, tmp_path / f"{number}.onnx", samples=5)
        assert made.fidelity.samples == 5
        assert made.fidelity.largest < 1e-6
        assert made.fidelity.flips == 0


def test_distance_flips_and_divergence_are_what_they_say():
    wanted, got = torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    found = fidelity([(2, wanted, [got])], None)
    p, q = wanted.softmax(1), got.softmax(1)
    assert (found.samples, found.rows, found.flips, found.largest) == (2, 2, 1, 0.5)
    assert found.divergence == pytest.approx(float((p * (p / q).log()).sum(1).mean()), rel=1e-6)
    values = fidelity([(2, wanted, [got])], "regression")
    assert values.flips is None
    assert values.divergence == pytest.approx(0.5 / (0.5 * (1.0 + 0.0)), rel=1e-6)


def test_outputs_that_are_not_a_number_are_compared_with_nothing(tmp_path):
    class Log(nn.Linear):
        def forward(self, x):
            return torch.log(super().forward(x))

    net = Log(2, 2, bias=False)
    nn.init.eye_(net.weight)
    result = laconic.compress(net, laconic.Lossless())
    with pytest.raises(ExportError, match="output 0 of the network is NaN"):
        laconic.export(result, net, torch.tensor([[1.0, -1.0]]), tmp_path / "n.onnx")
    assert not list(tmp_path.iterdir())


def test_outputs_of_a_mapping_keep_their_names(tmp_path):
    class Two(nn.Linear):
        def forward(self, x):
            return {"logits": super().forward(x), "aux": x.sum(1)}

    net = Two(3, 2)
    path = tmp_path / "n.onnx"
    laconic.export(laconic.compress(net, laconic.Lossless()), net, torch.randn(4, 3), path)
    assert [output.name for output in onnx.load(path).graph.output] == ["logits", "aux"]
