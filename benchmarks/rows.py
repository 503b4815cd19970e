"""How far what gradients say of rows is to be believed: `laconic.calibrate.rows.TRUST`, `ALIKE` and `LEAST`.

    python benchmarks/rows.py --data FOLDER [--subjects lstm stories260K] [--bits 2] [--trust 0 0.35 0.5 0.7 1]
        [--alike 0 0.5 0.8 0.95] [--least 0.1] [--quality fast] [-o FILE.json]

FOLDER is that of `calibrate_small.py`. Each row is a file: TRUST 0 is one step for all rows, 1 takes gradients at their
word; ALIKE 0 is rows that do not make good each other's errors. KL(original ‖ compressed) on the calibration samples
that are held out, by which the choice is made, and on test samples, beside; the gain is ½ log₂ of the arithmetic over
the geometric mean of what the steps of rows say that these are worth, in bits a weight.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from record import say
from small_models import SUBJECTS, Subject

import laconic
from laconic.calibrate import rows as trusted
from laconic.format.codes import GridCode
from laconic.training.judges import distance


def gain(codes: dict[str, Any]) -> float:
    """Return ½ log₂ of the arithmetic over the geometric mean of rows' worths, in the mean over weights on grids."""
    grids = [code for code in codes.values() if isinstance(code, GridCode) and len(code.shape) > 1]
    own = [np.square(1 / code.fineness.ravel()) for code in grids]
    each = [0.5 * (np.log2(worth.mean()) - np.log2(worth).mean()) for worth in own]
    return float(np.average(each, weights=[code.size for code in grids]))


@torch.no_grad()
def row(subject: Subject, bits: float, quality: str) -> dict[str, float]:
    """Return the figures of one file."""
    with torch.enable_grad():
        result = laconic.compress(
            subject.module, bits=bits, effort="calibrate", calibration=subject.batches, quality=quality
        )
    original, given = (subject.outputs(net)[0] for net in (subject.module, result.apply_to(deepcopy(subject.module))))
    assert result.calibration is not None, "it was calibrated"
    held, test = result.calibration.distance, distance(original, given, "classification")
    return {"bytes": result.file_bytes, "held_out": held, "test": test, "gain": gain(dict(result.codes))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subjects", nargs="+", choices=list(SUBJECTS), default=["lstm", "stories260K"])
    parser.add_argument("--bits", type=float, default=2.0)
    parser.add_argument("--trust", nargs="+", type=float, default=[0.0, 0.35, 0.5, 0.7, 1.0])
    parser.add_argument("--alike", nargs="+", type=float, default=[trusted.ALIKE])
    parser.add_argument("--least", nargs="+", type=float, default=[trusted.LEAST])
    parser.add_argument("--quality", choices=["fast", "default", "max"], default="fast")
    parser.add_argument("-o", "--output", type=Path)
    arguments, found = parser.parse_args(), list[dict[str, Any]]()
    for name in arguments.subjects:
        subject = SUBJECTS[name](arguments.data)
        for trust, alike, least in product(arguments.trust, arguments.alike, arguments.least):
            trusted.TRUST, trusted.ALIKE, trusted.LEAST = trust, alike, least
            how = {"subject": name, "bits": arguments.bits, "trust": trust, "alike": alike, "least": least}
            found.append({**how, **row(subject, arguments.bits, arguments.quality)})
            say("{subject} trust {trust:g}, alike {alike:g}, least {least:g}: held out {held_out:.4f}, "
                "test {test:.4f}, gain {gain:.3f} bits".format(**found[-1]))  # fmt: skip
            record.save(arguments.output, {"environment": record.environment(0), "rows": found})


if __name__ == "__main__":
    main()
