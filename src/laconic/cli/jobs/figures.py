"""What is said of a compressed network once its file is written: a few lines, and on request every tensor."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from laconic.calibrate.quality import Quality
from laconic.calibrate.told import Told
from laconic.choose.chosen import sentences
from laconic.cli.console import Output, in_bytes, table
from laconic.cli.jobs.choosing import chosen_table
from laconic.cli.jobs.folders import Written
from laconic.cli.jobs.inspect import above
from laconic.cli.jobs.tasks import evaluations
from laconic.format.codes import Code
from laconic.format.codes.grid import GridCode
from laconic.insight.ledger import REFERENCE_BYTES, Entry, Ledger
from laconic.quantize.budget.signal import told, total
from laconic.result import Result
from laconic.training.task import Task


def report(
    say: Output, result: Result, file: Written, task: Task | None, *, table: bool, seconds: Mapping[str, float] = {},
    account: Ledger | None = None,
) -> None:  # fmt: skip
    """Write, evaluate and print.

    Args:
        say: how this process talks.
        result: of compression.
        file: where it goes.
        task: to evaluate it on, if there is one.
        table: whether every tensor is shown.
        seconds: of the stages of calibration.
        account: of the file, where it is written and open already; nothing calibrated it then.
    """
    if account is None:
        file.write(result, worth(result))  # before anything else can fail
    measured = evaluations(task, result.params, say) if task else {}
    account, measure = (result.ledger(), result.meter()) if account is None else (account, None)
    steps = result.history[-1].step if result.history else 0
    tensors = _tensors(result, account) if table or say.json else []
    record: dict[str, Any] = {
        "output": str(file.path), "bytes": account.file_bytes + file.around, "reference_bytes": account.reference_bytes,
        "ratio": account.ratio, "published_ratio": account.published_ratio, "steps": steps,
        "history": [progress.__dict__ for progress in result.history],
        "compressed_once": list(result.fixed), "snr": total(result.signals.values()),
        "least_snr": min((signal.snr for signal in result.signals.values()), default=math.inf),
        "weak": [{"name": name, "snr": snr} for name, snr in result.weak], "tensors": tensors, **measured,
        "calibration": result.calibration and {
            **{key: value for key, value in vars(result.calibration).items() if key != "record"},
            "seconds": dict(seconds), "quality": result.calibration.quality and vars(result.calibration.quality),
            "meter": measure and measure.record(), **_of_text(result.calibration),
        },
        "recalibration": result.recalibration and vars(result.recalibration),
        "choice": result.choice and result.choice.record(),
        "asked": result.asked and str(result.asked), "quality": result.quality and vars(result.quality),
        "norms": result.norms and {"constant": list(result.norms.norms), "left": dict(result.norms.left)},
    }  # fmt: skip
    fitted = result.fitted
    if fitted:
        record |= {"asked": str(fitted.budget), "bits_per_weight": fitted.bits_per_weight, "snr": fitted.snr,
                   "step": fitted.step or None, "passes": fitted.passes,
                   "kept_lossless": list(fitted.lossless)}  # fmt: skip
    lines = _lines(result, account, file, measured, seconds) + ([above(measure)] if measure else [])
    shown = [_table(tensors, trained=bool(result.history))] if table else []
    say.report(record, *shown, *([chosen_table(result.choice.record())] if result.choice else []), *lines)


def _lines(
    result: Result, account: Ledger, file: Written, measured: Mapping[str, Mapping[str, float]],
    seconds: Mapping[str, float],
) -> list[str]:  # fmt: skip
    """Return what there is to say, the file first."""
    first = f"wrote {file.path}: {in_bytes(account.file_bytes + file.around)}, "
    first += f"{account.ratio:.2f}× smaller" if account.ratio else ""
    fitted = result.fitted
    if result.asked:
        first += f"; asked {result.asked}"
    if fitted:
        first += f"; asked {fitted.budget}, {fitted.bits_per_weight or 0:.3f} bits per weight"
        first += "" if result.calibration else f" at {fitted.snr:.2f} dB"  # it is not what calibration looks at
        if not fitted.budget.asked and (fitted.bits_per_weight or 0) > 1.05 * (fitted.budget.bits or 0):
            first += "; nobody asked: these bits are beside what stays as it is"
        short = fitted.short(int(result.metadata[REFERENCE_BYTES])) if REFERENCE_BYTES in result.metadata else ""
        first += f"; {short}" if short else ""
    figures = [
        f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in measures.items()) for split, measures in measured.items()
    ]
    signals = () if result.calibration else told(result.signals)  # calibration does not look at the SNR of weights
    chosen = sentences(result.choice.record()) if result.choice else []
    return [
        first,
        *chosen,
        *_asked(result.quality),
        *_calibration(result, seconds),
        *signals,
        *_recalibration(result),
        *figures,
    ]


def worth(result: Result) -> list[str]:
    """Return what is known of the quality without data, for the page on a model."""
    of, fitted = result.calibration, result.fitted
    if of is not None:
        return [_held_out(of), *map(str, _asked(of.quality))]
    return [f"signal over error of the weights: {fitted.snr:.2f} dB"] if fitted else []


def _held_out(of: Told) -> str:
    """Return how far the outputs are from the original's."""
    unit = "nats, KL(original ‖ compressed)" if of.kind == "classification" else "squared distance over the variance"
    return f"outputs {of.distance:.4g} ({unit}) from the original's on {of.unseen:,} samples held out"


def _calibration(result: Result, seconds: Mapping[str, float]) -> list[str]:
    """Return what calibration has come to, if there was one."""
    of = result.calibration
    if of is None:
        return []
    times = ", ".join(f"{stage} {time:.1f} s" for stage, time in seconds.items())
    on = f"{of.samples:,} samples" + (f", {of.tokens:,} tokens," if of.tokens else "")
    first = f"calibrated {len(of.layers)} layers on {on} in {of.passes} passes: {times}"
    return [
        first,
        *_asked(of.quality),
        *_tuning(of, seconds),
        *_rounding(of, seconds),
        _held_out(of),
        *(str(one) for one in (of.fidelity, of.stability) if one),
    ]


def _of_text(of: Told) -> dict[str, Any]:
    """Return what is known of tokens and of chance, as JSON has it."""
    stable = of.stability and {**vars(of.stability), "enough": of.stability.enough}
    return {"fidelity": of.fidelity and vars(of.fidelity), "stability": stable}


def _asked(of: Quality | None) -> list[str]:
    """Return what was reached of a drop or a KL, if one was asked."""
    return [f"asked {of.bound:g}: {of}; the smallest of {of.files} files"] if of else []


def _tuning(of: Told, seconds: Mapping[str, float]) -> list[str]:
    """Return what tuning has come to, if there was any."""
    if of.tuned is None:
        return ["tuning did not help on held-out samples: left out"] if "tuning" in seconds else []
    return [f"tuning: {_nearer(of, *of.tuned)}"]


def _rounding(of: Told, seconds: Mapping[str, float]) -> list[str]:
    """Return what rounding anew has come to, if there was any."""
    if of.anew is None:
        return ["rounding integers anew did not help on held-out samples: left out"] if "rounding" in seconds else []
    many, *distances = of.anew
    return [f"integers of {many} of {len(of.layers)} layers rounded anew: {_nearer(of, *distances)}"]


def _nearer(of: Told, before: float, after: float) -> str:
    """Return how much nearer outputs have come."""
    what = "KL" if of.kind == "classification" else "squared distance"
    return f"{what} {before:.4g} -> {after:.4g} on {of.unseen:,} held-out samples"


def _recalibration(result: Result) -> list[str]:
    """Return what recalibration has come to, if it was asked for."""
    of = result.recalibration
    if of is None:
        return []
    moved = f"outputs {of.before:.4g} from the original's before, {of.after:.4g} after"
    if of.kept:
        return [f"recalibrated {of.layers} layers: {moved}"]
    why = "it brings nothing" if of.room else "the file would leave its budget"
    return [f"recalibration left off, for {why}: {moved}"]


def _tensors(result: Result, account: Ledger) -> list[dict[str, Any]]:
    """Return what became of each tensor, the worst first; of those that lost nothing the largest first.

    The header of the file comes last, so that the bytes add up to the file.
    """
    zeros = dict[int, float | None]()

    def record(entry: Entry) -> dict[str, Any]:
        code, elements = result.codes[entry.name], math.prod(entry.shape)
        if id(code) not in zeros:  # names of one tensor have one code
            zeros[id(code)] = _zeros(code)
        signal = result.signals.get(entry.name)  # of what is kept as it is there is none
        moved = result.calibration is not None and isinstance(code, GridCode)  # a bias that makes up for errors
        return {
            "name": entry.name, "code": entry.code,
            "snr": signal.snr if signal else None if moved else math.inf, "zeros": zeros[id(code)],
            "bits_per_weight": 8 * entry.bytes / elements if elements else None, "bytes": entry.bytes,
        }  # fmt: skip

    *tensors, header = account.entries
    nothing = {"code": header.code, "snr": None, "zeros": None, "bits_per_weight": None}
    records = map(record, tensors)
    worst_first = sorted(records, key=lambda one: (math.inf if one["snr"] is None else one["snr"], -one["bytes"]))
    return [*worst_first, {"name": header.name, **nothing, "bytes": header.bytes}]


def _zeros(code: Code) -> float | None:
    """Return the share of elements that are 0."""
    array = code.decompress()
    return 1 - np.count_nonzero(array) / array.size if array.size else None


def _table(tensors: list[dict[str, Any]], *, trained: bool) -> Table:
    """Return the tensors as a table; of trained ones it is known only whether nothing is left."""
    columns = {"tensor": "left", "code": "left", "error, dB": "right", "zeros": "right", "bits per weight": "right",
               "bytes": "right"}  # fmt: skip
    rows = []
    for each in tensors:
        snr, zeros, bits = each["snr"], each["zeros"], each["bits_per_weight"]
        exact = "trained" if trained else "exact"
        rows.append((
            each["name"], each["code"], "-" if snr is None else exact if snr == math.inf else f"{snr:.2f}",
            "-" if zeros is None else f"{zeros:.1%}", "-" if bits is None else f"{bits:.3f}", f"{each['bytes']:,}",
        ))  # fmt: skip
    return table("tensors, the worst first", columns, rows)
