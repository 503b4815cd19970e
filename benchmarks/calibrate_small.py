"""Bits that calibration takes for the same divergence as direct compression: LeNet-5, a character LSTM, a small Llama.

    python benchmarks/calibrate_small.py --data FOLDER [--subjects lenet5 lstm stories260K] [--quality default]
        [--bits BITS ...] [--no-tune] [-o FILE.json]

FOLDER has `models/`, `mnist/` and `lm/`. A row is a file: bits a weight, everything counted; KL(original ‖ compressed)
of the outputs on test samples, in nats an image, character or token; the loss there; R(D) at the error of the file; and
how many bits direct compression takes for that KL, between its own rows. The record has what is above R(D), part by
part, and the KL on held-out samples before and after tuning.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import record
import torch
from record import say
from small_models import SUBJECTS, Subject, bits_at
from torch.nn import functional as F

import laconic
from laconic.training.judges import distance

ASKED = {"lenet5": ((0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0), (0.2, 0.4, 0.6, 0.8, 1.0, 1.5))}
USUAL = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0), (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
"""Bits that are asked for of direct compression, and with calibration: LeNet-5 has weights to spare."""


@torch.no_grad()
def row(subject: Subject, name: str, bits: float, quality: str, *, calibrated: bool, tune: bool) -> dict[str, Any]:
    """Return the figures of one file."""
    start = time.perf_counter()
    how: dict[str, Any] = {"effort": "calibrate", "calibration": subject.batches, "tune": tune} if calibrated else {}
    with torch.enable_grad():
        result = laconic.compress(subject.module, bits=bits, quality=quality, **how)
    seconds = time.perf_counter() - start
    original, targets = subject.outputs(subject.module)
    given, _ = subject.outputs(result.apply_to(deepcopy(subject.module)).eval())
    assert result.fitted is not None, "a budget was named"
    limits = {}
    if (told := result.calibration) is not None and (gap := result.meter()) is not None:
        limits = {
            "held_out": told.distance,
            "tuned": told.tuned,
            "anew": told.anew,
            "limit": gap.limit,
            "above": dict(gap.parts),
        }
    return {
        "subject": name, "effort": "calibrate" if calibrated else "direct", "asked": bits, "bytes": result.file_bytes,
        "bits": 8 * result.file_bytes / result.fitted.weights, "kl": distance(original, given, "classification"),
        "loss": float(F.cross_entropy(given, targets)), "original_loss": float(F.cross_entropy(original, targets)),
        "error": 100 * float((given.argmax(1) != targets).double().mean()), "seconds": seconds, "unit": subject.unit,
        **limits,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subjects", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    parser.add_argument("--quality", choices=["fast", "default", "max"], default="default")
    parser.add_argument("--bits", nargs="+", type=float, help="of the calibrated files alone")
    parser.add_argument("--no-tune", action="store_true", help="leave vectors as the passes leave them")
    parser.add_argument("-o", "--output", type=Path)
    arguments, rows = parser.parse_args(), list[dict[str, Any]]()
    for name in arguments.subjects:
        subject = SUBJECTS[name](arguments.data)
        direct = list[tuple[float, float]]()
        asked_of = ((), arguments.bits) if arguments.bits else ASKED.get(name, USUAL)
        for calibrated, asked in zip((False, True), asked_of, strict=True):
            for bits in asked:
                one = row(subject, name, bits, arguments.quality, calibrated=calibrated, tune=not arguments.no_tune)
                if calibrated:
                    one["direct_bits"] = bits_at(direct, one["kl"]) if direct else None
                else:
                    direct.append((one["bits"], one["kl"]))
                rows.append(one)
                same = one.get("direct_bits")
                beside = f", R(D) {one['limit']:.3f} bits" if "limit" in one else ""
                beside += f", direct takes {same:.2f} ({one['bits'] / same:.2f})" if same else ""
                say("{subject} {effort} {bits:.3f} bits: KL {kl:.5f}, loss {loss:.4f} of {original_loss:.4f}, "
                    "error {error:.2f} %, {seconds:.0f} s".format(**one) + beside)  # fmt: skip
                record.save(arguments.output, {"environment": record.environment(0), "rows": rows})


if __name__ == "__main__":
    main()
