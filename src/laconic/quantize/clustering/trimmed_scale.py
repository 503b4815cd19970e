"""The scale of a given codebook where κ values may be left out: each other value takes the nearest of the entries.

    min over a ≥ 0, z, |S| ≤ κ   Σ_{i ∉ S} h_i (w_i − a c_z(i))²

Given a, z is nearest and S is where the κ largest errors are; given z and S, a is S₁/S₂ of the others
(`laconic.quantize.clustering.scale`). The assignment changes at the scales w_i / m_k, m_k between two entries, and
errors are 0 at w_i / c_k: both steps are taken once from the scales between such places, and the best of them are the
starts of a descent.
"""

import numpy as np

from laconic.quantize.clustering.nearest import nearest

FEW = 4096
"""Values of a small tensor, where every start counts: in large ones the descent from any ends at the same figure."""

SCALES = (1024, 16)
"""Scales that are tried in small tensors, and in others."""


def trimmed_sets(
    values: np.ndarray, weights: np.ndarray | None, entries: np.ndarray, kappa: int, count: int = 3
) -> list[np.ndarray]:
    """Return the best sets of values to leave out, each a mask of shape (n,), of large tensors one.

    Args:
        values: w, shape (n,), floating point, finite.
        weights: h, shape (n,), finite, not negative; None for the unit weight.
        entries: c, shape (k,), ascending without repeats, finite, float64.
        kappa: values that may be left out, 0 to n.
        count: of sets of a small tensor, at most.

    >>> trimmed_sets(np.array([1.0, -1.0, 1.0, 40.0]), None, np.array([-1.0, 0.0, 1.0]), 1, 1)
    [array([False, False, False,  True])]
    """
    reach = float(np.abs(values).max(initial=0.0))
    if not reach or not entries.any():
        return []
    w = values.astype(np.float64) / reach
    h = np.ones(len(w)) if weights is None else weights.astype(np.float64)
    sets: dict[bytes, tuple[float, np.ndarray]] = {}
    for scale in _candidates(w[h > 0], entries):
        z = entries[nearest(w, scale * entries)]
        out = _largest(h * (w - scale * z) ** 2, kappa)
        s1, s2 = (float((np.where(out, 0.0, h) * z * other).sum()) for other in (w, z))
        a = max(s1, 0.0) / s2 if s2 else 0.0
        error = float((np.where(out, 0.0, h) * (w - a * z) ** 2).sum())
        sets.setdefault(np.packbits(out).tobytes(), (error, out))
    best = sorted(sets.values(), key=lambda pair: pair[0])[: count if len(w) <= FEW else 1]
    return [out for _, out in best]


def _candidates(w: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Return scales between the places where an assignment changes or an error is 0, evenly by rank if many."""
    marks = np.concatenate([entries, (entries[1:] + entries[:-1]) / 2])
    most = SCALES[len(w) > FEW]
    thin = w if len(w) <= most else np.sort(w)[np.linspace(0, len(w) - 1, most).astype(np.int64)]
    places = np.divide.outer(thin, marks[marks != 0]).reshape(-1)
    places = np.unique(np.append(places[places > 0], 0.0))
    between = np.append(places[1:] / 2 + places[:-1] / 2, places[1:])
    if len(between) > most:
        between = np.sort(between)[np.linspace(0, len(between) - 1, most).astype(np.int64)]
    return between


def _largest(errors: np.ndarray, kappa: int) -> np.ndarray:
    out = np.zeros(len(errors), bool)
    if kappa:
        out[np.argpartition(errors, -kappa)[-kappa:]] = True
    return out
