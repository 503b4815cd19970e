"""Where the time of a graph goes in onnxruntime, operator by operator: why half of the channels do not pay more.

    python benchmarks/runtime_nodes.py [--threads 1] [--calls 200] [-o recipes/runtime-nodes.json]

ResNet-20 whole and with half of its channels, and eight dense layers of 1024 x 1024 in floats and in 8 bits, by
onnxruntime's own profile: microseconds of each kind of operator at each size of its output, a median over the calls.
Weights are random: times do not depend on them.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import onnx
import onnxruntime
import record
import torch
from runtime import integers, resnet20
from torch import Tensor, nn

from laconic.deploy.calls import Call
from laconic.deploy.graph import graph_of
from laconic.deploy.session import Session

_WARM = 20
"""Calls of which nothing is counted."""


def nodes(graph: onnx.ModelProto, inputs: Tensor, threads: int, calls: int) -> list[dict[str, Any]]:
    """Return microseconds of each operator of a graph: name, operator, shape of the output, median over the calls."""
    feeds = Session.of(graph, threads).feeds(Call((inputs,), {}))
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for _ in range(_WARM + calls):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    took = defaultdict[tuple[str, str, tuple[int, ...]], list[float]](list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            shape = next(iter(event["args"]["output_type_shape"][0].values()), [])
            took[event["name"], event["args"]["op_name"], tuple(shape)].append(event["dur"])
    return [
        {"operator": operator, "shape": shape, "microseconds": median(each[_WARM:])}
        for (_, operator, shape), each in took.items()
    ]


def stage_of(node: dict[str, Any]) -> str:
    """Return what a node is counted under: convolutions by the size of their maps, the rest by name."""
    operator, shape = node["operator"], node["shape"]
    if operator == "Conv":
        return f"convolutions, {shape[2]} x {shape[3]}"
    return "other order of channels" if operator.startswith("Reorder") else operator


def gathered(each: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return number and microseconds of the nodes of each stage."""
    stages = defaultdict[str, list[float]](list)
    for node in each:
        stages[stage_of(node)].append(node["microseconds"])
    return {name: {"nodes": len(own), "microseconds": sum(own)} for name, own in stages.items()}


def compared(name: str, old: onnx.ModelProto, new: onnx.ModelProto, inputs: Tensor, options: Any) -> dict[str, Any]:
    """Return, and print, stage by stage what both take."""
    before, after = (gathered(nodes(graph, inputs, options.threads, options.calls)) for graph in (old, new))
    print(f"\n{name}, {len(inputs)} at a time\n\n| | before, us | after, us | times faster |\n|---|--:|--:|--:|")
    rows = list[dict[str, Any]]()
    for stage in dict.fromkeys((*before, *after)):
        pair = [one.get(stage, {"nodes": 0, "microseconds": 0.0}) for one in (before, after)]
        rows.append({"stage": stage, "before": pair[0], "after": pair[1]})
    total = [sum(row[side]["microseconds"] for row in rows) for side in ("before", "after")]
    for stage, *times in [(r["stage"], *(r[side]["microseconds"] for side in ("before", "after"))) for r in rows] + [
        ("all", *total)
    ]:
        ratio = f"{times[0] / times[1]:.2f}" if all(times) else ""
        print(f"| {stage} | {times[0]:.0f} | {times[1]:.0f} | {ratio} |", flush=True)
    return {"what": name, "samples": len(inputs), "stages": rows, "microseconds": total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    images, rows = torch.randn(32, 3, 32, 32), torch.randn(32, 1024)
    whole, half = (graph_of(resnet20(width), Call((images,), {})) for width in (16, 8))
    found = [compared("ResNet-20, half of the channels", whole, half, images[:count], options) for count in (1, 32)]
    chain = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(8))).eval()
    dense = graph_of(chain, Call((rows,), {}))
    in_bytes = integers(chain, dense, "int8", rows)
    found += [compared("8 dense 1024 x 1024, int8", dense, in_bytes, rows[:count], options) for count in (1, 32)]
    about = {"experiment": "runtime, operator by operator", **record.environment(options.seed, options.threads)}
    record.save(options.output, {**about, "rows": found})


if __name__ == "__main__":
    main()
