"""A network compressed by what its layers read: folding, statistics, passes within a budget, and what was decided."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, final

import torch

from laconic.calibrate.budgeted import around, expected, fit
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.fidelity import fidelity, token_count
from laconic.calibrate.journal import Journal, remove
from laconic.calibrate.meeting import Survey
from laconic.calibrate.metering import meter_of, recorded, reserved
from laconic.calibrate.network import Network, Tick, by_module, folding_of, silent
from laconic.calibrate.network import network as ready
from laconic.calibrate.outputs import Outputs
from laconic.calibrate.quality import FILES, QUICK, Made, Quality, dropped, smallest, wrongs
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.rounding import rounded_anew
from laconic.calibrate.told import Told
from laconic.calibrate.trial import Files, Trial
from laconic.calibrate.tuning import tuned
from laconic.calibrate.vectors import TRIALS, tolerances, tried
from laconic.errors import DataError, PlanError, listed
from laconic.format.coding import FLOATS
from laconic.models.folding import Folding, folded
from laconic.models.params import decompress, to_numpy
from laconic.models.ties import Untied
from laconic.quantize.budget import NEAR, Budget, Fitted
from laconic.quantize.budget.signal import Signal, signals, total
from laconic.quantize.budget.survey import Role
from laconic.quantize.budget.survey import survey as surveyed
from laconic.training.batches import size_of

_ZERO_FORCING = Recursion(ridge=0.0, price=0.3, window=64, damping=1e-2)
_LONGER = replace(_ZERO_FORCING, states=64, window=128)

TRIES: Mapping[str, tuple[Recursion, ...]] = {
    "fast": (_ZERO_FORCING,),
    "default": (_ZERO_FORCING, _ZERO_FORCING, replace(_ZERO_FORCING, price=0.2)),
    "max": (_ZERO_FORCING, *(replace(_LONGER, price=price) for price in (0.3, 0.2, 0.4, 0.25, 0.35))),
}
"""The passes of each quality: of those within the budget the one is kept whose outputs are nearest."""

ANEW = ("max",)
"""Qualities at which integers are rounded anew after the passes (`laconic.calibrate.rounding`)."""

POSITIONS = 64
"""Of a sample, at most, that statistics are taken of: those of one image tell nearly the same."""

_MOST = 16  # bits a weight: no search for a quality asks for more
_RANDOM = "outputs of the same samples differ from call to call, and so do files: is there dropout that is always on?"
_LOST = "outputs are as far from the original's as constants would be: give more bits"
_FEW = 8  # numbers of a vector
_FLAT = 0.02  # log₂ of the bytes of files whose levels are 4 apart, at least
_KL_OF_A_POINT = 0.04  # nats, about, where the error grows by one point: the search begins there


@final
@dataclass(frozen=True, eq=False)
class Ready:
    """A network of which all is known that no budget changes: any number of files can be made of it.

    Args:
        network: its weights in the order in which they are used.
        survey: which of them are met.
        folding: of batch normalization.
        names: every name of the file, with that of its tensor in the network.
        kept: names of the tensors that stay as they are.
        weights: how many there are, which bits are counted for.
        outputs: what the original says of samples that are not seen, by which files are judged.
        doubts: sentences on what is wrong with them.
    """

    network: Network
    survey: Survey
    folding: Folding
    names: Mapping[str, str]
    kept: tuple[str, ...]
    weights: int
    outputs: Outputs
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, network: Untied, calibration: Calibration, *, lossless: Collection[str] = (),
        buffers: Collection[str] = (), fold: bool = True, spectra: bool = False, rows: bool = True,
        tick: Tick = silent,
    ) -> "Ready":  # fmt: skip
        """Return a network ready to be calibrated.

        Args:
            network: each tensor once.
            calibration: the module and its samples.
            lossless: names of tensors that stay as they are.
            buffers: names that are a module's buffers, which are no weights.
            fold: whether batch normalization may be folded into the layers before it.
            spectra: whether weights have their `spectrum`, which takes time.
            rows: whether those that the outputs feel more have finer steps (`laconic.calibrate.rows`).
            tick: told of the progress.

        Raises:
            DataError: when the samples do not suit the network.
            WeightsError: for weights that cannot be compressed.
        """
        params, names = by_module(calibration, network)
        kept = {first for name, first in names.items() if name in lossless or first in lossless}
        off = {names[name] for name in names if name in buffers}
        roles: dict[str, Role] = {
            name: "buffer" if name in off else "settled" if name in kept else "free" for name in params
        }
        seen = {name: surveyed(name, to_numpy(tensor), roles[name]) for name, tensor in params.items()}
        folding = folding_of(calibration, params, kept) if fold else Folding({}, {})
        if folding.pairs:
            params = folded(calibration.module, params, folding.pairs)
            seen |= {name: surveyed(name, to_numpy(params[name]), roles[name]) for name in seen}
        free = {name for name, one in seen.items() if one.is_quantized}
        survey = calibration.survey(params)
        how, tokens = TRIES["default"][0], token_count(calibration.seen) is not None
        whole = ready(
            calibration, params, survey, folding, free, how, tick,
            positions=None if tokens else POSITIONS, still=kept, spectra=spectra, rows=rows,
        )  # fmt: skip
        every = {name: names[first] for name, first in network.names.items()}
        weights = sum(one.weights for one in seen.values())
        outputs = Outputs.of(calibration, params)
        if not bool(outputs.rows.isfinite().all()):
            raise DataError("the network's outputs on the calibration samples that are held out are NaN or infinite")
        again = calibration.outputs(params, outputs.batches[0])
        doubts = () if torch.allclose(again, outputs.rows[: len(again)], 1e-3, 1e-6) else (_RANDOM,)
        return cls(whole, survey, folding, every, tuple(kept), weights, outputs, doubts)._with_vectors(roles)

    def _with_vectors(self, roles: Mapping[str, Role]) -> "Ready":
        """Return the same with vectors that follow no weight on a grid, as fine as the outputs ask for."""
        network, params = self.network, self.network.params
        taken = {name for one in network.subjects for name in (one.name, one.bias)}
        others = {name: params[name] for name, role in roles.items() if role == "free" and name not in taken}
        loose = {name: tensor.double().cpu().numpy() for name, tensor in others.items() if is_loose(tensor)}
        if not loose:
            return self
        felt = 0.0
        for trial in range(TRIALS):
            there = {name: torch.from_numpy(own).to(params[name]) for name, own in tried(loose, trial).items()}
            felt += self.outputs.distance({**params, **there}) * self.outputs.unit / TRIALS
        return replace(self, network=replace(network, vectors=tolerances(loose, felt)))

    def resuming(self, journal: Journal | None) -> "Ready":
        """Return the same, whose passes keep what they decide in a journal and go on from what it has."""
        return replace(self, network=replace(self.network, journal=journal))

    def files(self, metadata: Mapping[str, str]) -> Files:
        """Return what makes a file with this text of each pass."""
        return Files(self.network, self.names, metadata, self.outputs.distance)

    def within(
        self, size: int, tries: Sequence[Recursion], metadata: Mapping[str, str], tick: Tick = silent,
        *, tune: bool = False, anew: bool = False,
    ) -> tuple[Trial, int]:  # fmt: skip
        """Return the network in ``size`` bytes, and the passes that it took.

        Args:
            size: of the file.
            tries: how each pass quantizes, such as those of `TRIES`.
            metadata: text that the file will have.
            tick: told of the progress.
            tune: whether vectors are tuned at the end.
            anew: whether integers are rounded anew.

        Raises:
            PlanError: for a budget that is not met; it names the smallest file.
        """
        trial, passes = fit(self.files(metadata), size, tries, tick)
        better = self.bettered(trial, size, metadata, tick, tune=tune, anew=anew)
        return (trial if trial.is_near(size, NEAR) and not better.is_near(size, NEAR) else better), passes

    def bettered(
        self, trial: Trial, size: int, metadata: Mapping[str, str], tick: Tick, *, tune: bool, anew: bool
    ) -> Trial:
        """Return a file in no more bytes than ``size``, no farther on samples held out: arguments as of `within`."""
        files = self.files(metadata)
        found = tuned(files, trial, size, tick) if tune else trial
        rounded = rounded_anew(files, found, size, tick) if anew else found
        return tuned(files, rounded, size, tick) if tune and rounded is not found else rounded

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the weights that are calibrated, in the order in which they are used."""
        return tuple(one.name for one in self.network.subjects if one.met)

    @property
    def alone(self) -> dict[str, str]:
        """Name of each weight that is rounded by what it is itself → why."""
        never = "its layer has never been called"
        diagonal = {place.name: "an embedding is read row by row" for place in self.survey.places if place.diagonal}
        why = {**diagonal, **self.survey.alone, **dict.fromkeys(self.survey.unreached, never)}
        return {one.name: why.get(one.name, never) for one in self.network.subjects if not one.met}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was decided."""
        guessed = self.network.guessed
        lost = [f"no gradient reaches {listed(guessed)}: they count as others do in the mean"] if guessed else []
        return (*self.network.calibration.notes, *self.survey.notes, *lost, *self.doubts)

    @property
    def samples(self) -> tuple[int, int]:
        """How many samples are seen, and how many are not."""
        calibration = self.network.calibration
        seen, unseen = (sum(map(size_of, batches)) for batches in (calibration.seen, calibration.unseen))
        return seen, unseen

    def told(self, trial: Trial, passes: int) -> Told:
        """Return what there is to say of a file."""
        kind = self.outputs.kind
        after = decompress({self.names[name]: code for name, code in trial.codes.items()})
        lost = [_LOST] if kind != "classification" and trial.distance >= 1 else []
        zeros = [name for name, one in trial.calibrated.rounded.items() if not one.levels.any()]
        if wiped := [name for name in zeros if bool(self.network.params[name].any())]:
            lost.append(f"all of {listed(wiped)} is 0 now: what it reads does not vary, or matters next to nothing")
        return Told(
            *self.samples, self.layers, self.alone, self.folding.pairs, self.folding.left,
            trial.distance, kind, passes, (*self.notes, *lost),
            tuned=None if trial.untuned is None else (trial.untuned, trial.anew[1] if trial.anew else trial.distance),
            anew=None if trial.anew is None else (*trial.anew, trial.distance),
            tokens=token_count(self.network.calibration.seen),
            fidelity=fidelity(self.network.calibration, self.network.params, after),
        )  # fmt: skip

    def signals(self, trial: Trial) -> dict[str, Signal]:
        """Return what is left of each weight, beside the network in which normalization is folded."""
        codes = {self.names[name]: code for name, code in trial.codes.items()}
        own = {name: to_numpy(self.network.params[name]) for name in self.network.coded}
        return signals(own, {name: codes[name] for name in own})

    def fitted(
        self, budget: Budget, quality: str, metadata: Mapping[str, str],
        *, reference_bytes: int | None = None, meter: bool = False, tune: bool = True, tick: Tick = silent,
    ) -> tuple[Fitted, Told]:  # fmt: skip
        """Return the network within its budget, its weights chosen by what its layers read.

        Args:
            budget: what is asked of the whole file, or of what it says: not an SNR.
            quality: of `TRIES`.
            metadata: text that the file will have, beside the `Told.record`.
            reference_bytes: of the uncompressed file, for a ratio.
            meter: whether it is measured how far it is from R(D); not with quality "fast", nor beside given codes.
            tune: whether vectors are tuned at the end; not with quality "fast".
            tick: told of the progress.

        Raises:
            PlanError: for a budget that is not met.
        """
        size, met, anew = budget.bytes(self.weights, reference_bytes), None, quality in ANEW
        meter, tune = meter and quality != "fast" and not self.network.given, tune and quality != "fast"
        whole = {**metadata, **(reserved(self.network, size, metadata) if meter else {})}
        if size is None:
            trial, met, passes = self.meeting(budget, quality, whole, tick, tune=tune)
        elif size < 1:
            raise PlanError(f"{budget} comes to no byte: the network has {self.weights} weights to count; give a size")
        else:
            trial, passes = self.within(size, TRIES[quality], whole, tick, tune=tune, anew=anew)
        told, file_bytes = replace(self.told(trial, passes), quality=met), trial.file_bytes
        if meter:
            found = meter_of(self.network, trial, self.names, self.weights, TRIES[quality][0].damping, tick)
            record, file_bytes = recorded(found, trial, metadata, size, room=len(whole) > len(metadata))
            told = replace(told, meter=found, record=record)
        of = self.signals(trial)
        fitted = Fitted(trial.codes, budget, file_bytes, total(of.values()), 0.0, passes, self.kept, self.weights, of)
        return fitted, replace(told, notes=tuple(filter(None, (*told.notes, fitted.short(reference_bytes)))))

    def meeting(
        self, budget: Budget, quality: str, metadata: Mapping[str, str], tick: Tick = silent, *, tune: bool = False
    ) -> tuple[Trial, Quality, int]:
        """Return the smallest file that was found to meet a KL or a drop, what it reaches, and the passes it took.

        Args:
            budget: a KL or a drop.
            quality: of `TRIES`.
            metadata: text that the file will have.
            tick: told of the progress.
            tune: whether the vectors of the file are tuned at the end.

        Raises:
            PlanError: when none is met, which names the best figure, and for a KL of outputs that are no logits.
            DataError: for a drop, when the task has no validation split, or no error.
        """
        task, judging = self.network.calibration.task, self.outputs.samples
        if budget.kl is not None and self.outputs.kind != "classification":
            raise PlanError(
                "a KL is one of logits, and outputs are taken for values. That they are logits is told by a Task of "
                "classification, by integer targets beside the inputs, as (inputs, targets), or by their name, logits; "
                "or ask for bits, a size or a ratio"
            )
        before = wrongs(task, self.network.params) if budget.drop is not None else None

        def judged(trial: Trial) -> Quality:
            if budget.drop is not None and before is not None:
                return dropped(before, wrongs(task, decompress(trial.codes)), budget.drop)
            return Quality("kl", budget.kl or 0.0, trial.distance, 0.0, judging, "held-out calibration")

        def make(size: int, quick: bool) -> list[Made]:
            how = TRIES["fast" if quick else quality]
            trials = around(self.files(metadata), size, how, tick)
            return [Made(trial, judged(trial)) for trial in islice(trials, len(how))]

        guess = budget.kl if budget.kl is not None else (budget.drop or 0.0) * _KL_OF_A_POINT
        numbers = sum(self.network.params[one.name].numel() for one in self.network.subjects)
        level = guess * self.outputs.unit / max(1, numbers)  # each weight adds it to what a sample loses
        first, finer, least = (expected(self.files(metadata), at) for at in (level, level / 4, math.inf))
        slope = -2.0 / max(math.log2(finer / first), _FLAT)
        most = least + _MOST * self.weights // 8
        found, met, passes = smallest(make, first, slope, most, refined=TRIES[quality] != TRIES["fast"])
        better = self.bettered(found, found.file_bytes, metadata, tick, tune=tune, anew=quality in ANEW)
        if better is not found:
            figure = replace(judged(better), files=met.files)
            found, met = (better, figure) if figure.is_met else (found, met)
        return found, met, passes


def passes_of(quality: str) -> int:
    """Return the passes that it takes at most to meet a KL or a drop."""
    return QUICK + (FILES - QUICK) * len(TRIES[quality])


def calibrated(
    network: Untied, calibration: Calibration, budget: Budget, quality: str, metadata: Mapping[str, str],
    *, lossless: Collection[str] = (), buffers: Collection[str] = (), fold: bool = True,
    reference_bytes: int | None = None, meter: bool = False, tune: bool = True, resume: Path | None = None,
    tick: Tick = silent,
) -> tuple[Fitted, Told]:  # fmt: skip
    """Return a network within its budget, its weights chosen by what its layers read.

    Args:
        network: each tensor once.
        calibration: the module and its samples.
        budget: what is asked of the whole file: not an SNR.
        quality: of `TRIES`.
        metadata: text that the file will have.
        lossless: names of tensors that stay as they are.
        buffers: names that are a module's buffers, which are no weights.
        fold: whether batch normalization may be folded into the layers before it.
        reference_bytes: of the uncompressed file, for a ratio.
        meter: as for `Ready.fitted`.
        tune: likewise.
        resume: a folder for what has been decided, which is removed at the end.
        tick: told of the progress.

    Raises:
        PlanError: for an SNR, a KL of outputs that are no logits, and a budget that is not met.
        DataError, WeightsError: as `Ready.of` and `Journal.of`.
    """
    if budget.snr is not None:
        raise PlanError(
            "calibration does not look at the SNR of weights: give a budget of bits, a size, a ratio, a KL or a drop"
        )
    journal = None
    if resume is not None:
        job = {"budget": budget, "quality": quality, "lossless": sorted(lossless), "fold": fold,
               "metadata": sorted(metadata.items()), "threads of torch": torch.get_num_threads()}  # fmt: skip
        texts = {key: str(value) for key, value in job.items()}
        journal = Journal.of(resume, texts, network.params, calibration.batches)
    whole = Ready.of(network, calibration, lossless=lossless, buffers=buffers, fold=fold, tick=tick).resuming(journal)
    how: dict[str, Any] = {"reference_bytes": reference_bytes, "meter": meter, "tune": tune}
    found = whole.fitted(budget, quality, metadata, **how, tick=tick)
    if resume is not None:
        remove(resume)
    return found


def is_loose(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a vector of numbers that can be on a grid, and of so many that this is shorter."""
    grids = tensor.ndim == 1 and len(tensor) >= _FEW and to_numpy(tensor).dtype.name in FLOATS
    return grids and bool(tensor.isfinite().all()) and bool((tensor != tensor[0]).any())
