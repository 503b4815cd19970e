"""A file beside its checkpoint, with a network and data where they are named: what `laconic report` says of it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from laconic.calibrate.blame import Blame
from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.cli import options
from laconic.cli.console import Output
from laconic.cli.jobs.cost import Weights, by_first_names, once_run
from laconic.cli.jobs.folds import folded_alike, folded_norms
from laconic.cli.jobs.frontier import UNITS
from laconic.cli.jobs.rules import require_same_names
from laconic.cli.jobs.tasks import fitting, opened, task_for
from laconic.deploy.calls import Inputs
from laconic.deploy.costing import cost_of
from laconic.deploy.lean import lean, raced
from laconic.deploy.timing import ROWS
from laconic.errors import NETWORK_ERRORS, LaconicError, WeightsError, listed
from laconic.format import container
from laconic.format.codes import Code, DenseCode, GridCode
from laconic.insight import bound
from laconic.insight.comparison import compared, filters, signal
from laconic.insight.grids import yardsticks
from laconic.insight.report import Cost, Damage, Dot, Harm, Mend, Plane, Report, grouped
from laconic.insight.stages import stages
from laconic.models.counting import counted
from laconic.models.directories import bytes_of
from laconic.models.params import Arrays, Params, all_of, to_torch
from laconic.models.ties import untied
from laconic.plans.mending import Mended, mended, plan_of, size_with
from laconic.training.task import Task

WORST, TRIED = 5, 8
"""Weights that have a row, and that are looked at for it, at most."""

_CURVE = 40  # places of a curve
_FOLDED = (
    "In the file batch normalization is folded into layers, whose weights have other scales for it: `--net NAME --data "
    "NAME`, or `--task module:factory`, folds the checkpoint alike."
)
_TIMES = "How long a call takes is not measured; `--time` does."
_CALLS = " or ".join(map(str, ROWS))


@final
@dataclass(frozen=True)
class Beside:
    """What files are looked at beside: options of `laconic report` and `laconic compare`."""

    against: Path
    subject: options.Subject
    run: options.Run
    samples: int | None
    limit: int | None
    key: str | None
    time: bool = False
    plan: Path | None = None

    def opened(self, say: Output) -> "Reference":
        """Return the checkpoint, with network and data where they are named."""
        torch.set_num_threads(self.run.threads or torch.get_num_threads())
        checkpoint = opened(say, self.against, self.key)
        task = None
        if self.subject.named:
            floats = [(name, tensor) for name, tensor in checkpoint.params.items() if tensor.is_floating_point()]
            strange = [name for name, tensor in floats if bool(tensor.float().isnan().any())]
            if strange:
                raise WeightsError(f"{self.against}: NaN in {listed(strange)}, so that outputs say nothing")
            task = task_for(say, self.subject, checkpoint.metadata, seed=self.run.seed, augmented=False)
        return Reference(self, dict(checkpoint.params), task)


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """A checkpoint, with a network and data perhaps.

    Args:
        beside: the options.
        params: its tensors.
        task: the network.
    """

    beside: Beside
    params: Params
    task: Task | None

    def told(self, say: Output, report: Report, source: Path, *, mend: bool = True) -> tuple[Report, str]:
        """Return the report with what the checkpoint and the data say, and a plan that mends the file, "" for none.

        Args:
            say: where progress goes.
            report: of the file by itself.
            source: the file.
            mend: whether rows that would mend it are looked for.

        Raises:
            DataError: when the file is of another checkpoint, or this of another network.
        """
        limit = self.beside.limit
        with container.open(source, limit) as file:
            file.require_room("tensors")
            after, codes, firsts = all_of(file), file.codes(), {name: file.ties.get(name, name) for name in file}
        require_same_names(self.params, after, source, self.beside.against)
        missing = {part: how for part, how in report.missing.items() if part not in ("error", "weights", "stages")}
        if not report.stages:
            size = bytes_of(self.beside.against)
            report = replace(report, stages=stages(report.pieces, report.account, size))
        norms = folded_norms(self.params, after)
        if self.task is None:
            if norms:
                return replace(report, missing={**missing, "error": _FOLDED, "weights": _FOLDED}), ""
            once = [name for name in after if firsts[name] == name]
            before, after = ({name: own[name] for name in once} for own in (self.params, after))
            return _compared(say, replace(report, missing=missing), before, after, source, limit), ""
        files = {id(tensor): name for name, tensor in after.items()}
        before, fitted = dict(fitting(self.params, self.task)), dict(fitting(after, self.task))
        whole = untied(dict(folded_alike(self.task, before, norms)), self.task.module)
        first = {name: firsts[files[id(fitted[name])]] for name in whole.params}  # by the module's → by the file's
        mine = {first[name]: tensor for name, tensor in reversed(list(whole.params.items()))}
        theirs = {first[name]: fitted[name] for name in reversed(list(first))}
        order = [piece.entry.name for piece in report.pieces]
        before, after = ({name: own[name] for name in order if name in own} for own in (mine, theirs))
        report = _compared(say, replace(report, missing=missing), before, after, source, limit)
        network = _Network(self.task, dict(whole.params), {name: fitted[name] for name in first}, first, codes)
        return network.told(say, report, self.beside, mends=mend and not norms)


def _compared(say: Output, report: Report, before: Params, after: Params, source: Path, limit: int | None) -> Report:
    """Return the report with errors, histograms, filters and the plane of the bound."""
    old, new = Arrays(before), Arrays(after)
    whole = replace(report, changes=compared(old, new), snr=signal(old, new), filters=filters(old, new))
    try:
        with say.progress("scales of weights", 1.0) as tick:
            curves = bound.of_weights(dict(old), lambda done, total: tick(done / total))
    except WeightsError as error:
        say.note(f"no bound: {error}")
        return whole
    with container.open(source, limit) as file:
        point = curves.point(file, report.file)
    top = point.snr if point.snr < float("inf") else 48.0
    decibels = [1.25 * max(top, 12.0) * number / _CURVE for number in range(1, _CURVE + 1)]
    rates = [curves.rates(curves.energy / 10 ** (snr / 10)) for snr in decibels]
    drawn = {
        f"R(D), {name}": tuple((at[name], snr) for at, snr in zip(rates, decibels, strict=True))
        for name in curves.curves
    }
    widest = 1.5 * max([point.bits, *(at for places in drawn.values() for at, _ in places)])
    beside = yardsticks(curves.tensors, curves.elements, point.others)
    dots = [Dot(report.file, point.bits, point.snr, "file")]
    dots += [Dot(f"{one.name}, {one.width} bits", one.bits, one.snr, one.name) for one in beside
             if one.bits <= widest and one.snr <= 1.5 * decibels[-1]]  # fmt: skip
    one = Plane(
        "Error of the weights beside the bound", "bits a weight, of the whole file", "SNR, dB", drawn, tuple(dots)
    )
    return replace(whole, planes=(one,))


@final
@dataclass(frozen=True, eq=False)
class _Network:
    """A network with data, by the names of its module, each tensor once.

    Args:
        task: it.
        before: its tensors.
        after: likewise, of the file.
        files: by these names, those of the file.
        codes: of the file, by its names.
    """

    task: Task
    before: Params
    after: Params
    files: Mapping[str, str]
    codes: Mapping[str, Code]

    def told(self, say: Output, report: Report, beside: Beside, *, mends: bool) -> tuple[Report, str]:
        """Return the report with damage and costs, and a plan that mends the file, "" for none."""
        calibration = Calibration.of(self.task, samples=beside.samples or SAMPLES, seed=beside.run.seed)
        blame, layers = Blame.of(calibration, self.before, self.after), grouped(list(self.before))
        with say.progress("layers by themselves", len(layers)) as tick:
            alone = blame.alone(layers, lambda _, done, total: tick(done))
        distance, total = blame.outputs.distance(self.after), sum(alone.values())
        changed = {layer: tuple(self.files[name] for name in blame.changed(layers[layer])) for layer in alone}
        harms = tuple(
            Harm(layer, changed[layer], far, far / total if total > 0 else 0.0) for layer, far in alone.items()
        )
        grids, calibrated = _on_grids(self.codes), _is_calibrated(self.codes)
        ranked = [name for layer in alone for name in layers[layer]]
        found = self._mends(say, blame, ranked, distance) if mends and grids and not calibrated else []
        text = plan_of([one for one, _ in found]) if found else ""
        together, command = None, ""
        if grids:  # a tenth more, where no row mends anything
            larger = "--size", str(round(1.1 * report.account.file_bytes))
            command = _command(beside, "larger.lac", *larger, calibrated=calibrated)
        if found:
            ones = [one for one, _ in found]
            size = size_with(self.codes, report.metadata, ones)
            together = (
                size,
                blame.outputs.distance({**self.after, **{n: w for one in ones for n, w in self._instead(one).items()}}),
            )
            command = _command(beside, "mended.lac", "--plan", str(beside.plan or "mend.toml"), "--size", str(size))
        rows = tuple(Mend(one.name, one.row, size_with(self.codes, report.metadata, [one]), far) for one, far in found)
        told = Damage(UNITS[blame.outputs.kind], blame.outputs.samples, distance, harms, rows, together, command, text)
        missing = {part: how for part, how in report.missing.items() if part not in ("damage", "costs")}
        missing |= {} if beside.time else {"times": _TIMES}
        whole = report.account.reference_bytes or bytes_of(beside.against)
        costs: tuple[Cost, ...] = (Cost("bytes", whole, report.account.file_bytes, "of the files"),)
        try:
            costs += self._costs(say)
            costs += self._times(say, beside.run.seed) if beside.time else ()
        except (LaconicError, *NETWORK_ERRORS) as error:
            missing["times"] = f"Not found out, for the network does not run on {_CALLS} inputs: {error}."
        return replace(report, damage=told, costs=costs, missing=missing), text

    def _mends(self, say: Output, blame: Blame, ranked: list[str], distance: float) -> list[tuple[Mended, float]]:
        """Return what mends the worst weights, of what lowers the distance, with the distance that it comes to."""
        original = {self.files[name]: tensor for name, tensor in self.before.items()}
        weights = [name for name in ranked if self.before[name].ndim > 1 and blame.changed([name])][:TRIED]
        found = list[tuple[Mended, float]]()
        with say.progress("what would mend them", max(1, len(weights))) as tick:
            for done, name in enumerate(weights):
                tick(done)
                one = mended(self.files[name], self.codes[self.files[name]], original)
                far = blame.outputs.distance({**self.after, **self._instead(one)})
                found += [(one, far)] if far < distance else []
                if len(found) == WORST:
                    break
        return found

    def _instead(self, one: Mended) -> dict[str, Tensor]:
        """Return the mended weight by the name of the module."""
        (name,) = (mine for mine, theirs in self.files.items() if theirs == one.name)
        return {name: to_torch(one.code.decompress()).to(self.before[name])}

    def _costs(self, say: Output) -> tuple[Cost, ...]:
        """Return what one input takes, before and after."""
        network = once_run(self.task)
        count = counted(network.module, network.run, 1)
        coded = {name: self.codes[self.files[name]] for name in self.after}
        dense, now = (
            cost_of(count, by_first_names(network, one, count), None, 1) for one in (None, Weights(self.after, coded))
        )
        say.note(*(f"not counted: {what} in {', '.join(where)}" for what, where in now.unknown.items()))
        how = "counted, one run"
        return (
            Cost("multiply-adds, one input", dense.total("coded"), now.total("coded"), how),
            Cost("energy at 45 nm, one input, µJ", dense.total("picojoules") / 1e6, now.total("picojoules") / 1e6, how),
        )

    def _times(self, say: Output, seed: int) -> tuple[Cost, ...]:
        """Return how long calls take, before and with what the file leaves to run."""
        network, rows = self.task.module, max(ROWS)
        call = Inputs.of(self.task, network, samples=rows, seed=seed).judged[0]
        with say.progress("timing", None):
            left = lean(network, {name: self.codes[self.files[name]] for name in self.after}, call)
            races = raced(network, self.before, left.module, call)
        threads = torch.get_num_threads()
        how = f"median of calls by turns in torch, {threads} thread{'s' * (threads > 1)}; {left.said}"
        adds = tuple(Cost("multiply-adds of what is timed, one input", *pair, left.said) for pair in left.multiply_adds)
        return adds + tuple(
            Cost(f"milliseconds, a call of {one.rows}", one.before.milliseconds, one.after.milliseconds, how)
            for one in races
        )


def _on_grids(codes: Mapping[str, Code]) -> bool:
    """Say whether all that is compressed lies on grids, so that a plan of rows and a size make such a file."""
    return all(isinstance(code, GridCode | DenseCode) for code in codes.values() if len(code.shape) > 1)


def _is_calibrated(codes: Mapping[str, Code]) -> bool:
    """Say whether integers were chosen by what layers read: calibration alone makes grids that are coded by columns."""
    return any(isinstance(code, GridCode) and code.transform == "turned" for code in codes.values())


def _command(beside: Beside, output: str, *asked: str, calibrated: bool = False) -> str:
    """Return a command that compresses the checkpoint again."""
    subject, how = beside.subject, list(asked)
    if calibrated:
        named = {"--task": subject.task, "--net": subject.net, "--data": subject.data, "--data-dir": subject.data_dir}
        how += ["--effort", "calibrate"]
        how += [word for name, value in named.items() if value for word in (name, str(value))]
    how += ["--key", beside.key] if beside.key else []
    return shlex.join(["laconic", "compress", str(beside.against), "-o", output, *how])
