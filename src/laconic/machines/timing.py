"""How long a step of N workers takes: a model of four measured numbers and a network between the machines.

    T(N) = compute + encode + decode · d + moved(N) / bandwidth + latency · ⌈log₂ N⌉

What can be added up on its way is all-reduced in a ring, in which each worker moves 2 (N − 1)/N of a message either
way, and decodes one sum: d = 1. What cannot is gathered: each decodes all messages, d = N, of which N − 1 come to it.
Assumed are machines that are alike, each with the same samples for any N; that nothing overlaps; that links are full
duplex and as fast in either direction for all at once; and that a collective waits ⌈log₂ N⌉ times for its latency.
One worker moves nothing and codes nothing.

Source: Wen et al., "TernGrad" (NIPS 2017), section 5, use such a model for up to 512 workers; the bytes of a ring are
those of Patarasuk & Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations" (2009).
"""

import math
from dataclasses import dataclass
from typing import final

from laconic.errors import PlanError


@final
@dataclass(frozen=True)
class Network:
    """What is between the machines.

    Args:
        bandwidth: bytes a second in either direction of each machine's link, above 0.
        latency: seconds that a message takes whatever its length.
    """

    bandwidth: float
    latency: float = 50e-6


@final
@dataclass(frozen=True)
class Measured:
    """What a step is made of on one machine.

    Args:
        compute: seconds for the gradient.
        encode: seconds to code it.
        decode: seconds for one message.
        message: bytes of one message.
        adds_up: messages can be added up on their way.
    """

    compute: float
    encode: float
    decode: float
    message: float
    adds_up: bool


def step_seconds(one: Measured, network: Network, workers: int) -> float:
    """Return the seconds of a step of ``workers``.

    Raises:
        PlanError: for less than one worker, or a link without bandwidth.

    >>> gradients = Measured(0.1, 0.0, 0.0, 1e6, adds_up=True)
    >>> step_seconds(gradients, Network(1e8, latency=0.0), 4)
    0.115
    """
    if workers < 1:
        raise PlanError(f"a step has one worker or more, not {workers}")
    if not network.bandwidth > 0:
        raise PlanError(f"the bandwidth of a link is above 0, not {network.bandwidth}")
    if workers == 1:
        return one.compute
    moved = (2 * (workers - 1) / workers if one.adds_up else workers - 1) * one.message
    decoded = one.decode * (1 if one.adds_up else workers)
    waits = network.latency * math.ceil(math.log2(workers))
    return one.compute + one.encode + decoded + moved / network.bandwidth + waits
