"""The meter of a calibrated network: once more along the original, every weight under the Σ that it meets there.

The record goes into the file, which keeps its budget: room is left for it before the passes, and what it takes more
than that, if anything, it pays with its digits.
"""

import math
from collections.abc import Mapping

from laconic import interrupts
from laconic.calibrate.forms import matrix
from laconic.calibrate.layer import Order
from laconic.calibrate.meter import DIGITS, METER, Measured, Meter, blank, metered
from laconic.calibrate.network import Network, Tick, alone
from laconic.calibrate.rates import damped
from laconic.calibrate.trial import Trial
from laconic.format import container

SHARE = 0.01
"""Of a file, the most that the record may take; of smaller files only the result has it."""


def meter_of(
    network: Network, trial: Trial, names: Mapping[str, str], weights: int, damping: float, tick: Tick
) -> Meter:
    """Return the meter of a file.

    Args:
        network: ready.
        trial: the file.
        names: every name of the file, with that of its tensor in the network.
        weights: of the network, which bits are counted for.
        damping: of the passes.
        tick: told of the progress, in stage "meter".
    """
    found = dict[str, Measured]()
    with network.following(drift=False) as follower:
        for done, subject in enumerate(network.subjects):
            interrupts.check()
            tick("meter", done, len(network.subjects))
            original, rounded = network.params[subject.name], trial.calibrated.rounded[subject.name]
            if subject.met:
                moments = follower.statistics(subject.name, biased=subject.bias is not None).moments
            else:
                moments = alone(original).moments
            order = Order.packed(rounded.scales) if subject.form == "packed" else Order.of(rounded.scales)
            found[subject.name] = Measured.of(
                matrix(original, subject.form), matrix(trial.calibrated.params[subject.name], subject.form), moments,
                order.columns, rounded.steps, subject.worth, damped(damping, embeds=subject.embeds), subject.rows,
                order.rows,
            )  # fmt: skip
    firsts = dict[str, str]()  # of each tensor the first name in the file, in the order of the file
    for name in trial.codes:
        firsts.setdefault(names[name], name)
    ordered = {name: own for own, name in firsts.items() if own in found}
    counts = {name: network.params[own].numel() for name, own in ordered.items()}
    return metered({name: found[own] for name, own in ordered.items()}, counts, weights)


def reserved(network: Network, size: int | None, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata that take the room of the record; none where it would take more than `SHARE` of the file.

    Args:
        network: ready.
        size: bytes of the file, where these are known.
        metadata: text that the file will have beside it.
    """
    room = {METER: blank(len(network.subjects))}
    taken = container.bits({}, {**metadata, **room}) - container.bits({}, metadata)
    return room if size is None or taken / 8 <= SHARE * size else {}


def recorded(
    meter: Meter, trial: Trial, metadata: Mapping[str, str], size: int | None, *, room: bool
) -> tuple[dict[str, str], int]:
    """Return the record as metadata, of as many digits as the file has room for, and the bytes of the file with it.

    Args:
        meter: of the file.
        trial: the file.
        metadata: text that it has beside the record.
        size: bytes that it may have; as many as it had with room for the record, where nobody asked for a size.
        room: whether there is room for the record; else the file is as it is.
    """
    if not room:
        return {}, trial.file_bytes
    plain = container.bits(trial.codes, metadata) // 8
    most = trial.file_bytes if size is None else size
    for digits in range(DIGITS, 0, -1):
        record = {METER: meter.text(digits)}
        taken = container.bits(trial.codes, {**metadata, **record}) // 8
        if taken <= most and taken - plain <= math.ceil(SHARE * taken):
            return record, taken
    return {}, plain
