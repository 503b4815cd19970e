"""What the path of a run says to those who know the algorithm, in words: it froze, diverged, or has not arrived."""

import math
from collections.abc import Sequence

from laconic.lc.schedule import Progress

_OPEN = 0.05  # a gap of so much of ‖w‖ is not closed: w is another network than Δ(Θ)
_CLOSED = 0.02
_MOVED = 0.02  # of all choices, over the whole path: fewer are those of direct compression, nearly
_ROSE = 2.0  # times its least a loss that has come back up
_WORSE = 1.2  # times the best point the error of the last
_FEW = 5  # steps tell nothing


def diagnosis(history: Sequence[Progress]) -> list[str]:
    """Return sentences on a path, none where nothing stands out.

    Args:
        history: the steps from direct compression on.
    """
    if any(one.met is not None for one in history):
        return _of_sizes(history)
    steps = [one for one in history if one.step > 0]
    if len(steps) < _FEW:
        return [f"Of {len(steps)} LC steps nothing can be told yet; from {_FEW} on there is more to say."]
    said, last = list[str](), steps[-1]
    losses = [one.loss for one in steps if math.isfinite(one.loss)]
    risen = len(losses) > _FEW and losses[-1] > _ROSE * min(losses) and last.gap > _OPEN
    if risen or not math.isfinite(last.loss):
        said.append(
            f"It diverges: the loss has been {min(losses, default=math.nan):.3g} and is {last.loss:.3g}, with the gap "
            "still open. The learning rate is too large for this μ: a smaller --lr, or a slower --growth."
        )
    moved = sum(one.changed or 0.0 for one in steps)
    if any(one.changed is not None for one in steps) and moved < _MOVED and steps[len(steps) // 2].gap < _OPEN:
        said.append(
            f"It has stayed at direct compression: over all steps {moved:.1%} of the choices moved. μ began too large "
            "or grew too fast: a smaller --mu, or a --growth nearer to 1 with more --steps."
        )
    elif last.gap > _OPEN:
        said.append(
            f"It has not arrived: the gap is {last.gap:.3f}, and what the loss has found is not in Δ(Θ) yet. More "
            f"--steps, or a larger --growth; at the end μ was {last.mu:.2g}."
        )
    idle = next((at for at, one in enumerate(steps) if one.gap < _CLOSED and one.changed is not None), None)
    if idle is not None and len(steps) - idle > len(steps) // 2:
        said.append(
            f"From step {steps[idle].step} of {last.step} on the gap has been closed and little moved: what follows is "
            "fine-tuning at best. A smaller --growth would spend these steps where choices are made."
        )
    return said + _of_validation(history)


def _of_validation(history: Sequence[Progress]) -> list[str]:
    """Return what the points of a budget say."""
    measured = [(one.step, (one.validation or {}).get("error", math.nan)) for one in history]
    points = [(error, step) for step, error in measured if math.isfinite(error)]
    if not points:
        return []
    best, at = min(points)
    error, step = points[-1]
    text = f"The best point on the validation split is step {at}, with an error of {best:.2f} %."
    if error > _WORSE * best and step - at > len(points) // 4:
        text += f" Since then it has risen to {error:.2f} %: μ holds the weights where the loss is not least."
    calibrated = (history[0].calibrated or {}).get("error", math.inf)
    if calibrated < best:
        text += f" The file of calibration, of the same size, has {calibrated:.2f} %, and no step has come below it."
    return [text]


def _of_sizes(history: Sequence[Progress]) -> list[str]:
    """Return what the paths of several sizes say, of which some steps meet a drop or a KL."""
    sizes = sum(one.mu == 0 for one in history)  # each path begins with direct compression
    met = [one for one in history if one.met]
    said = f"Of {sizes} sizes tried with {len(history)} steps, "
    if not met:
        return [said + "none has a step that meets what is asked: a looser bound, or more --steps for each size."]
    least = min(met, key=lambda one: one.file_bytes or 0)
    return [
        f"{said}{len(met)} steps meet what is asked; the smallest of these is step {least.step}, of "
        f"{least.file_bytes or 0:,} bytes. A size counts where two in a row do. Step 0 is the file of "
        "calibration, where that is smaller than direct compression."
    ]
