"""Metrics that charge each weight by itself, and what they charge for leaving it out."""

import torch
from cases import generator, importance

from laconic.theory.metric import Quartic


def metric_of(tensor, weighted, seed=0):
    """The unit metric for a tensor "w", importances, or a quartic metric."""
    if weighted == "quartic":
        g, h = (torch.rand(tensor.shape, generator=generator(seed + k)).mul(3).round() for k in (0, 5))
        return {"w": Quartic(g, h)}
    return {"w": importance(tensor, seed)} if weighted else {}


def costs_of(tensor, metrics):
    """The distortion of each weight as zero, float64, shape (n,)."""
    w = tensor.double().numpy().reshape(-1)
    metric = metrics.get("w")
    if isinstance(metric, Quartic):
        return (metric.quadratic.numpy().reshape(-1) * w**2 + metric.quartic.numpy().reshape(-1) * w**4).astype(float)
    h = metric.importance.double().numpy().reshape(-1) if metric else 1.0
    return h * w**2
