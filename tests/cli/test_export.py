"""`laconic export`: what is written, what is said, and what is refused."""

import sys

import numpy as np
import onnxruntime
import pytest

from laconic.cli import run
from laconic.deploy import export

from .commands import parsed


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr(export, "SECONDS", 0.0)


def test_a_file_becomes_a_graph_that_is_as_good(call, net, tmp_path, capsys):
    file, graph = tmp_path / "a.lac", tmp_path / "a.onnx"
    plan = tmp_path / "plan.toml"
    plan.write_text('[tensors]\n"fc*.weight" = { block = 16 }\n', encoding="utf-8")
    call("compress", net, "-o", file, "--plan", plan)
    made = parsed(
        call("export", file, "-o", graph, "--precision", "int4", "--original", net, "--samples", 300, "--json")
    )
    assert made["output"] == str(graph)
    assert made["bytes"] == graph.stat().st_size
    assert {one["origin"] for one in made["layers"]} == {"file"}
    assert made["fidelity"]["flips"] <= 0.02 * made["fidelity"]["samples"]
    assert list(made["times"]) == ["1", "32"]
    assert list(made["times"]["1"]) == ["torch", "original, float", "float", "int4"]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    size = session.get_inputs()[0].shape[1:]
    assert session.run(None, {session.get_inputs()[0].name: np.zeros((5, *size), np.float32)})[0].shape == (5, 10)
    assert run(["export", str(file), "-o", str(graph)]) == 1
    assert "exists" in capsys.readouterr().err
    assert run(["export", str(file), "-o", str(graph), "--force", "--precision", "int8"]) == 1
    assert "--requantize" in capsys.readouterr().err
    shown = call("export", file, "-o", graph, "--force", "--precision", "int8", "--requantize")
    assert "argmax flips" in shown
    assert f"wrote {graph}: int8" in shown


def test_without_the_packages_the_extra_is_named(net, tmp_path, capsys, monkeypatch):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("laconic.deploy.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "laconic.cli.jobs.export", raising=False)
    assert run(["export", "a.lac", "-o", "a.onnx"]) == 1
    assert capsys.readouterr().err == "error: export needs onnx: pip install 'laconic[onnx]'\n"
