"""Rows of training under a price on singular values, and truncation after it: what LC of low rank is compared with."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from torch import Tensor

from laconic.api import compress
from laconic.errors import WeightsError
from laconic.experiments.recipes.equal_sizes.measurements import Direct, Measurement, Method, judged, row_of
from laconic.experiments.recipes.equal_sizes.settings import Setting
from laconic.experiments.recipes.equal_sizes.strength import Found
from laconic.experiments.recipes.equal_sizes.subject import Subject
from laconic.experiments.recipes.reference import trained
from laconic.lc.learning import Training
from laconic.training.shrinkage import WAYS


def truncated_rows(subject: Subject, setting: Setting, *, tuned: bool) -> list[Measurement]:
    """Return the rows of all sizes: "direct", trained and truncated, and "LC", fine-tuned after that as LC is.

    The network is trained from the reference at each price, for as many epochs as LC has; at each size the price of the
    least validation error is taken, for each of the two by itself.

    Args:
        subject: the network.
        setting: says how it is trained, and what truncates.
        tuned: whether there are rows of fine-tuning.
    """
    prices, targets = subject.effort.prices, subject.effort.targets
    trials = list[Direct | str]()
    for number, price in enumerate(prices):
        part = subject.part(0.8 * number / len(prices), 0.8 * (number + 1) / len(prices))
        trials.append(_trained(part, setting, price))
    direct = [[_truncated(trial, setting, target) for trial in trials] for target in targets]
    rows = [_best(setting, "direct", prices, at_size) for at_size in direct]
    for number, at_size in enumerate(direct if tuned else ()):
        subject.context.say(0.8 + 0.2 * number / len(targets), f"{setting.label}, {targets[number]:,} B, fine-tuning")
        rows.append(
            _best(setting, "LC", prices, [_tuned(trial, row) for trial, row in zip(trials, at_size, strict=True)])
        )
    return rows


def _trained(subject: Subject, setting: Setting, price: float) -> Direct | str:
    """Return what truncates the network that training at a price makes of the reference; or why there is none."""
    label, shrinkage, cache = f"{setting.label}, price {price:g}", WAYS[setting.trained](price), subject.context.cache
    known = cache.figures(f"{label}/diverged")
    try:
        if known is None:
            key, how = f"{label}/network", subject.effort.before
            params = trained(subject.context, key, subject.task, how, subject.params, shrinkage)
            return Direct(replace(subject, params=params), replace(setting, label=label))
    except WeightsError as error:
        reason = {"reason": str(error)}
        known, _ = cache.point(f"{label}/diverged", lambda: (reason, {}))
    return str(known["reason"])


def _truncated(trial: Direct | str, setting: Setting, target: int) -> Measurement:
    """Return the row of a network that is truncated."""
    if isinstance(trial, str):
        return row_of(setting, target, "direct", {"reason": trial}, {})
    return trial.row(target)


def _tuned(trial: Direct | str, direct: Measurement) -> Measurement:
    """Return the row of a truncated network after fine-tuning."""
    if isinstance(trial, str):
        return row_of(direct.setting, direct.target, "LC", {"reason": trial}, {})
    subject, setting = trial.subject, trial.setting
    if not direct.reached:
        reason = direct.figures.get("reason", "truncation does not reach this size")
        return row_of(setting, direct.target, "LC", {"reason": reason}, {})
    return row_of(
        setting,
        direct.target,
        "LC",
        *subject.context.cache.point(f"{setting.label}/{direct.target}/tuned", partial(_fine_tuning, trial, direct)),
    )


def _fine_tuning(trial: Direct, direct: Measurement) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Train the factors, and judge them."""
    subject, figures, began = trial.subject, direct.figures, perf_counter()
    result = compress(
        subject.params,
        trial.setting.plan(figures["strength"], subject.params),
        subject.task,
        "train",
        training=Training(method="retrain", finetune=subject.effort.learning.finetune),
        seed=subject.context.seed,
    )
    found = Found(figures["place"], figures["strength"], result.file_bytes, figures["slope"])
    return judged(subject, trial.setting, found, direct.target, result.params, perf_counter() - began)


def _best(setting: Setting, method: Method, prices: Sequence[float], rows: Sequence[Measurement]) -> Measurement:
    """Return of the rows of several prices the one of least validation error, of those that reach the size if any."""
    judgeable = [(row, price) for row, price in zip(rows, prices, strict=True) if "reason" not in row.figures]
    if not judgeable:
        return replace(rows[0], setting=setting)
    best, price = min(judgeable, key=lambda pair: (not pair[0].reached, pair[0].figures["validation"]))
    tried = [[other, row.figures["validation"]] for row, other in judgeable]
    figures = {**best.figures, "price": price, "validation by price": tried}
    return Measurement(setting, best.target, method, figures, best.errors)
