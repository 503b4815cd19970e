"""What `laconic plan` prints: what each tensor of a checkpoint will get."""

from pathlib import Path
from typing import Any

from laconic.cli.console import Output, table
from laconic.cli.jobs.planning import plan_of
from laconic.cli.jobs.tasks import opened, task_for
from laconic.cli.options import Subject
from laconic.cli.rows import Rows
from laconic.csteps.joint import Joint
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError
from laconic.models.params import Params, buffers_of, dtype_name, is_float
from laconic.models.ties import untied
from laconic.plans.plan import Plan
from laconic.plans.techniques import TECHNIQUES, row_of, technique_of
from laconic.plans.toml import in_toml, to_toml


def show(say: Output, weights: Path, key: str | None, rows: Rows, subject: Subject, *, toml: bool) -> None:
    """Print what each tensor gets, or the plan as TOML."""
    if toml and say.json:
        raise PlanError("--toml and --json: one form at a time")
    checkpoint = opened(say, weights, key)
    params = dict(checkpoint.params)
    wanted = plan_of(params, rows)
    if subject.named:
        module = task_for(say, subject, checkpoint.metadata).module
        wanted = plan_of(params, rows, buffers_of(module)).on(module)
    records = _records(params, wanted, own=rows.plan is None)
    if toml:
        say.result({}, to_toml(wanted).removesuffix("\n"))
        return
    columns = {"tensor": "left", "shape": "right", "dtype": "left", "elements": "right", "gets": "left"}
    shown = [
        (r["name"], " × ".join(map(str, r["shape"])) or "-", r["dtype"], f"{r['elements']:,}", _gets(r))
        for r in records
    ]
    used = {key: technique.line for key, technique in TECHNIQUES.items() if any(r["technique"] == key for r in records)}
    lossy = sum(r["elements"] for r in records if r["why"] is None)
    lines = [*(f"{key}: {line}" for key, line in used.items() if key != "lossless"),
             f"{lossy:,} of {sum(r['elements'] for r in records):,} elements are compressed with loss"]  # fmt: skip
    say.result({"tensors": records, "toml": to_toml(wanted)}, table(weights.name, columns, shown), *lines)


def _records(params: Params, plan: Plan, own: bool) -> list[dict[str, Any]]:
    """Return what is known of each tensor, in the order of the checkpoint; ``own`` plans follow from options.

    Tensors of the same memory, as a `.pt` file has them, are one with further names.
    """
    records: dict[str, dict[str, Any]] = {}
    wrong = []
    network = untied(params)
    for row in plan.resolve(network.params, network.names):
        lossless = isinstance(row.compression.of if isinstance(row.compression, Joint) else row.compression, Lossless)
        toml_row = row_of(row.compression, TECHNIQUES.values())
        for name in row.names:
            tensor = params[name]
            if not lossless and not is_float(tensor):
                wrong.append(f"{name} is {dtype_name(tensor)}")
            records[name] = {
                "name": name,
                "tied": [other for other, first in network.ties.items() if first == name],
                "shape": list(tensor.shape),
                "dtype": dtype_name(tensor),
                "elements": tensor.numel(),
                "technique": technique_of(toml_row, TECHNIQUES).key,
                "row": toml_row,
                "joint_with": [other for other in row.names if other != name] if toml_row.get("joint") else [],
                "why": _reason(params, name, own, row.compression is plan.rest) if lossless else None,
            }
    if wrong:
        raise PlanError(f"only floating-point tensors are compressed with loss: {', '.join(wrong)}; name them lossless")
    return [records[name] for name in network.params]


def _reason(params: Params, name: str, own: bool, rest: bool) -> str:
    """Return why a tensor is left alone."""
    if own:
        return "no floating-point numbers" if not is_float(params[name]) else "fewer than two axes"
    return "the rest of the plan" if rest else "the plan says so"


def _gets(record: dict[str, Any]) -> str:
    """Return what a tensor gets, in words."""
    return in_toml(record["row"]) if record["why"] is None else f"left alone: {record['why']}"
