"""The golden rules of `laconic inspect --against`: what became of the weights, and of what the network says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.groups import names
from laconic.cli.jobs.folds import folded_alike, folded_norms, require_subject
from laconic.cli.jobs.tasks import batches_per_epoch, counted, fitting, opened, task_for
from laconic.errors import DataError, PlanError
from laconic.format import container
from laconic.models.params import Params, all_of, is_float
from laconic.models.ties import untied
from laconic.theory.importance import Importance, Rule, golden_rules, true_distortion
from laconic.theory.importance.directions import kind_of
from laconic.theory.metric import Metrics
from laconic.training.judges import Kind
from laconic.training.task import Task

PREDICTING = "unsupervised"
"""The importance whose quadratic form is the distortion of the outputs for small errors."""


@final
@dataclass(frozen=True)
class Comparison:
    """What the file is compared with, and by which importance: the options of `laconic inspect`."""

    against: Path
    subject: options.Subject
    matters: options.Matters
    split: options.Split | None
    run: options.Run
    key: str | None = None

    def report(self, say: Output, source: Path, limit: int | None) -> dict[str, Any]:
        """Return the report as plain values."""
        torch.set_num_threads(self.run.threads or torch.get_num_threads())
        importance, temperature, samples, kind = (getattr(self.matters, name) for name in names(self.matters))
        with container.open(source, limit) as file:
            own = frozenset(file)
        checkpoint = opened(say, self.against, self.key, names=own)
        params = dict(checkpoint.params)
        with container.open(source, limit) as file:
            compressed, firsts = all_of(file), {name: file.ties.get(name, name) for name in file}
        require_same_names(params, compressed, source, self.against)
        weighing = importance not in (None, options.Importance.none)
        task = None
        if self.subject.named or self.split or weighing:
            task = task_for(say, self.subject, checkpoint.metadata, seed=self.run.seed)
            params, compressed = dict(fitting(params, task)), dict(fitting(compressed, task))
        norms = folded_norms(params, compressed)
        if task is None:
            require_subject(norms)
        else:
            params = dict(folded_alike(task, params, norms))
        whole = untied(params, task.module) if task else untied(params).alike(firsts.__getitem__)
        params, compressed = dict(whole.params), {name: compressed[name] for name in whole.params}
        changed = _changed(params, compressed)
        named = "none" if importance is options.Importance.none or task is None else (importance or PREDICTING)
        if named == "none" and (temperature, samples) != (None, None):
            raise PlanError("--temperature and --importance-samples go with a task and an --importance")
        outputs = kind_of(task, kind) if task else "regression"
        metrics: Metrics = {}
        if task is not None and named != "none":
            of_kind = str(kind) if kind and named == PREDICTING else None
            metrics = _metrics(say, task, params, Importance(str(named), temperature, samples, of_kind))
        rules = golden_rules(params, changed, metrics, outputs)
        report = _report(params, changed, rules, str(named))
        if task is not None:
            split = (self.split or options.Split.validation).value
            true = _true(say, task, params, compressed, split, outputs, temperature)
            report |= _measured(report, true, outputs, split)
        return {"against": str(self.against), **report}

    @staticmethod
    def shown(report: Mapping[str, Any]) -> list[Any]:
        """Return the table and the lines under it."""
        return _shown(report)


def _shown(report: Mapping[str, Any]) -> list[Any]:
    """Return the table and the lines under it."""
    columns = {"tensor": "left", "objective": "right", "residual": "right", "SNR, dB": "right"}
    rows = [
        (each["name"], f"{each['objective']:.4g}", _number(each["residual"], ".4f"), f"{each['snr']:.2f}")
        for each in report["tensors"]
    ]
    metric = "squared error" if report["importance"] == "none" else f"importance {report['importance']}"
    lines = [f"{report['unchanged']} other tensors are as they were; objective {report['objective']:.4g} in all"]
    if "true" in report:
        unit = "nats, KL(f_ŵ ‖ f_w): compressed ‖ original" if report["kind"] == "classification" else "‖f_w − f_ŵ‖²"
        lines.append(f"true distortion on {report['split']}: {report['true']:.4g} ({unit})")
    if report.get("predicted") is not None:
        ratio = _number(report["ratio"], ".3f")
        lines.append(
            f"predicted to second order, tensors by themselves: {report['predicted']:.4g}, {ratio} times the true"
        )
    return [table(f"golden rules, {metric}", columns, rows), *lines]


def require_same_names(params: Params, compressed: Params, source: Path, against: Path) -> None:
    """Raise `DataError` when names or shapes differ."""
    names = sorted(params.keys() | compressed.keys())
    apart = [n for n in names if n not in params or n not in compressed or params[n].shape != compressed[n].shape]
    if apart:
        raise DataError(f"{source} is not of {against}: {', '.join(apart)} on one side only, or of another shape")


def _changed(params: Params, compressed: Params) -> dict[str, torch.Tensor]:
    """Return the floating-point tensors of ``params`` that are not as they were, as they are now."""
    pairs = [(name, tensor, compressed[name]) for name, tensor in params.items()]
    return {name: new for name, old, new in pairs if is_float(new) and not torch.equal(new, old)}


def _metrics(say: Output, task: Task, params: Params, importance: Importance) -> Metrics:
    """Return the metrics, with a progress bar over the samples meanwhile."""
    with say.progress(f"importance: {importance.name}", 1.0) as tick:
        return importance.metrics(task, params, lambda done, total: tick(done / max(1, total)))


def _true(
    say: Output, task: Task, params: Params, compressed: Params, split: str, kind: Kind, temperature: float | None
) -> float:
    """Return the true distortion, with a progress bar over the batches meanwhile."""
    with say.progress(f"true distortion on {split}", max(1, batches_per_epoch(task, split))) as tick:
        watched, warmth = counted(task, tick, split), 1.0 if temperature is None else temperature
        return true_distortion(watched, params, compressed, split, kind=kind, temperature=warmth)


def _report(params: Params, changed: Params, rules: tuple[Rule, ...], importance: str) -> dict[str, Any]:
    """Return what is known without a task: each tensor, and the sum of the objectives."""
    tensors = [
        {"name": r.name, "objective": r.objective, "residual": r.residual, "snr": _snr(params[r.name], changed[r.name]),
         "predicted": r.predicted if importance == PREDICTING else None}
        for r in rules
    ]  # fmt: skip
    objective = sum(rule.objective for rule in rules)
    return {"importance": importance, "tensors": tensors, "unchanged": len(params) - len(rules), "objective": objective}


def _measured(report: Mapping[str, Any], true: float, kind: Kind, split: str) -> dict[str, Any]:
    """Return the distortion, and what was predicted of it where the importance predicts one."""
    predicted = None
    if report["importance"] == PREDICTING:
        predicted = sum(tensor["predicted"] for tensor in report["tensors"])
    ratio = predicted / true if predicted is not None and true > 0 else None
    return {"kind": kind, "split": split, "true": true, "predicted": predicted, "ratio": ratio}


def _snr(weights: torch.Tensor, compressed: torch.Tensor) -> float:
    """Return 10 log₁₀ Σ w² / Σ (w − ŵ)², dB."""
    signal = float(weights.double().square().sum())
    noise = float((weights.double() - compressed.double()).square().sum())
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else -math.inf if noise > 0 else math.inf


def _number(value: float | None, form: str) -> str:
    """Return a number, or a dash where there is none."""
    return "-" if value is None else format(value, form)
