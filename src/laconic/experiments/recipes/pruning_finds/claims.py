"""What the slides say of pruning, and what the networks here say to it."""

from collections.abc import Sequence

from laconic.experiments.recipes.pruning_finds.looks import Look
from laconic.experiments.recipes.pruning_finds.subject import RETRAINED, Network
from laconic.experiments.recipes.statement import Judged, growth
from laconic.experiments.recipes.verdict import Answer

INPUTS, PRINTED = 784, (400, 64, 99, 10)
"""Surviving inputs, neurons and outputs of 784-300-100-10, ℓ1."""

WITHIN = 0.25
"""Share of a printed width by which one here may differ and still be about the same."""

BEYOND = 0.05
"""p-value below which a share is beyond chance."""

HALF = 0.5
"""Of the joins of squares: where survivors have fewer they are sparse. Of a layer's neurons: where as many are gone
pruning of neurons is aggressive."""


_PLACE = "slides, pruning: experiments, the third"


def judged(before: Network, l1: Network, l0: Network, seen: Sequence[Look], seed: int) -> list[Judged]:
    """Return the verdicts.

    Args:
        before: the reference.
        l1: after ℓ1 pruning by LC.
        l0: after ℓ0 pruning by LC.
        seen: networks whose images are judged; whether survivors are sparse at the end of each run alone.
        seed: of the resamples.
    """
    low, _, words = growth(before.errors, l1.errors, seed)
    error = Judged("with similar error: ℓ1", _PLACE, "holds" if low <= 0 else "does not hold", words)
    return [_widths(l1), error, *(_neurons(one) for one in (l1, l0)), *(_regions(look) for look in seen),
            *(_sparse(look) for look in seen if look.network.label == RETRAINED)]  # fmt: skip


def _widths(network: Network) -> Judged:
    """Return whether the surviving widths are about those in print, of a network that has as many inputs."""
    own = network.widths
    about = all(abs(here - said) <= WITHIN * said for here, said in zip(own, PRINTED, strict=True))
    words = f"{_dashed(own)} with {100 * network.kept:.1f} % of the weights; about is within a quarter of each"
    answer: Answer = "holds" if about else "does not hold"
    if network.weights[0].shape[1] != INPUTS:
        answer, words = "not measured", f"{words}; of {network.weights[0].shape[1]} inputs"
    return Judged(f"ℓ1 leaves about {_dashed(PRINTED)}", _PLACE, answer, words)


def _neurons(network: Network) -> Judged:
    """Return whether neurons are pruned aggressively, most of all in the first layer."""
    sizes = [weight.shape[0] for weight in network.weights[:-1]]
    gone = [1 - kept / size for kept, size in zip(network.widths[1:-1], sizes, strict=True)]
    holds = gone[0] >= HALF and gone[0] == max(gone)
    words = f"gone, layer by layer: {', '.join(f'{100 * share:.0f} %' for share in gone)}; aggressive is half or more"
    text = f"aggressive neuron pruning, particularly in the first layer: {network.run}"
    return Judged(text, _PLACE, "holds" if holds else "does not hold", words)


def _regions(look: Look) -> Judged:
    """Return whether more neighbours have like signs than chance makes, whichever way it is drawn."""
    near = look.joins[0]
    shuffles = [near[kind] for kind in ("signs", "anywhere", "used")]
    above = all(one["p"] <= BEYOND for one in shuffles)
    below = any(one["found"] <= one["shuffled"] for one in shuffles)
    answer: Answer = "holds" if above else "does not hold" if below else "undecided"
    chance = ", ".join(f"{100 * one['shuffled']:.1f}" for one in shuffles)
    words = (
        f"{100 * near['signs']['found']:.1f} % of neighbours of like sign; by chance {chance} % "
        "(signs shuffled; survivors anywhere; in use)"
    )
    return Judged(f"regions of one sign: {look.network.run}, {look.network.label}", _PLACE, answer, words)


def _sparse(look: Look) -> Judged:
    """Return whether survivors have fewer neighbours than half of what they had in squares."""
    near = look.joins[0]
    times = near["near_used"]["found"] / max(near["near_used"]["shuffled"], 1e-9)
    squares = f"{100 * near['compact']:.0f} % of the joins of squares, sparse is under half"
    answer: Answer = "holds" if near["compact"] < HALF else "does not hold"
    text = f"sparse, not compact: {look.network.run}, {look.network.label}"
    return Judged(text, _PLACE, answer, f"{squares}; {times:.2f} times those of chance")


def _dashed(numbers: Sequence[int]) -> str:
    """Return the way architectures are written, such as 400-64-99-10."""
    return "-".join(map(str, numbers))
