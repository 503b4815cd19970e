"""`laconic plan`: what each tensor of a checkpoint will get, before anything runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.planning import plan_of
from laconic.csteps.joint import Joint
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError
from laconic.models.checkpoints import open_checkpoint
from laconic.models.params import Params, dtype_name, is_float
from laconic.models.ties import untied
from laconic.plans.plan import Plan, in_toml, to_toml
from laconic.plans.techniques import TECHNIQUES, row_of, technique_of


def command(
    weights: Annotated[Path, typer.Argument(help="The checkpoint, of safetensors or torch.save.")],
    codebook: options.Codebook = None,
    keep: options.Keep = None,
    rank: options.Rank = None,
    per_tensor: options.PerTensor = False,
    plan: options.Plan = None,
    toml: Annotated[bool, typer.Option("--toml", help="Print the plan as TOML instead, to edit.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what each tensor of a checkpoint will get, and what is left alone and why, before anything runs.

    It takes the options of laconic compress that say what becomes of weights. Patterns that match nothing, tensors on
    two rows or on none, and integers that a row would compress are errors that name them all.

    Examples:
      laconic plan net.safetensors --keep 0.05 --codebook 16

      laconic plan net.safetensors --plan net.toml --json

      laconic plan net.safetensors --rank 8 --toml
    """
    say = Output(as_json, quiet)
    if toml and as_json:
        raise PlanError("--toml and --json: one form at a time")
    opened = open_checkpoint(weights)
    say.note(*opened.notes)
    params = dict(opened.params)
    wanted = plan_of(params, codebook, keep, rank, per_tensor, plan)
    records = _records(params, wanted, own=plan is None)
    if toml:
        say.result({}, to_toml(wanted).removesuffix("\n"))
        return
    columns = {"tensor": "left", "shape": "right", "dtype": "left", "elements": "right", "gets": "left"}
    rows = [
        (r["name"], " × ".join(map(str, r["shape"])) or "-", r["dtype"], f"{r['elements']:,}", _gets(r))
        for r in records
    ]
    used = {key: technique.line for key, technique in TECHNIQUES.items() if any(r["technique"] == key for r in records)}
    lossy = sum(r["elements"] for r in records if r["why"] is None)
    lines = [*(f"{key}: {line}" for key, line in used.items() if key != "lossless"),
             f"{lossy:,} of {sum(r['elements'] for r in records):,} elements are compressed with loss"]  # fmt: skip
    say.result({"tensors": records, "toml": to_toml(wanted)}, table(weights.name, columns, rows), *lines)


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
